#include "derm/evaluation/fidelity.h"

#include <cmath>
#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "derm/base/csv.h"
#include "derm/base/error.h"
#include "derm/evaluation/testing/sets.h"
#include "derm/metrics/kid.h"

namespace derm::evaluation {
namespace {

using ::testing::HasSubstr;

std::vector<size_t> first_rows(size_t count) {
  std::vector<size_t> rows(count);
  std::iota(rows.begin(), rows.end(), size_t{0});
  return rows;
}

/// 300 phantoms of 32 px: about 210 in train.
class FidelityTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new testing::Folder("fidelity");
    data_ = testing::phantoms(*folder_ / "D", 300, 32, 1);
  }
  static void TearDownTestSuite() {
    data_.reset();
    delete folder_;
  }
  static FidelityOptions quick() {
    FidelityOptions options;
    options.extractors = {metrics::random_extractor()};
    options.draws = 6;
    options.halvings = 2;
    options.pairs = 1;
    options.swd = false;
    return options;
  }
  static ImageSet real() { return ImageSet::real(data_, {"train"}); }
  static ImageSet others() { return ImageSet::real(data_, {"validation", "test"}); }
  static FidelityResult measure(const ImageSet& synthetic, const FidelityOptions& options = quick()) {
    return measure_fidelity(real(), others(), synthetic, options, FeatureCache(*folder_ / "cache"));
  }
  static testing::Folder* folder_;
  static std::shared_ptr<const data::DataSet> data_;
};
testing::Folder* FidelityTest::folder_ = nullptr;
std::shared_ptr<const data::DataSet> FidelityTest::data_;

TEST_F(FidelityTest, OfASetWithItselfIsWhatFormulasSay) {
  const FidelityResult r = measure(real());
  const FigureGroup& all = r.groups.front();
  EXPECT_EQ(all.kind, "all");
  EXPECT_LT(all.find("FD-random-conv-512", "")->value, 1e-3);
  EXPECT_GE(all.find("FD-random-conv-512", "")->value, 0);
  for (const char* metric : {"precision", "recall", "coverage", "density"})
    EXPECT_NEAR(all.find(metric, "")->value, 1, 1e-9) << metric;
  EXPECT_EQ(all.find("colour histograms, JS divergence", "")->value, 0);
  EXPECT_EQ(all.find("colour histograms, Wasserstein", "")->value, 0);
  // Subsets of two draws of one set: unbiased, so around 0, within its own deviation.
  EXPECT_NEAR(all.find("KID-random-conv-512", "")->value, 0, 0.01);
  EXPECT_EQ(all.find("FD-random-conv-512", "")->n_real, real().size());
  EXPECT_THAT(all.find("FD-random-conv-512", "")->note, HasSubstr("biased"));  // 512 dimensions
}

TEST_F(FidelityTest, OfFreshImagesReachesTheFloorAndOfOthersDoesNot) {
  const auto fresh = testing::phantoms(*folder_ / "fresh", 120, 32, 7);
  const auto shifted =
      testing::derived(*fresh, first_rows(120), *folder_ / "shifted", [](const image::Image& image, size_t) {
        image::Image warm = image;
        for (size_t p = 2; p < warm.pixels.size(); p += 3)
          warm.pixels[p] = static_cast<uint8_t>(std::max(0, warm.pixels[p] - 60));
        return warm;
      });
  FidelityOptions options = quick();
  options.draws = 20;
  const FidelityResult near = measure(ImageSet::synthetic(fresh), options);
  options.swd = true;
  const FidelityResult far = measure(ImageSet::synthetic(shifted), options);
  const Figure &kid = *near.groups.front().find("KID-random-conv-512", ""),
               &off = *far.groups.front().find("KID-random-conv-512", "");
  EXPECT_THAT(near.groups.front().floor_from, HasSubstr("halves"));
  EXPECT_LE(kid.low, kid.floor + 0.002);
  EXPECT_GE(kid.high, kid.floor - 0.002);
  EXPECT_GT(off.low, kid.value);  // the interval tells them apart
  EXPECT_GT(off.low, off.floor);
  EXPECT_NEAR(kid.beside, kid.floor, 0.5 * (off.beside - kid.floor));
  EXPECT_NEAR(static_cast<double>(kid.n_floor), static_cast<double>(real().size()) / 2, 3);
  // 60 of 255 in one of three channels, but for what was clipped.
  const Figure& colour = *far.groups.front().find("colour histograms, Wasserstein", "");
  EXPECT_NEAR(colour.value, 60 / 255.0 / 3, 0.02);
  EXPECT_GT(off.value, kid.value);
  EXPECT_EQ(near.groups.front().find("SWD x1000", ""), nullptr);
  const Figure& swd = *far.groups.front().find("SWD x1000", "");
  EXPECT_GT(swd.beside, swd.floor);
  EXPECT_GT(swd.value, swd.low);
  EXPECT_LT(swd.value, swd.high);
}

