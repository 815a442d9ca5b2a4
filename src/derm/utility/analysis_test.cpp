#include "derm/utility/analysis.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "derm/base/error.h"
#include "derm/base/random.h"

namespace derm::utility {
namespace {

using testing::DoubleNear;
using testing::ElementsAre;

TEST(Holm, StepsDown) {
  // 0.01 x 4, then 0.02 x 3 = 0.06, 0.03 x 2 = 0.06, and 0.04 x 1 stays no smaller than the one before.
  EXPECT_THAT(holm({0.02, 0.01, 0.04, 0.03}), ElementsAre(DoubleNear(0.06, 1e-12), DoubleNear(0.04, 1e-12),
                                                          DoubleNear(0.06, 1e-12), DoubleNear(0.06, 1e-12)));
  const auto some = holm({0.04, std::nan(""), 0.7});
  EXPECT_NEAR(some[0], 0.08, 1e-12);
  EXPECT_TRUE(std::isnan(some[1]));
  EXPECT_NEAR(some[2], 0.7, 1e-12);
}

TEST(SmallestEffect, IsTheTextbooks) {
  // (1.960 + 0.842) standard errors with many degrees of freedom; (2.776 + 0.941) with four.
  EXPECT_NEAR(smallest_effect(0.01, 1e9), 0.02801585, 1e-7);
  EXPECT_NEAR(smallest_effect(0.01, 4), 0.03717410, 1e-5);
  EXPECT_GT(smallest_effect(0.01, 50, 0.05 / 6), smallest_effect(0.01, 50));
}

TEST(Estimate, AddsSeedsAndPatients) {
  // One fold, seeds 0.1 and 0.3: variance 0.02 over 2; draws of patients of variance 0.04.
  Sample sample{.values = {{0.1, 0.3}}, .draws = {}, .same_patients = false, .patients = 101};
  Rng rng(2);
  for (int i = 0; i < 100000; ++i) sample.draws.push_back(0.2 + 0.2 * rng.normal());
  const Estimate e = estimate(sample);
  EXPECT_NEAR(e.value, 0.2, 1e-12);
  EXPECT_NEAR(e.trainings, 0.1, 1e-12);
  EXPECT_NEAR(e.patients, 0.2, 0.002);
  EXPECT_NEAR(e.error, std::sqrt(0.05), 0.002);
  EXPECT_NEAR(e.df, 0.05 * 0.05 / (0.04 * 0.04 / 100 + 0.01 * 0.01 / 1), 0.6);
  EXPECT_NEAR((e.high - e.value) / e.error, 2.0764, 0.005);  // Student's with 21.6 degrees of freedom
}

TEST(Estimate, OfOneSeedAFoldTakesTheGreaterOfTwoVariances) {
  Sample sample{.values = {{0.0}, {0.2}, {0.4}, {0.6}, {0.8}}, .draws = {}, .same_patients = false, .patients = 50};
  for (int i = 0; i < 1000; ++i) sample.draws.push_back(0.4 + (i % 2 ? 0.01 : -0.01));
  Estimate e = estimate(sample);  // folds vary far more than patients explain
  EXPECT_NEAR(e.error, std::sqrt(0.1 / 5), 1e-9);
  EXPECT_EQ(e.df, 4);
  for (double& v : sample.draws) v = 0.4 + (v > 0.4 ? 0.3 : -0.3);
  e = estimate(sample);
  EXPECT_NEAR(e.error, 0.3, 1e-3);
  EXPECT_EQ(e.df, 49);
}

TEST(Estimate, OfTheSamePatientsAddsTheFolds) {
  Sample sample{.values = {{0.1}, {0.3}}, .draws = {}, .same_patients = true, .patients = 40};
  for (int i = 0; i < 1000; ++i) sample.draws.push_back(0.2 + (i % 2 ? 0.1 : -0.1));
  EXPECT_NEAR(estimate(sample).error, std::sqrt(0.01 + 0.02 / 2), 1e-3);
}

TEST(Estimate, HasNoIntervalWhereThereIsNothingToDraw) {
  const Sample sample{
      .values = {{0.4}}, .draws = std::vector<double>(100, std::nan("")), .same_patients = false, .patients = 9};
  const Estimate e = estimate(sample);
  EXPECT_EQ(e.value, 0.4);
  EXPECT_TRUE(std::isnan(e.low) && std::isnan(e.p));
}

/// A fold of `patients` with two images each, answered right with this probability by answers that follow `seed`.
Asked made(size_t patients, double right, uint64_t seed) {
  Asked asked;
  asked.answers.conditions = 2;
  Rng rng(seed);
  for (size_t p = 0; p < patients; ++p) {
    const size_t label = p % 2;
    const bool knows = rng.uniform() < right;  // both images of a patient alike
    for (int i = 0; i < 2; ++i) {
      asked.answers.label.push_back(label);
      const double second = (label == 1) == knows ? 0.8 : 0.2;
      asked.answers.p.insert(asked.answers.p.end(), {1 - second, second});
      asked.patient.push_back("p" + std::to_string(p));
    }
  }
  return asked;
}

TEST(Samples, DrawPatientsNotImages) {
  const auto samples = samples_of({{made(200, 0.7, 1)}}, false, 2000, 5);
  const Estimate e = estimate(samples.front());
  // 200 patients, not 400 images: sqrt(0.7 x 0.3 / 200) = 0.032, and not 0.023.
  EXPECT_NEAR(e.patients, 0.0324, 0.004);
  EXPECT_EQ(samples.front().patients, 200u);
}

TEST(Samples, CoverTheTruthAsOftenAsTheyShould) {
  // Two arms of the same true skill 0.7 in five folds of 40 patients: the interval of their difference holds 0 in about
  // 95 of 100 experiments, and in no fewer than 90 (0.95 less two deviations of the count).
  int holds = 0;
  for (uint64_t i = 0; i < 100; ++i) {
    std::vector<std::vector<Asked>> a, b;
    for (uint64_t f = 0; f < 5; ++f) {
      a.push_back({made(40, 0.7, mix_seed(i, f))});
      b.push_back({made(40, 0.7, mix_seed(i, 100 + f))});
    }
    const Estimate e = estimate(difference(samples_of(a, false, 200, i)[0], samples_of(b, false, 200, i)[0]));
    holds += e.low <= 0 && e.high >= 0;
  }
  EXPECT_GE(holds, 90);
}

TEST(Difference, OfAnArmWithItselfIsNothing) {
  const auto samples = samples_of({{made(50, 0.8, 1), made(50, 0.8, 2)}}, false, 200, 5);
  const Estimate e = estimate(difference(samples[0], samples[0]));
  EXPECT_EQ(e.value, 0.0);
  EXPECT_EQ(e.error, 0.0);
  EXPECT_EQ(e.p, 1.0);
  EXPECT_THROW(difference(samples[0], Sample{}), UsageError);
}

}  // namespace
}  // namespace derm::utility
