#include "derm/utility/scores.h"

#include <cmath>

#include <gtest/gtest.h>

#include "derm/base/random.h"

namespace derm::utility {
namespace {

/// Positions in figures of two conditions: four overall, then F1, recall, AUC of each.
enum { kBalanced, kMacroF1, kMacroAuc, kEce, kF1, kRecall = 6, kAuc = 8 };

/// Two conditions; p is the second one's probability.
Answers two(std::vector<size_t> label, const std::vector<double>& p) {
  Answers answers{.conditions = 2, .label = std::move(label), .p = {}};
  for (const double v : p) answers.p.insert(answers.p.end(), {1 - v, v});
  return answers;
}

TEST(Scorer, GivesWhatOneCountsByHand) {
  // Second condition: three images, two found; first: two images, one taken for the second.
  const Scorer scorer(two({1, 1, 1, 0, 0}, {0.9, 0.8, 0.3, 0.6, 0.1}));
  const auto f = scorer();
  EXPECT_NEAR(f[kRecall], 0.5, 1e-12);
  EXPECT_NEAR(f[kRecall + 1], 2.0 / 3, 1e-12);
  EXPECT_NEAR(f[kBalanced], (0.5 + 2.0 / 3) / 2, 1e-12);
  EXPECT_NEAR(f[kF1], 2 * 1 / (2.0 + 2), 1e-12);      // answered twice, there twice, right once
  EXPECT_NEAR(f[kF1 + 1], 2 * 2 / (3.0 + 3), 1e-12);  // answered three times, there three times, right twice
  EXPECT_NEAR(f[kAuc + 1], 5.0 / 6, 1e-12);           // of six pairs only 0.3 against 0.6 is wrong
  EXPECT_NEAR(f[kAuc], 5.0 / 6, 1e-12);
}

TEST(Scorer, CountsTiesHalf) {
  const Scorer scorer(two({1, 0, 0}, {0.5, 0.5, 0.1}));
  EXPECT_NEAR(scorer()[kAuc + 1], 0.75, 1e-12);
}

TEST(Scorer, WeighsAsIfImagesStoodThereSoOften) {
  const Scorer weighted(two({1, 1, 0, 0}, {0.9, 0.4, 0.6, 0.2})), plain(two({1, 1, 1, 0}, {0.9, 0.9, 0.4, 0.6}));
  const auto a = weighted({2, 1, 1, 0}), b = plain();
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-12) << i;
}

TEST(Scorer, LeavesOutConditionsThatNobodyHas) {
  const Scorer scorer(two({1, 1}, {0.9, 0.2}));
  const auto f = scorer();
  EXPECT_TRUE(std::isnan(f[kRecall]));
  EXPECT_NEAR(f[kBalanced], 0.5, 1e-12);
  EXPECT_TRUE(std::isnan(f[kMacroAuc]));
  for (const double v : Scorer(two({}, {}))()) EXPECT_TRUE(std::isnan(v));
}

TEST(Ece, IsNothingForProbabilitiesThatHold) {
  // 0.8 for the second condition of 1000 images each: of those told so, four in five are of it.
  Answers answers{.conditions = 2, .label = {}, .p = {}};
  for (size_t k = 0; k < 2; ++k)
    for (int i = 0; i < 1000; ++i) {
      const double p = (i < 800) == (k == 1) ? 0.8 : 0.2;
      answers.label.push_back(k);
      answers.p.insert(answers.p.end(), {1 - p, p});
    }
  EXPECT_NEAR(Scorer(answers)()[kEce], 0.0, 1e-9);
  for (double& p : answers.p) p = p > 0.5 ? 0.99 : 0.01;  // sure beyond its right
  EXPECT_NEAR(Scorer(answers)()[kEce], 0.19, 1e-9);
}

TEST(Ece, GivesEveryConditionTheSameWeight) {
  // 10 of the first, all right; 1000 of the second, half right; all told with 0.75: |0.75 - (1 + 0.5) / 2| = 0.
  Answers answers{.conditions = 2, .label = {}, .p = {}};
  for (int i = 0; i < 1010; ++i) {
    const bool first = i < 10 || i % 2 == 0;
    answers.label.push_back(i < 10 ? 0 : 1);
    answers.p.insert(answers.p.end(), {first ? 0.75 : 0.25, first ? 0.25 : 0.75});
  }
  EXPECT_NEAR(Scorer(answers)()[kEce], 0.0, 1e-9);
}

TEST(Auc, OfThreeConditionsIsTheShareOfPairsWon) {
  Rng rng(4);
  Answers answers{.conditions = 3, .label = {}, .p = {}};
  for (int i = 0; i < 60; ++i) {
    answers.label.push_back(static_cast<size_t>(rng.integer(0, 2)));
    double sum = 0;
    std::vector<double> p;
    for (int k = 0; k < 3; ++k) sum += p.emplace_back(std::round(rng.uniform() * 8) + 1);
    for (const double v : p) answers.p.push_back(v / sum);
  }
  const auto f = Scorer(answers)();
  for (size_t k = 0; k < 3; ++k) {
    double won = 0, pairs = 0;
    for (size_t i = 0; i < 60; ++i)
      for (size_t j = 0; j < 60; ++j) {
        if (answers.label[i] != k || answers.label[j] == k) continue;
        const double a = answers.p[i * 3 + k], b = answers.p[j * 3 + k];
        won += a > b ? 1 : a == b ? 0.5 : 0;
        pairs += 1;
      }
    EXPECT_NEAR(f[4 + 6 + k], won / pairs, 1e-12);
  }
}

}  // namespace
}  // namespace derm::utility
