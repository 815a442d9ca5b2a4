#include "derm/data/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <map>

#include "derm/base/error.h"
#include "derm/base/files.h"

namespace derm::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Offer offer() {
  std::vector<image::Lab> colours;
  for (int i = 0; i < 200; ++i) {
    const double ita = 5 + 50.0 * i / 199;
    image::Lab lab = SkinLocus().at(ita);
    lab.a += (i % 5 - 2) * 0.8;
    colours.push_back(lab);
  }
  Offer made;
  made.conditions = {"melanoma", "nevus", "seborrheic_keratosis"};
  made.locus = SkinLocus::fit(colours);
  made.low_size = 0.15;
  made.high_size = 0.75;
  return made;
}

template <class Call>
std::string refusal(Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(MakeRequest, FillsInTheDefaults) {
  const Request request = make_request({}, offer());
  EXPECT_EQ(request.condition(), "melanoma");
  EXPECT_EQ(request.regions[0].x, 0.5);
  EXPECT_EQ(request.regions[0].w, 0.35);
  EXPECT_EQ(request.regions[0].h, 0.35);
  EXPECT_EQ(request.regions[0].shape, Shape::blob);
  EXPECT_NEAR(image::ita_degrees(request.skin), 30, 0.1);  // the middle of 7.5 and 52.5
  EXPECT_FALSE(request.extrapolated);
}

TEST(MakeRequest, TakesFlagsAndFurtherRegions) {
  Wish wish;
  wish.condition = "nevus";
  wish.skin = "ita:-40";
  wish.size = "0.4";
  wish.aspect = "2";
  wish.x = "0.3";
  wish.shape = "ellipse";
  wish.seed = 9;
  wish.regions = {"condition=melanoma,x=0.8,y=0.8,size=0.1,shape=box"};
  const Request request = make_request(wish, offer());
  ASSERT_EQ(request.regions.size(), 2u);
  EXPECT_DOUBLE_EQ(request.regions[0].w, 0.4);
  EXPECT_DOUBLE_EQ(request.regions[0].h, 0.2);
  EXPECT_TRUE(request.extrapolated);
  EXPECT_EQ(request.skin_text, "ita:-40");
  EXPECT_EQ(request.seed, 9u);
  EXPECT_EQ(request.regions[1].condition, "melanoma");
  EXPECT_EQ(request.regions[1].shape, Shape::box);
}

TEST(MakeRequest, RefusesWhatCannotBe) {
  const auto with = [](const std::string& key, const std::string& value) {
    return refusal([&] { make_request(with_value({}, key, value), offer()); });
  };
  EXPECT_THAT(with("condition", "nevis"), HasSubstr("nevus"));
  EXPECT_THAT(with("size", "abc"), HasSubstr("not a number"));
  EXPECT_THAT(with("size", "1.5"), HasSubstr("at most 1"));
  EXPECT_THAT(with("aspect", "0"), HasSubstr("above 0"));
  EXPECT_THAT(with("x", "0.99"), HasSubstr("leaves the image"));
  EXPECT_THAT(with("shape", "mask"), HasSubstr("--mask"));
  EXPECT_THAT(with("sice", "1"), HasSubstr("size"));
  Wish wish;
  wish.regions = {"condition=nevus,sise=0.1"};
  EXPECT_THAT(refusal([&] { make_request(wish, offer()); }), HasSubstr("\"size\""));
}

TEST(MakeRequest, GoesAlongLatentDirections) {
  Offer two = offer();
  Wish wish;
  wish.directions = {"2=-1.5"};
  EXPECT_THROW(make_request(wish, two), UsageError);  // it has none
  two.directions = {{"darker skin", 2}, {"larger lesion", 2}};
  EXPECT_EQ(make_request(wish, two).directions, (std::vector<double>{0, -1.5}));
  for (const char* bad : {"3=1", "0=1", "x=1", "1", "1=far"}) {
    wish.directions = {bad};
    EXPECT_THROW(make_request(wish, two), UsageError) << bad;
  }
}

TEST(ParseSweep, RangesWithAndWithoutCount) {
  EXPECT_THAT(parse_sweep("size=0.1..0.6:6", offer()).values, ElementsAre("0.1", "0.2", "0.3", "0.4", "0.5", "0.6"));
  EXPECT_THAT(parse_sweep("x=0..1", offer()).values, ElementsAre("0", "0.2", "0.4", "0.6", "0.8", "1"));
  EXPECT_THAT(parse_sweep("seed=1..4", offer()).values, ElementsAre("1", "2", "3", "4"));
  EXPECT_THAT(parse_sweep("skin=monk:1..3", offer()).values, ElementsAre("monk:1", "monk:2", "monk:3"));
  EXPECT_THAT(parse_sweep("skin=ita:-20..50:5", offer()).values,
              ElementsAre("ita:-20", "ita:-2.5", "ita:15", "ita:32.5", "ita:50"));
  EXPECT_EQ(parse_sweep("skin=ita:-20..50", offer()).values.size(), 6u);
  EXPECT_THAT(parse_sweep("size=0.3..0.3", offer()).values, ElementsAre("0.3"));
}

TEST(ParseSweep, Lists) {
  EXPECT_THAT(parse_sweep("x=0.3,0.5,0.7", offer()).values, ElementsAre("0.3", "0.5", "0.7"));
  EXPECT_THAT(parse_sweep("condition=nevus,melanoma", offer()).values, ElementsAre("nevus", "melanoma"));
  EXPECT_THAT(parse_sweep("condition=*", offer()).values, ElementsAre("melanoma", "nevus", "seborrheic_keratosis"));
  EXPECT_THAT(parse_sweep("skin=ita:10,20,#c68642,monk:4", offer()).values,
              ElementsAre("ita:10", "ita:20", "#c68642", "monk:4"));
  EXPECT_THAT(parse_sweep("shape=*", offer()).values, ElementsAre("box", "ellipse", "blob"));
}

TEST(ParseSweep, RefusesWhatItDoesNotUnderstand) {
  const auto told = [](const std::string& text) { return refusal([&] { parse_sweep(text, offer()); }); };
  EXPECT_THAT(told("sise=0.1..0.5"), HasSubstr("\"size\""));
  EXPECT_THAT(told("size"), HasSubstr("KEY=VALUES"));
  EXPECT_THAT(told("size="), HasSubstr("KEY=VALUES"));
  EXPECT_THAT(told("size=0.6..0.1"), HasSubstr("backward"));
  EXPECT_THAT(told("size=0.1..0.6:0"), HasSubstr("count"));
  EXPECT_THAT(told("seed=1..65"), HasSubstr("64"));
  EXPECT_THAT(told("seed=1..1.5"), HasSubstr("integers"));
  EXPECT_THAT(told("size=0.1,,0.3"), HasSubstr("empty"));
  EXPECT_THAT(told("size=a..b"), HasSubstr("range of numbers"));
  EXPECT_THAT(told("condition=nevsu"), HasSubstr("nevus"));
  EXPECT_THAT(told("skin=monk:0..3"), HasSubstr("monk"));
  EXPECT_THAT(told("skin=red"), HasSubstr("ita:DEGREES"));
}

class PlanFile : public testing::Test {
 protected:
  void SetUp() override {
    file_ = std::filesystem::temp_directory_path() /
            ("derm-plan-" + std::to_string(getpid()) + "-" +
             testing::UnitTest::GetInstance()->current_test_info()->name() + ".csv");
  }
  void TearDown() override { std::filesystem::remove(file_); }
  std::vector<Request> read(const std::string& text) {
    write_file(file_, text);
    return read_plan(file_, offer());
  }
  std::filesystem::path file_;
};

TEST_F(PlanFile, RowsBecomeRequests) {
  const auto requests = read(
      "condition,skin,size,seed,count,regions\n"
      "nevus,ita:20,0.3,5,3,\n"
      "melanoma,,,,2,\"condition=nevus,x=0.8,y=0.8,size=0.1;condition=nevus,x=0.2,y=0.2,size=0.1\"\n");
  ASSERT_EQ(requests.size(), 5u);
  EXPECT_EQ(requests[0].seed, 5u);
  EXPECT_EQ(requests[2].seed, 7u);
  EXPECT_EQ(requests[3].seed, 3u);  // its place in the plan
  EXPECT_EQ(requests[4].regions.size(), 3u);
  EXPECT_EQ(requests[0].condition(), "nevus");
}

TEST_F(PlanFile, MistakesAreNamedWithTheirRow) {
  EXPECT_THAT(refusal([&] { read("condition,sice\nnevus,0.3\n"); }), HasSubstr("\"size\""));
  EXPECT_THAT(refusal([&] { read("condition,size\nnevus,0.3\nnevus,3\n"); }), HasSubstr("row 3"));
  EXPECT_THAT(refusal([&] { read("condition,count\nnevus,0\n"); }), HasSubstr("count"));
  EXPECT_THAT(refusal([&] { read("condition\n"); }), HasSubstr("no rows"));
}

TEST(BalancedRequests, ConditionsTonesAndSizesAreEven) {
  const Offer offered = offer();
  const auto requests = balanced_requests(360, {"condition", "tone", "size"}, offered, 1);
  std::map<std::string, int> conditions, tones;
  int third[3] = {0, 0, 0};
  for (const Request& r : requests) {
    ++conditions[r.condition()];
    ++tones[image::tone_of(image::ita_degrees(r.skin))];
    ++third[std::min(2, static_cast<int>((r.regions[0].size() - 0.15) / 0.2))];
    EXPECT_FALSE(r.extrapolated) << r.skin_text;
    EXPECT_LE(r.regions[0].size(), 0.75);
    EXPECT_GE(r.regions[0].size(), 0.15);
    validate(r, offered.conditions);
  }
  EXPECT_THAT(conditions, ElementsAre(testing::Pair("melanoma", 120), testing::Pair("nevus", 120),
                                      testing::Pair("seborrheic_keratosis", 120)));
  EXPECT_EQ(tones.size(), 4u);  // 7.5 to 52.5 reaches brown, tan, intermediate and light
  for (const auto& [tone, count] : tones) EXPECT_EQ(count, 90) << tone;
  for (const int count : third) EXPECT_NEAR(count, 120, 1);
}

TEST(BalancedRequests, RepeatBySeedAndDifferAmongThemselves) {
  const auto a = balanced_requests(20, {"condition"}, offer(), 4), b = balanced_requests(20, {"condition"}, offer(), 4);
  const auto c = balanced_requests(20, {"condition"}, offer(), 5);
  int same = 0;
  for (size_t i = 0; i < 20; ++i) {
    EXPECT_EQ(to_json(a[i]), to_json(b[i]));
    same += to_json(a[i]) == to_json(c[i]);
  }
  EXPECT_EQ(same, 0);
  EXPECT_NE(a[0].seed, a[1].seed);
  // A longer list begins with the shorter one.
  EXPECT_EQ(to_json(balanced_requests(50, {"condition"}, offer(), 4)[7]), to_json(a[7]));
  EXPECT_THAT(refusal([] { balanced_requests(1, {"tones"}, offer(), 0); }), HasSubstr("\"tone\""));
}

TEST(Offer, ComesBackFromJson) {
  const Offer first = offer(), back = Offer::from_json(nlohmann::json::parse(first.to_json().dump()));
  EXPECT_EQ(back.conditions, first.conditions);
  EXPECT_EQ(back.shape, first.shape);
  EXPECT_EQ(back.low_size, 0.15);
  EXPECT_EQ(back.locus.low_ita(), first.locus.low_ita());
  EXPECT_THROW(Offer::from_json({{"conditions", {"a"}}}), DataError);
}

}  // namespace
}  // namespace derm::data
