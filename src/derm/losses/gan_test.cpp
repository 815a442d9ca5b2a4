#include "derm/losses/gan.h"

#include <cmath>
#include <functional>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/losses/testing/finite_differences.h"

namespace derm::losses {
namespace {

const double kLog2 = std::log(2.0);

TEST(Bce, IsLogTwoAtZero) {
  EXPECT_NEAR(bce_real(torch::zeros({2, 1, 3, 3})).item<double>(), kLog2, 1e-7);
  EXPECT_NEAR(bce_fake(torch::zeros({2, 1, 3, 3})).item<double>(), kLog2, 1e-7);
}

TEST(Bce, OfLogThreeIsTheLogOfThreeQuarters) {
  // sigmoid(log 3) = 3/4
  const auto x = torch::full({4}, std::log(3.0), at::kDouble);
  EXPECT_NEAR(bce_real(x).item<double>(), -std::log(0.75), 1e-12);
  EXPECT_NEAR(bce_fake(x).item<double>(), -std::log(0.25), 1e-12);
}

TEST(Bce, StaysFiniteAtHugeLogits) {
  const auto x = torch::tensor({1000.0, -1000.0});
  EXPECT_DOUBLE_EQ(bce_real(x).item<double>(), 500.0);
  EXPECT_DOUBLE_EQ(bce_fake(x).item<double>(), 500.0);
}

TEST(LeastSquares, OfTwoAndZero) {
  const auto x = torch::tensor({2.0, 0.0});
  EXPECT_EQ(least_squares_real(x).item<double>(), 1.0);  // (1 + 1) / 2
  EXPECT_EQ(least_squares_fake(x).item<double>(), 2.0);  // (4 + 0) / 2
}

TEST(Hinge, IsZeroOnceBothMarginsAreMet) {
  EXPECT_EQ(hinge_real(torch::tensor({1.0, 2.5})).item<double>(), 0.0);
  EXPECT_EQ(hinge_fake(torch::tensor({-1.0, -3.0})).item<double>(), 0.0);
}

TEST(Hinge, CountsWhatTheMarginLacks) {
  EXPECT_EQ(hinge_real(torch::tensor({0.5, 3.0})).item<double>(), 0.25);   // (0.5 + 0) / 2
  EXPECT_EQ(hinge_fake(torch::tensor({0.5, -3.0})).item<double>(), 0.75);  // (1.5 + 0) / 2
}

TEST(GanLosses, HalfPrecisionIsComputedInSingle) {
  // In bf16 itself 1 + 1/512 would round to 1.
  const auto x = torch::full({512}, -1.0).to(at::kBFloat16);
  for (const auto loss : {bce_real, bce_fake, least_squares_real, least_squares_fake, hinge_real, hinge_fake}) {
    EXPECT_EQ(loss(x).scalar_type(), at::kFloat);
    EXPECT_FLOAT_EQ(loss(x).item<float>(), loss(x.to(at::kFloat)).item<float>());
  }
}

TEST(GanLosses, GradientsMeetFiniteDifferences) {
  torch::manual_seed(1);
  const auto x = torch::randn({2, 1, 3, 2}, at::kDouble);
  for (const auto loss : {bce_real, bce_fake, least_squares_real, least_squares_fake, hinge_real, hinge_fake})
    EXPECT_LT(gradient_error(loss, x), 1e-6);
}

TEST(R1, OfALinearDiscriminatorIsTheSquaredNormOfItsWeights) {
  // D(x) = 3 x0 - 4 x1 for each image: 9 + 16
  const auto w = torch::tensor({3.0, -4.0}).view({1, 1, 1, 2});
  const auto x = torch::randn({5, 1, 1, 2}).set_requires_grad(true);
  EXPECT_NEAR(r1_penalty(x, (x * w).flatten(1).sum(1)).item<double>(), 25.0, 1e-5);
}

TEST(R1, IsDifferentiableInTheDiscriminator) {
  // d |w|^2 / dw = 2 w
  const auto w = torch::tensor({3.0, -4.0}, at::kDouble).set_requires_grad(true);
  const auto x = torch::randn({5, 1, 1, 2}, at::kDouble).set_requires_grad(true);
  r1_penalty(x, (x * w).flatten(1).sum(1)).backward();
  EXPECT_TRUE(torch::allclose(w.grad(), torch::tensor({6.0, -8.0}, at::kDouble)));
}

TEST(R1, GradientOfACurvedDiscriminatorMeetsFiniteDifferences) {
  torch::manual_seed(2);
  const auto x = torch::randn({3, 2, 2, 2}, at::kDouble);
  const auto penalty = [&](const at::Tensor& w) {
    const auto images = x.clone().set_requires_grad(true);
    return r1_penalty(images, (images.flatten(1).matmul(w)).tanh().sum(1));
  };
  EXPECT_LT(gradient_error(penalty, torch::randn({8, 4}, at::kDouble)), 1e-5);
}

TEST(R1, ImagesWithoutGradientAreRefused) {
  const auto x = torch::ones({1, 1, 1, 1});
  EXPECT_THROW(r1_penalty(x, x.sum()), UsageError);
  const auto unrelated = torch::ones({1, 1, 1, 1}).set_requires_grad(true);
  EXPECT_THROW(r1_penalty(torch::ones({1}).set_requires_grad(true), unrelated.flatten()), UsageError);
}

}  // namespace
}  // namespace derm::losses