TEST_F(FidelityTest, SeesCollapse) {
  // 100 images of which 90 are nearly one.
  const auto collapsed =
      testing::derived(*data_, first_rows(100), *folder_ / "collapsed", [](const image::Image& image, size_t i) {
        if (i % 10 == 0) return image;
        image::Image one = image::read_image(data_->path_of(data_->records()[5].file_name));
        one.pixels[i] ^= 1;
        return one;
      });
  FidelityOptions options = quick();
  options.pairs = 8;
  const FidelityResult r = measure(ImageSet::synthetic(collapsed), options);
  EXPECT_LT(r.groups.front().find("coverage", "")->value, 0.5);
  // Recall does not see it: the few other images' balls reach far, which is why coverage stands beside it.
  EXPECT_GT(r.groups.front().find("precision", "")->value, 0.6);
  const Figure& alike = *r.groups.front().find("MS-SSIM", "");
  EXPECT_GT(alike.value, alike.floor);
  ASSERT_EQ(r.sweeps.size(), 1u);
  EXPECT_EQ(r.sweeps[0].k.size(), 10u);
  EXPECT_LE(r.sweeps[0].recall.front(), r.sweeps[0].recall.back());  // balls grow with k
}

TEST_F(FidelityTest, GivesSmallGroupsNoNumberAndSaysWhy) {
  const FidelityResult r = measure(ImageSet::synthetic(testing::phantoms(*folder_ / "small", 70, 32, 3)));
  size_t refused = 0;
  for (const FigureGroup& g : r.groups) {
    if (g.kind == "all") {
      EXPECT_TRUE(g.refused.empty());
      continue;
    }
    EXPECT_LT(g.n_synthetic, 64u);
    EXPECT_TRUE(g.figures.empty());
    EXPECT_THAT(g.refused, HasSubstr("64 of each"));
    ++refused;
  }
  EXPECT_GE(refused, 7u);
  EXPECT_EQ(r.to_json().dump().find("nan"), std::string::npos);
  const CsvTable table = CsvTable::parse(r.to_csv(), "fidelity.csv");
  EXPECT_EQ(table.size(), refused + r.groups.front().figures.size());
}

TEST_F(FidelityTest, TakesTheFloorFromOtherSplitsWhereHalvesAreTooSmall) {
  const ImageSet few = real().subset(first_rows(100));
  const FidelityResult r = measure_fidelity(
      few, others(), ImageSet::synthetic(testing::phantoms(*folder_ / "any", 80, 32, 4)), quick(), FeatureCache({}));
  EXPECT_THAT(r.groups.front().floor_from, HasSubstr("validation+test"));
  EXPECT_EQ(r.groups.front().find("precision", "")->n_floor, std::min<size_t>(80, others().size()));
  const FidelityResult none = measure_fidelity(few, std::nullopt, ImageSet::synthetic(testing::open(*folder_ / "any")),
                                               quick(), FeatureCache({}));
  EXPECT_THAT(none.groups.front().floor_from, HasSubstr("none"));
  EXPECT_TRUE(std::isnan(none.groups.front().find("precision", "")->floor));
  EXPECT_TRUE(std::isfinite(none.groups.front().find("precision", "")->value));
}

TEST_F(FidelityTest, IsTheSameForTheSameSeedAndRefusesTooFewAndTooSmall) {
  const ImageSet set = ImageSet::synthetic(testing::phantoms(*folder_ / "again", 64, 32, 5));
  EXPECT_EQ(measure(set).to_json(), measure(set).to_json());
  EXPECT_THROW(measure(set.subset(first_rows(63))), DataError);
  EXPECT_THROW(measure(ImageSet::synthetic(testing::phantoms(*folder_ / "large", 64, 64, 5))), UsageError);
}

}  // namespace
}  // namespace derm::evaluation
