#include "derm/losses/judges.h"

#include <cmath>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "derm/base/error.h"

namespace derm::losses {
namespace {

TEST(SoftDice, IsWhatOneCountsByHand) {
  // p = (1/2, 1/2), t = (1, 0): 1 - (2 * 0.5 + 1) / (1 + 1 + 1) = 1/3.
  const auto logits = torch::zeros({1, 1, 1, 2}), truth = torch::tensor({1.0f, 0.0f}).reshape({1, 1, 1, 2});
  EXPECT_NEAR(soft_dice(logits, truth).item<double>(), 1.0 / 3.0, 1e-6);
}

TEST(SoftDice, IsZeroOnceAnEmptyTruthIsMetByAnEmptyAnswer) {
  const auto logits = torch::full({2, 1, 4, 4}, -60.0f), truth = torch::zeros({2, 1, 4, 4});
  EXPECT_NEAR(soft_dice(logits, truth).item<double>(), 0.0, 1e-6);
}

TEST(BalancedCrossEntropy, IsThePlainOneWhenAllAreAsFrequent) {
  const auto logits = torch::tensor({{1.0, 2.0, 0.5}, {0.0, -1.0, 3.0}}), prior = torch::full({3}, 1.0 / 3.0);
  const auto label = torch::tensor({1, 0}, torch::kLong);
  EXPECT_NEAR(balanced_cross_entropy(logits, label, prior).item<double>(),
              torch::nn::functional::cross_entropy(logits, label).item<double>(), 1e-6);
}

TEST(BalancedCrossEntropy, TakesTheShareOfAClassOut) {
  // With equal logits it predicts the shares themselves: - log 0.9 for the frequent class, - log 0.1 for the rare one.
  const auto logits = torch::zeros({1, 2}), prior = torch::tensor({0.9f, 0.1f});
  EXPECT_NEAR(balanced_cross_entropy(logits, torch::tensor({0}, torch::kLong), prior).item<double>(), -std::log(0.9),
              1e-6);
  EXPECT_NEAR(balanced_cross_entropy(logits, torch::tensor({1}, torch::kLong), prior).item<double>(), -std::log(0.1),
              1e-6);
}

TEST(BalancedCrossEntropy, SmoothingSpreadsTheTargetEvenly) {
  // Targets 0.95 and 0.05 at log-probabilities log 0.8 and log 0.2.
  const auto logits = torch::tensor({{std::log(0.8), std::log(0.2)}}), prior = torch::full({2}, 0.5);
  EXPECT_NEAR(balanced_cross_entropy(logits, torch::tensor({0}, torch::kLong), prior, 0.1).item<double>(),
              -0.95 * std::log(0.8) - 0.05 * std::log(0.2), 1e-6);
}

TEST(BalancedFocal, WeighsByHowWrongItIs) {
  // Probability 0.8 of the right class: 0.2^2 times its cross-entropy; 0.5: 0.25 times log 2.
  const auto logits = torch::tensor({{std::log(0.8), std::log(0.2)}, {0.0, 0.0}}, torch::kDouble);
  const auto label = torch::tensor({0, 1}, torch::kLong), prior = torch::full({2}, 0.5, torch::kDouble);
  EXPECT_NEAR(balanced_focal(logits, label, prior, 2).item<double>(),
              (-0.04 * std::log(0.8) + 0.25 * std::log(2.0)) / 2, 1e-9);
  EXPECT_NEAR(balanced_focal(logits, label, prior, 0).item<double>(),
              balanced_cross_entropy(logits, label, prior).item<double>(), 1e-12);
}

TEST(BalancedNll, GivesEveryClassTheSameWeight) {
  // Three images of the first class with probability 0.9, one of the second with 0.5.
  const auto p = torch::tensor({{0.9, 0.1}, {0.9, 0.1}, {0.9, 0.1}, {0.5, 0.5}}, torch::kDouble);
  EXPECT_NEAR(balanced_nll(p.log(), torch::tensor({0, 0, 0, 1}, torch::kLong)), -(std::log(0.9) + std::log(0.5)) / 2,
              1e-12);
}

TEST(FitTemperature, FindsTheOneThatWasPutIn) {
  // Logits that say 0.99 where 0.8 is right: log(0.99 / 0.01) / log(0.8 / 0.2) = 3.315.
  const double sure = std::log(0.99 / 0.01);
  std::vector<double> first;
  std::vector<int64_t> label;
  for (int64_t k = 0; k < 2; ++k)
    for (int i = 0; i < 100; ++i) first.push_back((i < 80) == (k == 0) ? sure : 0.0), label.push_back(k);
  const auto column = torch::tensor(first, torch::kDouble);
  const auto logits = torch::stack({column, sure - column}, 1);
  EXPECT_NEAR(fit_temperature(logits, torch::tensor(label, torch::kLong)), sure / std::log(4.0), 0.05);
}

TEST(VicReg, IsWhatOneCountsByHand) {
  // a: both columns (1, -1): variance 2, covariance 2. b: columns (1, -1) and (0, 0): variances 2 and 0, covariance 0.
  const auto a = torch::tensor({{1.0, 1.0}, {-1.0, -1.0}}, torch::kDouble);
  const auto b = torch::tensor({{1.0, 0.0}, {-1.0, 0.0}}, torch::kDouble);
  const VicReg v = vicreg(a, b);
  EXPECT_NEAR(v.invariance.item<double>(), 0.5, 1e-12);                       // differences 0, 1, 0, -1
  EXPECT_NEAR(v.variance.item<double>(), (0.0 + (1 - 0.01) / 2) / 2, 1e-12);  // only b's dead column, sqrt(1e-4) = 0.01
  EXPECT_NEAR(v.covariance.item<double>(), 2 * 4.0 / 2, 1e-12);               // two entries of 2 squared, over D = 2
}

TEST(VicReg, OfASingleImageIsItsInvarianceAlone) {
  const VicReg v = vicreg(torch::ones({1, 3}), torch::zeros({1, 3}));
  EXPECT_EQ(v.invariance.item<double>(), 1.0);
  EXPECT_EQ(v.variance.item<double>(), 0.0);
  EXPECT_EQ(v.covariance.item<double>(), 0.0);
}

TEST(VicReg, RefusesViewsOfAnotherShape) {
  EXPECT_THROW(vicreg(torch::zeros({4, 3}), torch::zeros({3, 3})), UsageError);
}

}  // namespace
}  // namespace derm::losses
