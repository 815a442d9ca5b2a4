#include "derm/serving/ask.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/data/semantic_map.h"
#include "derm/image/codec.h"
#include "derm/image/mask.h"

namespace derm::serving {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

data::Offer offer() {
  std::vector<image::Lab> colours;
  for (double ita = -10; ita <= 60; ita += 0.5) colours.push_back(data::SkinLocus().at(ita));
  data::Offer o;
  o.conditions = {"melanoma", "nevus"};
  o.locus = data::SkinLocus::fit(colours);
  o.low_size = 0.15;
  o.high_size = 0.6;
  return o;
}

Ask ask(const json& body, const AskLimits& limits = {}) {
  static const data::Offer o = offer();
  return parse_ask(
      body, [](const std::string&) -> const data::Offer& { return o; }, limits);
}

std::string refusal(const json& body) {
  try {
    ask(body);
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

/// A white square of half the side in the middle of black.
std::string mask_png(int size) {
  image::Image picture(size, size, 1);
  for (int y = size / 4; y < size * 3 / 4; ++y)
    for (int x = size / 4; x < size * 3 / 4; ++x) *picture.at(x, y) = 255;
  return base64(image::encode_png(picture));
}

TEST(Ask, TakesEachControlAsAField) {
  const Ask a = ask({{"condition", "nevus"},
                     {"skin", "ita:25"},
                     {"size", 0.3},
                     {"x", 0.4},
                     {"y", 0.6},
                     {"aspect", 2},
                     {"shape", "ellipse"},
                     {"seed", 7},
                     {"count", 3},
                     {"format", "dataset"},
                     {"measure", true},
                     {"wait_s", 1.5},
                     {"model", "m"}});
  ASSERT_EQ(a.requests.size(), 3u);
  EXPECT_EQ(a.format, Format::dataset);
  EXPECT_TRUE(a.measure);
  EXPECT_EQ(a.wait_s, 1.5);
  EXPECT_EQ(a.model, "m");
  const data::Request& r = a.requests[2];
  EXPECT_EQ(r.seed, 9u);
  EXPECT_EQ(r.condition(), "nevus");
  EXPECT_NEAR(image::ita_degrees(r.skin), 25, 0.5);
  EXPECT_NEAR(r.regions[0].w, 0.3, 1e-9);
  EXPECT_NEAR(r.regions[0].h, 0.15, 1e-9);
  EXPECT_EQ(r.regions[0].shape, data::Shape::ellipse);
  const auto echo = echo_of(r, offer());
  EXPECT_EQ(echo["seed"], 9);
  EXPECT_EQ(echo["aspect"], 2);
  EXPECT_EQ(echo["size"], 0.3);
  EXPECT_EQ(echo["skin"], "ita:25");
  EXPECT_EQ(echo["extrapolated"], false);
}

TEST(Ask, TakesStrengthsAlongLatentDirections) {
  data::Offer seeds_only = offer();
  seeds_only.heeds = {"seed"};
  seeds_only.directions = {{"darker skin", 2}, {"larger lesion", 2}};
  const auto told = [&](const json& body) {
    return parse_ask(body, [&](const std::string&) -> const data::Offer& { return seeds_only; }).requests.front();
  };
  const auto refused = [&](const json& body) {
    try {
      told(body);
    } catch (const UsageError& error) {
      return std::string(error.what());
    }
    return std::string("nothing was thrown");
  };
  const data::Request r = told({{"directions", {0.5, -2}}, {"seed", 3}});
  EXPECT_EQ(r.directions, (std::vector<double>{0.5, -2}));
  // What it does not heed is neither taken nor told.
  EXPECT_EQ(echo_of(r, seeds_only), nlohmann::ordered_json({{"directions", {0.5, -2.0}}, {"seed", 3}}));
  EXPECT_THAT(refused({{"skin", "ita:25"}}), HasSubstr("skin is given, but this model heeds the seed alone"));
  EXPECT_THAT(refused({{"regions", json::array({json::object()})}}), HasSubstr("regions is given"));
  EXPECT_THAT(refused({{"directions", {0, 0, 1}}}), HasSubstr("3 numbers, but the model has 2"));
  EXPECT_THAT(refused({{"directions", {11}}}), HasSubstr("-10 to 10"));
  EXPECT_THAT(refused({{"directions", {"far"}}}), HasSubstr("a list of numbers"));
  EXPECT_THAT(refusal({{"directions", {1}}}), HasSubstr("has 0 latent directions"));
}

TEST(Ask, DrawsASeedAndTellsIt) {
  const Ask a = ask(json::object());
  EXPECT_NE(a.requests[0].seed, ask(json::object()).requests[0].seed);
  EXPECT_LT(a.requests[0].seed, uint64_t{1} << 31);
  EXPECT_EQ(ask({{"skin", "ita:85"}}).requests[0].extrapolated, true);
}

TEST(Ask, TakesADrawnMask) {
  for (const std::string prefix : {"", "data:image/png;base64,"}) {
    const data::Request r = ask({{"mask", prefix + mask_png(64)}, {"condition", "nevus"}}).requests[0];
    EXPECT_EQ(r.regions[0].shape, data::Shape::mask);
    EXPECT_NEAR(r.regions[0].size(), 0.5, 1e-9);
    EXPECT_NEAR(r.regions[0].x, 0.5, 1e-9);
    EXPECT_NEAR(static_cast<double>(image::mask_area(data::region_mask(r, 256))), 128 * 128, 300);
  }
  EXPECT_THAT(refusal({{"mask", mask_png(64)}, {"size", 0.3}}), HasSubstr("fixes size already"));
  EXPECT_THAT(refusal({{"mask", "!!!!"}}), HasSubstr("character 1 is no base64"));
  EXPECT_THAT(refusal({{"mask", "abc"}}), HasSubstr("multiple of 4"));
  EXPECT_THAT(refusal({{"mask", base64("no image")}}), HasSubstr("mask"));
  EXPECT_THAT(refusal({{"mask", 7}}), HasSubstr("base64 of an image is expected"));
  EXPECT_THAT(refusal({{"mask", mask_png(1200)}}), HasSubstr("mask"));  // more pixels than are accepted
  EXPECT_THAT(refusal({{"mask", base64(image::encode_png(image::Image(32, 32, 1)))}}), HasSubstr("empty"));
  EXPECT_THAT(refusal({{"mask", base64(image::encode_png(image::Image(32, 16, 1, 255)))}}), HasSubstr("square"));
  EXPECT_THAT(refusal({{"shape", "mask"}}), HasSubstr("no mask is given"));
}

TEST(Ask, TakesFurtherRegionsAndSeveralRequests) {
  const Ask a = ask({{"requests",
                      {{{"condition", "nevus"}, {"seed", 1}},
                       {{"x", 0.3},
                        {"seed", 2},
                        {"count", 2},
                        {"regions", {{{"condition", "nevus"}, {"x", 0.7}, {"size", 0.2}}}}}}}});
  ASSERT_EQ(a.requests.size(), 3u);
  EXPECT_EQ(a.requests[1].regions.size(), 2u);
  EXPECT_NEAR(a.requests[1].regions[1].x, 0.7, 1e-9);
  EXPECT_EQ(a.requests[2].seed, 3u);
}

TEST(Ask, NoRequestNamesAFile) {
  EXPECT_THAT(refusal({{"skin", "like:/etc/passwd"}}), HasSubstr("no request may"));
  EXPECT_THAT(refusal({{"mask", "/etc/passwd"}}), HasSubstr("base64"));
  EXPECT_THAT(refusal({{"mask_file", "/etc/passwd"}}), HasSubstr("is not a field"));
  EXPECT_THAT(refusal({{"condition", "nevus,mask=/etc/passwd"}}), HasSubstr("not known"));
  EXPECT_THAT(refusal({{"regions", {{{"condition", "nevus,mask=/etc/passwd"}}}}}), HasSubstr("not known"));
  EXPECT_THAT(refusal({{"regions", {"condition=nevus,mask=/etc/passwd"}}}), HasSubstr("an object is expected"));
}

TEST(Ask, NamesWhatIsWrong) {
  EXPECT_THAT(refusal({{"conditon", "nevus"}}), HasSubstr("did you mean \"condition\""));
  EXPECT_THAT(refusal({{"condition", "nevis"}}), HasSubstr("nevus"));
  EXPECT_THAT(refusal({{"condition", 3}}), HasSubstr("a text is expected"));
  EXPECT_THAT(refusal({{"condition", ""}}), HasSubstr("empty"));
  EXPECT_THAT(refusal({{"condition", std::string(1000, 'a')}}), HasSubstr("at most 100"));
  EXPECT_THAT(refusal({{"size", "big"}}), HasSubstr("a number is expected"));
  EXPECT_THAT(refusal({{"size", 2}}), HasSubstr("at most 1"));
  EXPECT_THAT(refusal({{"size", 1e308}}), HasSubstr("at most 1"));
  EXPECT_THAT(refusal({{"size", -0.2}}), HasSubstr("above 0"));
  EXPECT_THAT(refusal({{"x", 0.99}}), HasSubstr("leaves the image"));
  EXPECT_THAT(refusal({{"shape", "star"}}), HasSubstr("box, ellipse, blob, mask"));
  EXPECT_THAT(refusal({{"skin", "red"}}), HasSubstr("monk:"));
  EXPECT_THAT(refusal({{"seed", -1}}), HasSubstr("an integer from 0"));
  EXPECT_THAT(refusal({{"seed", 1.5}}), HasSubstr("an integer from 0"));
  EXPECT_THAT(refusal({{"seed", uint64_t{1} << 60}}), HasSubstr("an integer from 0"));
  EXPECT_THAT(refusal({{"count", 0}}), HasSubstr("from 1 to 256"));
  EXPECT_THAT(refusal({{"count", 257}}), HasSubstr("from 1 to 256"));
  EXPECT_THAT(refusal({{"format", "exe"}}), HasSubstr("\"dataset\""));
  EXPECT_THAT(refusal({{"measure", 1}}), HasSubstr("true or false"));
  EXPECT_THAT(refusal({{"wait_s", 31}}), HasSubstr("0 to 30"));
  EXPECT_THAT(refusal({{"requests", json::array()}}), HasSubstr("at least one"));
  EXPECT_THAT(refusal({{"requests", {{{"seed", 1}}}}, {"seed", 2}}), HasSubstr("seed is given, and requests too"));
  EXPECT_THAT(refusal({{"requests", {{{"format", "png"}}}}}), HasSubstr("request 1 of 1"));
  EXPECT_THAT(refusal(json::array()), HasSubstr("an object is expected"));
  json many = json::array();
  for (int i = 0; i < 16; ++i) many.push_back(json::object());
  EXPECT_THAT(refusal({{"regions", many}}), HasSubstr("at most 15"));
  EXPECT_THAT(refusal({{"requests", {{{"count", 200}}, {{"count", 57}}}}}), HasSubstr("more than 256"));
}

TEST(Base64, IsReadAsItIsWritten) {
  std::string bytes;
  for (int i = 0; i < 256; ++i) {
    EXPECT_EQ(from_base64(base64(bytes), "x"), bytes);
    bytes += static_cast<char>(i);
  }
  for (const char* bad : {"a", "a===", "=aaa", "ab=c", "a\nbc", "abc=abcd"})
    EXPECT_THROW(from_base64(bad, "x"), DataError) << bad;
}

}  // namespace
}  // namespace derm::serving
