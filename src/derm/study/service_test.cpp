#include "derm/study/service.h"

#include <algorithm>
#include <cmath>
#include <regex>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "derm/base/csv.h"
#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/http/client.h"
#include "derm/image/codec.h"
#include "derm/study/analysis.h"
#include "derm/study/blinding.h"
#include "derm/study/results.h"
#include "derm/study/statistics.h"
#include "derm/study/testing/shop.h"

namespace derm::study {
namespace {

using nlohmann::json;
using testing::HasSubstr;

/// A study and its server on a free port.
class ServiceTest : public testing::Test {
 protected:
  ServiceTest() : folder_("study-service") {}
  void begin(const NewStudy& wish) {
    made_ = make_study(wish);
    service_ = std::make_unique<Service>(wish.out);
    server_ = std::make_unique<http::Server>(http::ServerOptions{});
    service_->add_routes(*server_);
    server_->start();
  }
  void begin() { begin(testing_shop::small_study(study())); }
  fs::path study() const { return folder_.path() / "s"; }
  http::Client::Headers as(size_t reader) const { return {{"Authorization", "Bearer " + made_.codes[reader].second}}; }
  static json good(const std::string& token) {
    static int serial = 0;
    return {{"token", token},        {"answer_id", "browser-" + std::to_string(++serial)},
            {"verdict", "real"},     {"confidence", 4},
            {"condition", "unsure"}, {"realism", 3},
            {"artefacts", 2},        {"marks", json::array()},
            {"response_ms", 1200},   {"viewed_ms", 1100}};
  }
  json state(http::Client& client, size_t reader) const {
    const http::Answer a = client.get("/v1/study/state", as(reader));
    EXPECT_EQ(a.status, 200) << a.body;
    return json::parse(a.body);
  }
  static std::string token_of(const json& state) { return state.at("current").at("token"); }
  testing_shop::Folder folder_;
  MadeStudy made_;
  std::unique_ptr<Service> service_;
  std::unique_ptr<http::Server> server_;
};

TEST_F(ServiceTest, AReaderGoesThroughTheWholeStudy) {
  begin();
  http::Client client(server_->port());
  json now = state(client, 0);
  EXPECT_EQ(now.at("total"), 20);  // 16 and 4 repeats
  EXPECT_EQ(now.at("practice_total"), 2);
  int answers = 0;
  while (!now.at("current").is_null()) {
    const std::string token = token_of(now);
    const http::Answer image = client.get(now.at("current").at("image"), as(0));
    ASSERT_EQ(image.status, 200);
    EXPECT_EQ(image.body.size(), made_.description.image_bytes);
    EXPECT_EQ(image::decode_image(image.body, "image").width, 64);
    const http::Answer answer = client.post_json("/v1/study/answers", good(token).dump(), as(0));
    ASSERT_EQ(answer.status, 200) << answer.body;
    now = json::parse(answer.body).at("state");
    ++answers;
  }
  EXPECT_EQ(answers, 22);
  EXPECT_TRUE(now.at("finished").get<bool>());
  EXPECT_EQ(now.at("done"), 20);
  EXPECT_EQ(client.get("/v1/study/images/abc", as(0)).status, 404);
}

TEST_F(ServiceTest, CodesAreTheOnlyWayInAndGuessingIsSlowedDown) {
  begin();
  http::Client client(server_->port());
  for (const auto& path : {"/v1/study/state", "/v1/study/images/abc"}) {
    EXPECT_EQ(client.get(path).status, 401) << path;
  }
  EXPECT_EQ(client.post_json("/v1/study/answers", "{}").status, 401);
  int limited = 0;
  for (int i = 0; i < 40; ++i) {
    const http::Answer a = client.get("/v1/study/state", {{"Authorization", "Bearer " + reader_code()}});
    limited += a.status == 429;
    if (a.status == 429) {
      EXPECT_GT(std::stoi(a.headers.at("retry-after")), 0);
    }
  }
  EXPECT_GE(limited, 20);
  // Whoever has a code still gets in, from the same address too.
  EXPECT_EQ(client.get("/v1/study/state", as(1)).status, 200);
  // Typed in small letters with spaces.
  std::string typed = made_.codes[1].second;
  std::transform(typed.begin(), typed.end(), typed.begin(),
                 [](char c) { return c == '-' ? ' ' : static_cast<char>(std::tolower(c)); });
  EXPECT_EQ(client.get("/v1/study/state", {{"Authorization", "Bearer " + typed}}).status, 200);
}

TEST_F(ServiceTest, NobodyLooksAheadOrBackOrAtAnotherReadersImages) {
  begin();
  http::Client client(server_->port());
  const std::vector<Presentation> own = service_->store().presentations(1);
  EXPECT_EQ(client.get("/v1/study/images/" + own[1].token, as(0)).status, 404);
  EXPECT_EQ(client.get("/v1/study/images/" + own[0].token, as(1)).status, 404);
  EXPECT_EQ(client.get("/v1/study/images/" + own[0].token, as(0)).status, 200);
  EXPECT_EQ(client.post_json("/v1/study/answers", good(own[0].token).dump(), as(1)).status, 404);
  EXPECT_EQ(client.post_json("/v1/study/answers", good(own[1].token).dump(), as(0)).status, 409);
  EXPECT_EQ(client.post_json("/v1/study/answers", good(own[0].token).dump(), as(0)).status, 200);
  EXPECT_EQ(client.get("/v1/study/images/" + own[0].token, as(0)).status, 404);
}

TEST_F(ServiceTest, AnAnswerSentTwiceIsAcceptedOnce) {
  begin();
  http::Client client(server_->port());
  const json answer = good(token_of(state(client, 0)));
  EXPECT_EQ(client.post_json("/v1/study/answers", answer.dump(), as(0)).status, 200);
  EXPECT_EQ(client.post_json("/v1/study/answers", answer.dump(), as(0)).status, 200);
  EXPECT_EQ(service_->store().answers().size(), 1u);
}

TEST_F(ServiceTest, HostileAnswersGetASentenceAndChangeNothing) {
  begin();
  http::Client client(server_->port());
  const std::string token = token_of(state(client, 0));
  const std::vector<std::pair<json, std::string>> wrong = {
      {{{"verdict", "maybe"}}, "verdict"},
      {{{"verdict", 1}}, "verdict"},
      {{{"verdict", json::array({"real"})}}, "verdict"},
      {{{"confidence", 0}}, "confidence"},
      {{{"confidence", 6}}, "confidence"},
      {{{"confidence", "4"}}, "confidence"},
      {{{"confidence", 3.5}}, "confidence"},
      {{{"confidence", 18446744073709551615ULL}}, "confidence"},
      {{{"condition", "<script>"}}, "condition"},
      {{{"condition", nullptr}}, "condition"},
      {{{"realism", true}}, "realism"},
      {{{"artefacts", nullptr}}, "artefacts"},
      {{{"marks", "none"}}, "marks"},
      {{{"marks", {{{"reason", "x"}}}}}, "marks.reason"},
      {{{"marks", {{{"reason", "hair"}, {"x", 0.9}, {"y", 0}, {"w", 0.5}, {"h", 0.1}}}}}, "inside the image"},
      {{{"marks", {{{"reason", "hair"}, {"x", 0.1}}}}}, "marks.y"},
      {{{"marks", {{{"reason", "hair"}, {"x", -1e308}, {"y", 0}, {"w", 1}, {"h", 1}}}}}, "marks.x"},
      {{{"marks", json(std::vector<json>(21, {{"reason", "hair"}}))}}, "at most 20"},
      {{{"remark", 5}}, "remark"},
      {{{"remark", std::string(8001, 'x')}}, "remark"},
      {{{"response_ms", -1}}, "response_ms"},
      {{{"response_ms", 1e300}}, "response_ms"},
      {{{"answer_id", "short"}}, "answer_id"},
      {{{"answer_id", "with space and more"}}, "answer_id"},
      {{{"reader", "reader-02"}}, "not a field"},
  };
  for (const auto& [change, word] : wrong) {
    json body = good(token);
    body.update(change);
    const http::Answer a = client.post_json("/v1/study/answers", body.dump(), as(0));
    EXPECT_EQ(a.status, 400) << body.dump();
    EXPECT_THAT(a.body, HasSubstr(word)) << body.dump();
  }
  for (const std::string& body : {std::string("{"), std::string("[]"), std::string("null"), std::string("\"\xff\""),
                                  std::string(3000, '['), std::string("{\"token\":1}")}) {
    EXPECT_EQ(client.post_json("/v1/study/answers", body, as(0)).status, 400) << body.substr(0, 20);
  }
  EXPECT_EQ(client.post_json("/v1/study/answers", std::string(70 << 10, ' '), as(0)).status, 413);
  EXPECT_EQ(client.request("POST", "/v1/study/answers", "a=b", {as(0)[0], {"Content-Type", "text/plain"}}).status, 415);
  EXPECT_EQ(client.get("/v1/study/images/..%2f..%2fkey.json", as(0)).status / 100, 4);
  EXPECT_EQ(service_->store().answers().size(), 0u);
  // A script in a remark is a text.
  json body = good(token);
  body["remark"] = "<script>alert(1)</script>\u0007=1+1";
  EXPECT_EQ(client.post_json("/v1/study/answers", body.dump(), as(0)).status, 200);
  EXPECT_EQ(service_->store().answers().front().answer.remark, "<script>alert(1)</script> =1+1");
}

TEST_F(ServiceTest, TakesBackTheLastAnswerUnlessTheTimeIsFixed) {
  begin();
  http::Client client(server_->port());
  EXPECT_EQ(client.post_json("/v1/study/undo", "{}", as(0)).status, 409);
  const std::string token = token_of(state(client, 0));
  client.post_json("/v1/study/answers", good(token).dump(), as(0));
  EXPECT_TRUE(state(client, 0).at("can_undo").get<bool>());
  const http::Answer back = client.post_json("/v1/study/undo", "{}", as(0));
  EXPECT_EQ(back.status, 200);
  EXPECT_EQ(token_of(json::parse(back.body).at("state")), token);
  EXPECT_EQ(client.post_json("/v1/study/undo", "{}", as(0)).status, 409);
}

TEST_F(ServiceTest, AFixedViewingTimeAllowsNoSecondThoughts) {
  NewStudy wish = testing_shop::small_study(study());
  wish.settings.viewing_ms = 500;
  wish.settings.ask_condition = wish.settings.ask_ratings = wish.settings.ask_marks = wish.settings.ask_remark = false;
  wish.settings.practice_feedback = true;
  begin(wish);
  http::Client client(server_->port());
  json answer = good(token_of(state(client, 0)));
  EXPECT_EQ(client.post_json("/v1/study/answers", answer.dump(), as(0)).status, 400)
      << "it does not ask for a condition";
  for (const char* name : {"condition", "realism", "artefacts", "marks"}) answer.erase(name);
  const http::Answer first = client.post_json("/v1/study/answers", answer.dump(), as(0));
  ASSERT_EQ(first.status, 200) << first.body;
  EXPECT_THAT(json::parse(first.body).at("practice_source"), testing::AnyOf("real", "synthetic"));
  EXPECT_FALSE(state(client, 0).at("can_undo").get<bool>());
  EXPECT_EQ(client.post_json("/v1/study/undo", "{}", as(0)).status, 409);
}

TEST_F(ServiceTest, ThePageHasAStrictPolicyAndNoInlineScript) {
  begin();
  http::Client client(server_->port());
  const http::Answer page = client.get("/study");
  EXPECT_EQ(page.status, 200);
  const std::string policy = page.headers.at("content-security-policy");
  EXPECT_THAT(policy, HasSubstr("script-src 'self'"));
  EXPECT_EQ(policy.find("unsafe"), std::string::npos);
  EXPECT_EQ(page.body.find("<style"), std::string::npos);
  EXPECT_FALSE(std::regex_search(page.body, std::regex("\\s(on[a-z]+|style)\\s*=")));
  for (size_t at = 0; (at = page.body.find("<script", at)) != std::string::npos; ++at) {
    EXPECT_THAT(page.body.substr(at, 60), HasSubstr("src=\"/study/study.js\""));
  }
  EXPECT_EQ(client.get("/study/study.js").status, 200);
  EXPECT_EQ(client.get("/study/study.css").headers.at("content-type"), "text/css; charset=utf-8");
  const json info = json::parse(client.get("/v1/study").body);
  EXPECT_EQ(info.at("key_sha256"), sha256_file(study() / "key.json"));
}

TEST_F(ServiceTest, WithoutTheKeyItServesAndWithAnotherItRefuses) {
  begin();
  fs::rename(study() / "key.json", folder_.path() / "kept.json");
  EXPECT_NO_THROW(Service{study()});
  write_file(study() / "key.json", "{}");
  EXPECT_THROW(Service{study()}, DataError);
  // Kept elsewhere, it opens the study as well.
  testing_shop::Folder other("study-key");
  EXPECT_NO_THROW(open_key(study(), folder_.path() / "kept.json"));
}

TEST(ParseAnswer, TakesOrRefusesWhateverComes) {
  // Seeded damage to a good answer: bytes changed, cut out, doubled. Taken, or refused with a 400; nothing else.
  Description d;
  d.conditions = {"melanoma", "nevus"};
  const std::string good =
      R"({"token":"t","answer_id":"browser-0001","verdict":"real","confidence":4,"condition":"nevus","realism":3,)"
      R"("artefacts":2,"marks":[{"reason":"hair","x":0.1,"y":0.2,"w":0.3,"h":0.4}],"remark":"\u00e9 x","response_ms":900,"viewed_ms":800})";
  EXPECT_EQ(parse_answer(http::parse_json(good), d).confidence, 4);
  Rng rng(3);
  int taken = 0, refused = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string text = good;
    for (int64_t n = rng.integer(1, 3); n > 0; --n) {
      const auto at = static_cast<size_t>(rng.integer(0, static_cast<int64_t>(text.size()) - 1));
      const auto length = static_cast<size_t>(rng.integer(1, 6));
      switch (rng.integer(0, 3)) {
        case 0: text[at] = static_cast<char>(rng.integer(0, 255)); break;
        case 1: text.erase(at, length); break;
        case 2: text.insert(at, text.substr(at, length)); break;
        default: text.insert(at, 1, "{}[]\",:0e-9"[static_cast<size_t>(rng.integer(0, 11))]); break;
      }
    }
    try {
      const Answer a = parse_answer(http::parse_json(text), d);
      ++taken;
      EXPECT_TRUE(a.verdict == "real" || a.verdict == "synthetic");
      EXPECT_TRUE(a.confidence >= 1 && a.confidence <= 5);
      EXPECT_NO_THROW(nlohmann::json::parse(a.marks));
    } catch (const http::HttpError& e) {
      ++refused;
      EXPECT_EQ(e.status(), 400) << text;
    }
  }
  EXPECT_GT(taken, 200);
  EXPECT_GT(refused, 5000);
}

/// What can be had of an answer without looking at the picture: the length, every header, the bytes before the
/// compressed data, and bytes after it.
std::vector<double> features_of(const http::Answer& a) {
  std::vector<double> f = {static_cast<double>(a.body.size()), static_cast<double>(a.headers.size())};
  for (const auto& [name, value] : a.headers) {
    // The clock and the request's random id differ between any two answers.
    f.push_back(static_cast<double>(value.size()));
    if (name == "content-length") f.push_back(std::stod(value));
  }
  const size_t scan = a.body.find("\xff\xda");
  f.push_back(static_cast<double>(scan));
  // Up to the end of the scan's own header, which has 14 bytes; all images share the place.
  for (size_t i = 0; i < scan + 14; ++i) f.push_back(static_cast<uint8_t>(a.body[i]));
  for (size_t i = a.body.size() - 16; i < a.body.size(); ++i) f.push_back(static_cast<uint8_t>(a.body[i]));
  return f;
}

struct Sent {
  std::vector<std::vector<double>> features;
  std::vector<bool> real;
};

/// A classifier by the nearest of the two classes' means, every feature scaled, taught by some images and asked about
/// others: the area under its curve. (Leaving one image out at a time would make the scores depend on each other, and
/// the area stray half as far again as its interval says.)
Estimate auc_of(const Sent& taught, const Sent& asked) {
  const size_t d = taught.features.front().size();
  std::vector<double> mean[2] = {std::vector<double>(d), std::vector<double>(d)}, square(d);
  double count[2] = {0, 0};
  for (size_t i = 0; i < taught.real.size(); ++i) {
    ++count[taught.real[i]];
    for (size_t j = 0; j < d; ++j) {
      mean[taught.real[i]][j] += taught.features[i][j];
      square[j] += taught.features[i][j] * taught.features[i][j];
    }
  }
  std::vector<double> scores;
  for (const std::vector<double>& features : asked.features) {
    if (features.size() != d) return Estimate::none("the headers of two images differ in length");
    double score = 0;
    for (size_t j = 0; j < d; ++j) {
      const double total = (mean[0][j] + mean[1][j]) / (count[0] + count[1]);
      const double variance = square[j] / (count[0] + count[1]) - total * total;
      if (variance < 1e-9) continue;
      const double m0 = mean[0][j] / count[0], m1 = mean[1][j] / count[1];
      score += (m1 - m0) * (features[j] - (m0 + m1) / 2) / variance;
    }
    scores.push_back(score);
  }
  return area_under_curve(scores, asked.real);
}

TEST_F(ServiceTest, HeadersAndLengthsDoNotTellTheSource) {
  // Synthetic images much smoother than the real ones: unpadded, their length alone gives them away.
  const fs::path smooth = folder_.path() / "smooth";
  fs::copy(testing_shop::pools() / "a", smooth, fs::copy_options::recursive);
  for (const auto& entry : fs::directory_iterator(smooth / "images")) {
    image::Image picture = image::read_image(entry.path());
    const image::Image flat(picture.width, picture.height, 3, picture.pixels.front());
    for (size_t i = 0; i < picture.pixels.size(); ++i) {
      picture.pixels[i] = static_cast<uint8_t>((picture.pixels[i] + 3 * flat.pixels[i]) / 4);
    }
    image::write_png(entry.path(), picture);
  }
  // Names and padding come from the system's random generator, so every run looks at other bytes: the interval is one
  // that misses chance once in a thousand runs.
  Sent taught[2], asked[2];  // as it is sent; the length alone, without the padding
  for (const char* name : {"s1", "s2", "s3"}) {
    NewStudy wish = testing_shop::small_study(folder_.path() / name);
    wish.synthetic = {{"smooth", smooth}};
    wish.design.groups = {{"one", 1}};
    wish.design.blocks = 1;
    wish.design.images_per_reader = 80;
    wish.design.repeats = 0;
    wish.design.by_condition = false;
    begin(wish);
    std::map<std::string, bool> real;
    for (const KeyImage& i : open_key(wish.out, wish.out / "key.json").images) real[i.image] = i.real;
    Sent* const to = std::string(name) == "s1" ? taught : asked;
    http::Client client(server_->port());
    for (json now = state(client, 0); !now.at("current").is_null();) {
      const http::Answer image = client.get(now.at("current").at("image"), as(0));
      ASSERT_EQ(image.status, 200);
      const bool is_real = real.at(service_->store().current(1)->image);
      to[0].features.push_back(features_of(image));
      // The length that it has by itself: up to the end of the picture.
      to[1].features.push_back(
          {static_cast<double>(image::encode_jpeg(image::decode_image(image.body, "image"), 92).size())});
      for (Sent* one : {&to[0], &to[1]}) one->real.push_back(is_real);
      now = json::parse(client.post_json("/v1/study/answers", good(token_of(now)).dump(), as(0)).body).at("state");
    }
    server_.reset();
  }
  ASSERT_EQ(taught[0].real.size(), 82u);
  ASSERT_EQ(asked[0].real.size(), 164u);
  const Estimate blinded = auc_of(taught[0], asked[0]), bare = auc_of(taught[1], asked[1]);
  ASSERT_TRUE(blinded.low) << blinded.reason;
  // From 95 to 99.9 %, on the scale of the interval (the logit).
  const auto logit = [](double p) { return std::log(p / (1 - p)); };
  const double wider = normal_quantile(0.9995) / normal_quantile(0.975);
  const double middle = logit(*blinded.value);
  EXPECT_LE(middle + wider * (logit(*blinded.low) - middle), 0) << *blinded.value;
  EXPECT_GE(middle + wider * (logit(*blinded.high) - middle), 0) << *blinded.value;
  EXPECT_GT(bare.low.value_or(*bare.value), 0.7) << "the same classifier finds what is there to be found";
}

}  // namespace
}  // namespace derm::study
