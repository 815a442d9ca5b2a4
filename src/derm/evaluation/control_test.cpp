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
#include "derm/image/colour.h"
#include "derm/ranks/testing/ranks.h"
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

/// Judges that read the painter's own picture: it paints "dark" at 0.55 of the skin's L*, "light" at 0.47.
Judges reader() {
  const auto shade = [](const image::Image& image, int x, int y) {
    const uint8_t* p = image.at(x, y);
    return image::lab_of(image::Rgb{p[0], p[1], p[2]}).L;
  };
  Judges judges;
  judges.segmenter = "reader";
  judges.classifier = "reader";
  judges.conditions = {"dark", "light"};
  judges.segment = [shade](const std::vector<image::Image>& images) {
    std::vector<image::Mask> masks;
    for (const image::Image& image : images) {
      image::Mask mask(image.width, image.height, 1);
      const double ground = shade(image, 2, 2);
      for (int y = 0; y < image.height; ++y)
        for (int x = 0; x < image.width; ++x) *mask.at(x, y) = shade(image, x, y) < 0.8 * ground ? 255 : 0;
      masks.push_back(std::move(mask));
    }
    return masks;
  };
  judges.classify = [shade](const std::vector<image::Image>& images) {
    std::vector<std::vector<double>> answers;
    for (const image::Image& image : images) {
      double darkest = 255;
      for (int y = 0; y < image.height; ++y)
        for (int x = 0; x < image.width; ++x) darkest = std::min(darkest, shade(image, x, y));
      const bool light = darkest < 0.51 * shade(image, 2, 2);
      answers.push_back({light ? 0.1 : 0.9, light ? 0.9 : 0.1});
    }
    return answers;
  };
  return judges;
}

TEST_F(ControlTest, RanksShareTheImagesAndFindTheSame) {
  if (!ranks::testing::has_gloo()) GTEST_SKIP() << "this build has no Gloo";
  std::vector<std::unique_ptr<generation::Engine>> engines;
  for (const char* name : {"alone", "first", "second"}) engines.push_back(engine(name, {}));
  const ControlResult alone = measure_control(*engines[0], 40, 3, reader());  // 32 for the one, 8 for the other
  ranks::testing::with_ranks(2, [&](ranks::Group& group) {
    const ControlResult r = measure_control(*engines[1 + static_cast<size_t>(group.rank())], 40, 3, reader(), &group);
    EXPECT_EQ(r.to_csv(), alone.to_csv());
    EXPECT_EQ(r.to_json().at("segmenter"), alone.to_json().at("segmenter"));
    EXPECT_EQ(r.to_json().at("condition"), alone.to_json().at("condition"));
  });
}

TEST_F(ControlTest, TakesTheJudgesWordBesideTheFinders) {
  const Judges judges = reader();
  const ControlResult r = measure_control(*engine("good", {}), 36, 3, judges);
  ASSERT_TRUE(r.judged && r.condition);
  EXPECT_GT(r.judged->iou_median, 0.9);
  EXPECT_LT(r.judged->centre_error_median, 0.01);
  EXPECT_GT(r.judged->area_rank_correlation, 0.97);
  EXPECT_EQ(r.judged->nothing_seen, 0u);
  EXPECT_GT(r.condition->balanced, 0.9);
  EXPECT_DOUBLE_EQ(r.condition->chance, 0.5);
  EXPECT_LE(r.condition->balanced_interval.low, r.condition->balanced);
  EXPECT_EQ(r.segmenter, "reader");

  // A judge that always says the same is right as often as chance.
  Judges blind = judges;
  blind.classify = [](const std::vector<image::Image>& images) {
    return std::vector<std::vector<double>>(images.size(), {0.8, 0.2});
  };
  EXPECT_DOUBLE_EQ(measure_control(*engine("good2", {}), 36, 3, blind).condition->balanced, 0.5);
}

TEST_F(ControlTest, DriftIsTheMovedControlAloneInAPainterThatHeedsItsMap) {
  const Drift drift = measure_drift(*engine("good", {}), 4, 5, 3, reader());
  const auto range = [&](const std::string& control, const std::string& quantity) {
    const auto c = std::find(drift.controls.begin(), drift.controls.end(), control) - drift.controls.begin();
    const auto q = std::find(drift.quantities.begin(), drift.quantities.end(), quantity) - drift.quantities.begin();
    return drift.range.at(static_cast<size_t>(c)).at(static_cast<size_t>(q));
  };
  const data::SkinLocus locus = recipe::stand_in_offer().locus;
  EXPECT_NEAR(range("skin", "ITA"), locus.high_ita() - locus.low_ita(), 2);  // the whole of what is offered
  EXPECT_LT(range("skin", "area"), 0.01);
  EXPECT_LT(range("skin", "x"), 0.01);
  EXPECT_LT(range("size", "ITA"), 2);
  EXPECT_GT(range("size", "area"), 0.1);
  EXPECT_LT(range("size", "x"), 0.03);
  EXPECT_GT(range("x", "x"), 0.4);
  EXPECT_LT(range("x", "y"), 0.01);
  EXPECT_LT(range("x", "ITA"), 1);
  EXPECT_EQ(range("condition", "condition seen"), 1);
  EXPECT_LE(range("skin", "condition seen"), 0.5);
  const auto& interval = drift.interval[0][0];
  EXPECT_LE(interval.low, drift.range[0][0]);
  EXPECT_GE(interval.high, drift.range[0][0]);
}

TEST_F(ControlTest, DriftShowsThatTheRegionDoesNotMove) {
  recipe::Painter painter;
  painter.heed_region = false;
  const Drift drift = measure_drift(*engine("one-region", painter), 3, 4, 3, reader());
  const auto x = std::find(drift.controls.begin(), drift.controls.end(), "x") - drift.controls.begin();
  EXPECT_LT(drift.range[static_cast<size_t>(x)][3], 0.01);
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
