#include "derm/study/power.h"

#include <cmath>

#include <gtest/gtest.h>

#include "derm/base/error.h"
#include "derm/base/random.h"
#include "derm/study/statistics.h"

namespace derm::study {
namespace {

Exposure all_see_all(int64_t images, int64_t readers) {
  const auto n = static_cast<size_t>(images);
  return {std::vector<int64_t>(n, readers), std::vector<int64_t>(n, readers), readers};
}

TEST(Power, AgreesWithTheFormulaInPython) {
  PowerAssumptions a;
  EXPECT_NEAR(power_of_test(all_see_all(30, 6), a, 1), 0.639326941867, 1e-10);
  Exposure blocks;
  blocks.readers = 6;
  blocks.synthetic.assign(10, 6);
  blocks.synthetic.insert(blocks.synthetic.end(), 60, 2);
  blocks.real = blocks.synthetic;
  a.icc_reader = 0;
  a.icc_image = 0.2;
  a.accuracy = 0.58;
  EXPECT_NEAR(power_of_test(blocks, a, 1), 0.710175961753, 1e-10);
}

TEST(Power, WithoutCorrelationIsThatOfSimulatedCoins) {
  // 3 readers, 20 + 20 images, accuracy 0.62, all answers independent: reject when |share - 1/2| > 1.96 sqrt(1/4 /
  // 120).
  PowerAssumptions a;
  a.icc_reader = a.icc_image = 0;
  a.accuracy = 0.62;
  Rng rng(11);
  int rejected = 0;
  const int studies = 4000;
  for (int s = 0; s < studies; ++s) {
    int right = 0;
    for (int i = 0; i < 120; ++i) right += rng.chance(0.62);
    rejected += std::fabs(right / 120.0 - 0.5) > 1.96 * std::sqrt(0.25 / 120);
  }
  // A share of whole answers steps by 1/120, which moves the power by some hundredths.
  EXPECT_NEAR(power_of_test(all_see_all(20, 3), a, 1), rejected / static_cast<double>(studies), 0.04);
}

TEST(Power, WithReadersAndImagesThatDifferIsThatOfSimulatedStudies) {
  // 6 readers see all of 30 + 30 images. The probability of being right varies by reader and by image so that answers
  // correlate by 0.02 and 0.1: variances of that share of p (1 - p) = 0.24.
  const PowerAssumptions a;
  const Exposure e = all_see_all(30, 6);
  const double formula = power_of_test(e, a, 1);
  const double spread = std::sqrt(0.24), chance_deviation = std::sqrt(0.25 * ((0.25 / 30 + 0.25 / 30) / 4 + 0.02 / 6));
  // S = 30 x 6 x (1 + 5 x 0.1) / 180^2 = 0.25 / 30 on either side.
  Rng rng(12);
  int rejected = 0;
  const int studies = 4000;
  for (int s = 0; s < studies; ++s) {
    double reader[6], right = 0;
    for (double& r : reader) r = std::sqrt(0.02) * spread * rng.normal();
    for (int i = 0; i < 60; ++i) {
      const double image = std::sqrt(0.1) * spread * rng.normal();
      for (const double r : reader) right += rng.chance(0.6 + r + image);
    }
    rejected += std::fabs(right / 360 - 0.5) > 1.96 * chance_deviation;
  }
  EXPECT_NEAR(formula, rejected / static_cast<double>(studies), 0.03);
}

TEST(Power, RisesWithImagesAndFallsWithModelsAndCorrelation) {
  PowerAssumptions a;
  const double base = power_of_test(all_see_all(30, 6), a, 1);
  EXPECT_GT(power_of_test(all_see_all(60, 6), a, 1), base);
  EXPECT_LT(power_of_test(all_see_all(30, 6), a, 3), base);
  a.icc_image = 0.3;
  EXPECT_LT(power_of_test(all_see_all(30, 6), a, 1), base);
}

TEST(Power, DetectableAccuracyHasTheWantedPower) {
  PowerAssumptions a;
  const Exposure e = all_see_all(40, 5);
  a.accuracy = detectable_accuracy(e, a, 2);
  EXPECT_NEAR(power_of_test(e, a, 2), 0.8, 1e-6);
}

TEST(Power, OfOneReaderIsExact) {
  // 20 answers: 15 right is the fewest with two-sided p <= 0.05 (0.0414; 14 gives 0.115). P(X >= 15) = 0.8 at 0.8005.
  EXPECT_NEAR(detectable_by_one(20, 0.8, 0.05), 0.8, 0.005);
  EXPECT_EQ(detectable_by_one(4, 0.8, 0.05), 1);  // four of four has p = 0.125: never
}

TEST(Power, RefusesWhatIsNoProbability) {
  PowerAssumptions a;
  a.accuracy = 0.5;
  EXPECT_THROW(a.validate(), UsageError);
  a.accuracy = 0.6;
  a.icc_image = 1;
  EXPECT_THROW(a.validate(), UsageError);
}

}  // namespace
}  // namespace derm::study
