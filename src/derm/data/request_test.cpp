#include "derm/data/request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "derm/base/error.h"

namespace derm::data {
namespace {

using testing::HasSubstr;

const std::vector<std::string> kConditions = {"melanoma", "nevus"};

Request simple() {
  Request request;
  request.regions.resize(1);
  request.regions[0].condition = "nevus";
  request.skin = {65, 10, 17};
  request.skin_text = "ita:41.4";
  request.seed = 7;
  return request;
}

std::string refusal(const Request& request) {
  try {
    validate(request, kConditions);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "";
}

TEST(Request, WithinTheImageIsAccepted) { EXPECT_EQ(refusal(simple()), ""); }

TEST(Request, UnknownConditionIsRefusedWithTheNearest) {
  Request request = simple();
  request.regions[0].condition = "melanona";
  EXPECT_THAT(refusal(request), HasSubstr("did you mean \"melanoma\"?"));
}

TEST(Request, BoxThatLeavesTheImageIsRefusedWithItsNumbers) {
  Request request = simple();
  request.regions[0].x = 0.9;  // 0.9 + 0.4 / 2 = 1.1
  EXPECT_THAT(refusal(request), HasSubstr("from 0.7 to 1.1"));
  EXPECT_THAT(refusal(request), HasSubstr("keep x between 0.2 and 0.8"));
}

TEST(Request, SizesAreAboveZeroAndAtMostOne) {
  Request request = simple();
  request.regions[0].h = 0;
  EXPECT_THAT(refusal(request), HasSubstr("height is 0"));
  request.regions[0].h = 1.2;
  EXPECT_THAT(refusal(request), HasSubstr("height is 1.2"));
  request.regions[0].h = 1;
  EXPECT_EQ(refusal(request), "");
}

TEST(Request, NumbersThatAreNotFiniteAreRefused) {
  Request request = simple();
  request.regions[0].x = std::nan("");
  EXPECT_THAT(refusal(request), HasSubstr("x is not a finite number"));
  request = simple();
  request.skin.a = INFINITY;
  EXPECT_THAT(refusal(request), HasSubstr("skin colour"));
}

TEST(Request, EmptyAndOblongMasksAreRefused) {
  Request request = simple();
  request.regions[0].shape = Shape::mask;
  EXPECT_THAT(refusal(request), HasSubstr("no mask is given"));
  request.regions[0].mask = image::Mask(4, 4, 1);
  EXPECT_THAT(refusal(request), HasSubstr("mask is empty"));
  request.regions[0].mask = image::Mask(4, 5, 1, 255);
  EXPECT_THAT(refusal(request), HasSubstr("4 x 5"));
}

TEST(Request, NoRegionIsRefused) { EXPECT_THAT(refusal(Request{}), HasSubstr("no region")); }

TEST(Request, ComesBackFromJsonAsItWas) {
  Request request = simple();
  request.extrapolated = true;
  request.seed = 18446744073709551615ull;
  request.directions = {0, -1.5};
  request.regions.push_back(request.regions[0]);
  request.regions[1].shape = Shape::mask;
  request.regions[1].mask = image::Mask(3, 3, 1);
  request.regions[1].mask.pixels[4] = request.regions[1].mask.pixels[5] = 255;
  const nlohmann::json json = to_json(request);
  EXPECT_EQ(json["regions"][1]["mask_rle"], nlohmann::json({3, 4, 2, 3}));
  const Request back = request_from_json(nlohmann::json::parse(json.dump()));
  EXPECT_EQ(back.seed, request.seed);
  EXPECT_EQ(back.skin, request.skin);
  EXPECT_EQ(back.directions, request.directions);
  EXPECT_EQ(back.skin_text, "ita:41.4");
  EXPECT_TRUE(back.extrapolated);
  ASSERT_EQ(back.regions.size(), 2u);
  EXPECT_EQ(back.regions[1].mask, request.regions[1].mask);
  EXPECT_EQ(back.regions[0].condition, "nevus");
  EXPECT_EQ(to_json(back), json);
}

TEST(Request, MaskRunsThatDoNotFitAreRefused) {
  nlohmann::json json = to_json(simple());
  json["regions"][0]["shape"] = "mask";
  for (const nlohmann::json& runs : {nlohmann::json{3, 4, 6}, nlohmann::json{3, 4}, nlohmann::json{100000, 4},
                                     nlohmann::json{3, -1}, nlohmann::json{"3"}, nlohmann::json(7)}) {
    json["regions"][0]["mask_rle"] = runs;
    EXPECT_THROW(request_from_json(json), UsageError) << runs;
  }
}

TEST(Request, UnknownKeysAreRefusedWithTheNearest) {
  nlohmann::json json = to_json(simple());
  json["sead"] = 3;
  try {
    request_from_json(json);
    FAIL() << "accepted";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("seed"));
  }
}

TEST(Shape, NamesComeBack) {
  for (const Shape shape : {Shape::box, Shape::ellipse, Shape::blob, Shape::mask})
    EXPECT_EQ(shape_from_name(shape_name(shape)), shape);
  EXPECT_THROW(shape_from_name("circle"), UsageError);
}

}  // namespace
}  // namespace derm::data
