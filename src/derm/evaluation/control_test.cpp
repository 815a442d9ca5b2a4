#include "derm/evaluation/control_report.h"

#include <unistd.h>

#include <cmath>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "derm/base/csv.h"
#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/image/codec.h"
#include "derm/recipe/stand_in.h"

namespace derm::evaluation {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

ControlSample sample(double asked, double measured, double error) {
  ControlSample s;
  s.request.regions.resize(1);
  s.request.regions[0].condition = "nevus";
  s.ita_asked = asked;
  s.ita_measured = measured;
  s.skin_error = error;
  s.area_asked = s.area_found = 0.1 + asked / 1000;
  s.region_iou = 0.8;
  return s;
}

TEST(Summarise, GivesMediansAndIntervalsAroundThem) {
  std::vector<ControlSample> samples;
  for (int i = 1; i <= 101; ++i) samples.push_back(sample(i * 0.5, i * 0.5 + 3, i));
  const ControlResult r = summarise(samples, 7);
  EXPECT_DOUBLE_EQ(r.skin_error_median, 51);
  EXPECT_DOUBLE_EQ(r.skin_error_p95, 96);
  EXPECT_DOUBLE_EQ(r.ita_error_median, 3);
  EXPECT_DOUBLE_EQ(r.ita_rank_correlation, 1);
  EXPECT_EQ(r.nothing_found, 0u);
  // A median of 101 uniform values: about +- 1.96 x 101 x 0.5 / sqrt(101), some 9.8.
  EXPECT_NEAR(r.skin_error_interval.low, 41, 4);
  EXPECT_NEAR(r.skin_error_interval.high, 61, 4);
  EXPECT_DOUBLE_EQ(r.ita_rank_interval.low, 1);
  EXPECT_EQ(summarise(samples, 7).skin_error_interval.low, r.skin_error_interval.low);
  ASSERT_EQ(r.by_condition.size(), 1u);
  EXPECT_EQ(r.by_condition[0].count, 101u);
  EXPECT_EQ(r.by_tone.front().name, "light");  // ITA 50.5 is the lightest asked
  EXPECT_EQ(r.by_tone.back().name, "brown");
}

TEST(Summarise, KeepsJsonReadableWithoutEnoughImages) {
  const ControlResult r = summarise({sample(30, 31, 1)}, 0);
  const nlohmann::json json = nlohmann::json::parse(r.to_json().dump());
  EXPECT_TRUE(json.at("ita_rank_correlation").is_null());
  EXPECT_EQ(json.at("count"), 1);
}

class ControlTest : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::temp_directory_path() / ("derm-control-" + std::to_string(getpid()));
    fs::remove_all(root_);
    fs::create_directories(root_);
  }
  void TearDown() override { fs::remove_all(root_); }
  std::unique_ptr<generation::Engine> engine(const std::string& name, recipe::Painter painter) {
    recipe::write_untrained_bundle(root_ / name, painter, "painter", 128, recipe::stand_in_offer());
    generation::EngineOptions options;
    options.bundle = root_ / name;
    options.device = "cpu";
    return std::make_unique<generation::Engine>(options, recipe::stand_in_catalogue());
  }
  fs::path root_;
};

TEST_F(ControlTest, FindsNothingToBlameInAPainterThatHeedsItsMap) {
  const ControlResult r = measure_control(*engine("good", {}), 36, 3);
  EXPECT_EQ(r.samples.size(), 36u);
  EXPECT_LT(r.skin_error_median, 1.5);
  EXPECT_GT(r.ita_rank_correlation, 0.98);
  EXPECT_LT(r.ita_error_median, 2);
  EXPECT_GT(r.region_iou_median, 0.75);
  EXPECT_GT(r.area_rank_correlation, 0.9);
  EXPECT_LT(r.centre_error_median, 0.03);
  EXPECT_EQ(r.by_condition.size(), 2u);
  EXPECT_FALSE(r.bundle_sha256.empty());
}

TEST_F(ControlTest, SeesThatTheSkinColourIsIgnored) {
  recipe::Painter painter;
  painter.heed_skin = false;
  const ControlResult r = measure_control(*engine("one-skin", painter), 36, 3);
  EXPECT_GT(r.skin_error_median, 5);
  EXPECT_LT(std::abs(r.ita_rank_correlation), 0.6);
  EXPECT_GT(r.region_iou_median, 0.75);  // the region is heeded still
}

TEST_F(ControlTest, SeesThatTheRegionIsIgnored) {
  recipe::Painter painter;
  painter.heed_region = false;
  const ControlResult r = measure_control(*engine("one-region", painter), 36, 3);
  EXPECT_LT(r.region_iou_median, 0.6);
  EXPECT_LT(std::abs(r.area_rank_correlation), 0.5);
}

TEST_F(ControlTest, WritesAReportThatShowsTheFourControls) {
  const fs::path run = root_ / "run";
  fs::create_directories(run);
  std::ofstream(run / "stats.jsonl") << R"({"step":1,"kimg":0.1,"losses":{"g_main/l1":0.5,"d_main/real":0.7}})"
                                     << "\n"
                                     << R"({"step":2,"kimg":0.2,"losses":{"g_main/l1":0.4,"d_main/real":0.6}})"
                                     << "\n"
                                     << R"({"step":3,"kim)";
  std::ofstream(run / "metric-kid.jsonl") << R"({"step":2,"kimg":0.2,"kid":0.05})"
                                          << "\n";
  image::write_png(run / "fakes000002.png", image::Image(40, 20, 3, 128));
  const auto model = engine("good", {});
  ControlReportOptions options;
  options.count = 12;
  options.seed = 1;
  options.run = run;
  options.drift_sweeps = 2;
  options.drift_steps = 3;
  write_control_report(*model, options, root_ / "out");
  const std::string html = read_file(root_ / "out/report.html");
  for (const char* part : {"Condition", "Size", "Place", "Skin colour", "Limits", "not a medical device", "monk:10",
                           "N = 12", "g_main/l1", "KID", "What else moves"}) {
    EXPECT_THAT(html, HasSubstr(part));
  }
  EXPECT_THAT(html, HasSubstr(model->bundle_sha256()));
  const nlohmann::json json = nlohmann::json::parse(read_file(root_ / "out/control.json"));
  EXPECT_EQ(json.at("count"), 12);
  EXPECT_EQ(json.at("seed"), 1);
  EXPECT_EQ(json.at("bundle_sha256"), model->bundle_sha256());
  EXPECT_EQ(json.at("skin_error_median_interval").size(), 2u);
  EXPECT_EQ(CsvTable::read(root_ / "out/control.csv").size(), 12u);
  for (const char* sweep : {"condition", "size", "place", "ita", "monk"}) {
    EXPECT_TRUE(fs::exists(root_ / "out" / fmt::format("sweep-{}.png", sweep))) << sweep;
  }
  EXPECT_THROW(write_control_report(*model, options, root_ / "out"), UsageError);  // never over an old one
  options.run = root_ / "no-run";
  EXPECT_THROW(write_control_report(*model, options, root_ / "new"), UsageError);
  EXPECT_FALSE(fs::exists(root_ / "new"));
}

}  // namespace
}  // namespace derm::evaluation
