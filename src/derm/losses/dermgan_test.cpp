#include "derm/losses/dermgan.h"

#include <cmath>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/losses/testing/finite_differences.h"

namespace derm::losses {
namespace {

TEST(L1, IsTheMeanDistance) {
  EXPECT_FLOAT_EQ(l1(torch::zeros({2, 3, 4, 4}), torch::full({2, 3, 4, 4}, -0.25)).item<float>(), 0.25f);
}

TEST(ConditionL1, IsTheMeanDistanceInsideTheRegion) {
  // Off by 0.5 in the one pixel of the region and by 2 elsewhere: only the 0.5 counts, however small the region.
  const auto real = torch::zeros({1, 3, 8, 8});
  auto fake = torch::full({1, 3, 8, 8}, 2.0);
  auto region = torch::zeros({1, 1, 8, 8});
  fake.index_put_({0, at::indexing::Slice(), 3, 4}, 0.5);
  region.index_put_({0, 0, 3, 4}, 1.0);
  EXPECT_NEAR(condition_l1(real, fake, region).item<double>(), 0.5, 1e-6);
}

TEST(ConditionL1, WeighsBySoftCoverage) {
  // (1 * 1 + 0.5 * 3) / (1 + 0.5) over equal channels
  const auto real = torch::zeros({1, 3, 1, 2});
  const auto fake = torch::tensor({1.0, 3.0}).view({1, 1, 1, 2}).repeat({1, 3, 1, 1});
  const auto region = torch::tensor({1.0, 0.5}).view({1, 1, 1, 2});
  EXPECT_NEAR(condition_l1(real, fake, region).item<double>(), 2.5 / 1.5, 1e-6);
}

TEST(ConditionL1, WithoutARegionIsZero) {
  EXPECT_EQ(
      condition_l1(torch::zeros({1, 3, 2, 2}), torch::ones({1, 3, 2, 2}), torch::zeros({1, 1, 2, 2})).item<double>(),
      0.0);
}

TEST(ConditionL1, ARegionOfAnotherShapeIsRefused) {
  const auto x = torch::zeros({1, 3, 2, 2});
  EXPECT_THROW(condition_l1(x, x, torch::zeros({1, 3, 2, 2})), UsageError);
  EXPECT_THROW(condition_l1(x, torch::zeros({1, 3, 4, 4}), torch::zeros({1, 1, 2, 2})), UsageError);
}

TEST(FeatureMatching, AddsTheLayersMeans) {
  // layers of different size weigh the same: 1 + 0.5
  const std::vector<at::Tensor> real = {torch::zeros({1, 4, 8, 8}), torch::zeros({1, 8, 2, 2})};
  const std::vector<at::Tensor> fake = {torch::ones({1, 4, 8, 8}), torch::full({1, 8, 2, 2}, 0.5)};
  EXPECT_FLOAT_EQ(feature_matching(real, fake).item<float>(), 1.5f);
}

TEST(FeatureMatching, TheRealSideIsAConstant) {
  const auto real = torch::zeros({1, 2}).set_requires_grad(true), fake = torch::ones({1, 2}).set_requires_grad(true);
  feature_matching({real}, {fake}).backward();
  EXPECT_FALSE(real.grad().defined());
  EXPECT_TRUE(torch::equal(fake.grad(), torch::full({1, 2}, 0.5)));
}

TEST(FeatureMatching, AnotherNumberOfLayersIsRefused) {
  EXPECT_THROW(feature_matching({torch::zeros(1)}, {}), UsageError);
  EXPECT_THROW(feature_matching({}, {}), UsageError);
}

TEST(MinPatch, IsDrivenByTheLeastRealisticPatchOfEachImage) {
  // smallest logits -log 3 and 0: -log(1/4) and -log(1/2), their mean is 1.5 log 2
  const double low = -std::log(3.0);
  const auto logits = torch::tensor({5.0, low, 2.0, 0.0, 0.0, 7.0, 1.0, 3.0}, at::kDouble).view({2, 1, 2, 2});
  EXPECT_NEAR(min_patch(logits).item<double>(), 1.5 * std::log(2.0), 1e-12);
}

TEST(MinPatch, OnlyThatPatchHasAGradient) {
  const auto logits = torch::tensor({5.0, -1.0, 2.0, 0.5}).view({1, 1, 2, 2}).set_requires_grad(true);
  min_patch(logits).backward();
  // d(-log sigmoid(x))/dx = -sigmoid(-x) = -0.7310586 at -1
  EXPECT_TRUE(torch::allclose(logits.grad().flatten(), torch::tensor({0.0, -0.7310586, 0.0, 0.0}).to(at::kFloat)));
}

TEST(DermganLosses, GradientsMeetFiniteDifferences) {
  torch::manual_seed(3);
  const auto real = torch::randn({2, 3, 2, 3}, at::kDouble), x = torch::randn({2, 3, 2, 3}, at::kDouble);
  const auto region = torch::rand({2, 1, 2, 3}, at::kDouble);
  EXPECT_LT(gradient_error([&](const at::Tensor& fake) { return l1(real, fake); }, x), 1e-6);
  EXPECT_LT(gradient_error([&](const at::Tensor& fake) { return condition_l1(real, fake, region); }, x), 1e-6);
  EXPECT_LT(gradient_error([&](const at::Tensor& fake) { return feature_matching({real}, {fake}); }, x), 1e-6);
  EXPECT_LT(gradient_error([&](const at::Tensor& logits) { return min_patch(logits.narrow(1, 0, 1)); }, x), 1e-6);
}

TEST(DermganLosses, HalfPrecisionIsComputedInSingle) {
  const auto a = torch::zeros({1, 3, 64, 64}).to(at::kBFloat16), b = torch::full({1, 3, 64, 64}, 0.1).to(at::kBFloat16);
  EXPECT_EQ(l1(a, b).scalar_type(), at::kFloat);
  EXPECT_NEAR(condition_l1(a, b, torch::ones({1, 1, 64, 64}).to(at::kBFloat16)).item<double>(),
              b.flatten()[0].item<double>(), 1e-6);
}

}  // namespace
}  // namespace derm::losses
