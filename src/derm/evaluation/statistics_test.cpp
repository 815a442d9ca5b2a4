#include "derm/evaluation/statistics.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "derm/base/error.h"
#include "derm/base/random.h"

namespace derm::evaluation {
namespace {

using testing::ElementsAre;

TEST(Spearman, IsWhatOneCountsByHand) {
  EXPECT_DOUBLE_EQ(spearman({1, 2, 3, 4}, {10, 20, 30, 1000}), 1.0);
  EXPECT_DOUBLE_EQ(spearman({1, 2, 3, 4}, {4, 3, 2, 1}), -1.0);
  // Ranks 1 2 3 and 2 1 3: 1 - 6 (1 + 1) / (3 x 8) = 0.5.
  EXPECT_DOUBLE_EQ(spearman({1, 2, 3}, {5, 4, 6}), 0.5);
  // Ties share rank 1.5: ranks 1.5 1.5 3 against 1 2 3 give 1.5 / sqrt(1.5 x 2).
  EXPECT_NEAR(spearman({7, 7, 9}, {1, 2, 3}), 1.5 / std::sqrt(3.0), 1e-12);
  EXPECT_TRUE(std::isnan(spearman({1, 2}, {1, 2})));
  EXPECT_TRUE(std::isnan(spearman({1, 1, 1}, {1, 2, 3})));
  EXPECT_THROW(spearman({1, 2, 3}, {1, 2}), UsageError);
}

TEST(Quantile, LiesBetweenTheOrderStatisticsAndLeavesNanOut) {
  EXPECT_DOUBLE_EQ(quantile({4, 1, 3, 2}, 0.5), 2.5);
  EXPECT_DOUBLE_EQ(quantile({0, 10, std::nan("")}, 0.25), 2.5);
  EXPECT_TRUE(std::isnan(quantile({}, 0.5)));
  EXPECT_DOUBLE_EQ(deviation({1, 3}), std::sqrt(2.0));
}

TEST(DrawPatients, NeverSplitsOneAndComesNear) {
  // Patients of 1, 2, 3, ... 10 images: 55 in all.
  std::vector<std::string> patients;
  for (int p = 1; p <= 10; ++p) patients.insert(patients.end(), static_cast<size_t>(p), "p" + std::to_string(p));
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const std::vector<size_t> rows = draw_patients(patients, 27, seed);
    EXPECT_TRUE(std::is_sorted(rows.begin(), rows.end()));
    EXPECT_NEAR(static_cast<double>(rows.size()), 27, 5);
    for (size_t i = 0; i < patients.size(); ++i) {
      const bool in = std::binary_search(rows.begin(), rows.end(), i);
      for (size_t j = 0; j < patients.size(); ++j) {
        if (patients[i] == patients[j]) {
          ASSERT_EQ(in, std::binary_search(rows.begin(), rows.end(), j));
        }
      }
    }
    EXPECT_EQ(rows.size() + complement(rows, patients.size()).size(), patients.size());
  }
  EXPECT_THAT(complement({1, 3}, 5), ElementsAre(0, 2, 4));
}

TEST(HalfSampling, FindsTheDeviationOfAMeanAndOfADifference) {
  // 400 rows of patients with two images each that are alike: the mean has the deviation of 200 values, not of 400.
  Rng rng(5);
  HalfSampling plan;
  std::vector<double> real, synthetic;
  for (int p = 0; p < 200; ++p) {
    const double value = rng.normal();
    for (int k = 0; k < 2; ++k) {
      real.push_back(value);
      plan.real.push_back("p" + std::to_string(p));
    }
  }
  for (int i = 0; i < 400; ++i) {
    synthetic.push_back(rng.normal());
    plan.synthetic.push_back("s" + std::to_string(i));
  }
  const auto mean_of = [](const std::vector<double>& values, const std::vector<size_t>& rows) {
    double sum = 0;
    for (const size_t row : rows) sum += values[row];
    return sum / static_cast<double>(rows.size());
  };
  plan.draws = 400;
  const auto both = [&](const std::vector<size_t>& a, const std::vector<size_t>& b) {
    return std::vector<double>{mean_of(real, a), mean_of(real, a) - mean_of(synthetic, b)};
  };
  const std::vector<double> got = half_sample_deviations(plan, both);
  const double of_real = 1 / std::sqrt(200.0), of_synthetic = 1 / std::sqrt(400.0);
  EXPECT_NEAR(got[0], of_real, 0.15 * of_real);
  EXPECT_NEAR(got[1], std::hypot(of_real, of_synthetic), 0.15 * std::hypot(of_real, of_synthetic));
  plan.most_rows = 100;  // a quarter of the rows: scaled to the same
  EXPECT_NEAR(half_sample_deviations(plan, both)[0], of_real, 0.15 * of_real);
}

TEST(ShareBelow, IsTheExactProbabilityOfTheOrders) {
  // Two synthetic values and one reference: of the three orders of the reference, one has both below it.
  EXPECT_NEAR(share_below_p(2, 2, 1, 1), 1.0 / 3, 1e-12);
  EXPECT_NEAR(share_below_p(1, 2, 1, 1), 2.0 / 3, 1e-12);
  EXPECT_NEAR(share_below_p(0, 2, 1, 1), 1.0, 1e-12);
  // One synthetic value is equally likely in each of the 100 gaps that 99 leave: below the 5th smallest with 5 / 100.
  EXPECT_NEAR(share_below_p(1, 1, 5, 99), 0.05, 1e-12);
  EXPECT_LT(share_below_p(50, 200, 3, 300), 1e-10);
  EXPECT_GT(share_below_p(2, 200, 3, 300), 0.2);
  EXPECT_THROW(share_below_p(3, 2, 1, 1), UsageError);
}

TEST(ShareBelow, AlarmsAsOftenAsItSays) {
  Rng rng(8);
  int alarms = 0;
  constexpr int kTries = 2000;
  for (int t = 0; t < kTries; ++t) {
    std::vector<double> reference, synthetic;
    for (int i = 0; i < 120; ++i) reference.push_back(rng.normal());
    for (int i = 0; i < 150; ++i) synthetic.push_back(rng.normal());
    std::sort(reference.begin(), reference.end());
    const auto below = std::count_if(synthetic.begin(), synthetic.end(), [&](double v) { return v < reference[1]; });
    alarms += share_below_p(static_cast<size_t>(below), 150, 2, 120) < 0.05;
  }
  EXPECT_LE(alarms, 0.05 * kTries + 3 * std::sqrt(0.05 * 0.95 * kTries));
  EXPECT_GE(alarms, 0.01 * kTries);
}

TEST(MannWhitney, IsWhatOneCountsByHand) {
  const std::vector<double> a = {1, 2, 2, 4, 5}, b = {3, 4, 6, 7, 8, 9};
  const MannWhitney got = mann_whitney_less(a, b);
  // Of the 30 pairs a is the larger in three (4 > 3, 5 > 3, 5 > 4) and equal in one: U = 3.5.
  EXPECT_NEAR(got.smaller, 1 - 3.5 / 30, 1e-12);
  // Variance 30 / 12 (12 - 12 / 110), continuity 0.5: z = -11 / 5.452 = -2.0176.
  EXPECT_NEAR(got.p, 0.0218213, 1e-6);
  EXPECT_GT(mann_whitney_less(b, a).p, 0.95);
  EXPECT_DOUBLE_EQ(mann_whitney_less({1, 1}, {1, 1}).p, 1);
}

}  // namespace
}  // namespace derm::evaluation
