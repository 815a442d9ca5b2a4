#include "derm/metrics/kid.h"

#include <cmath>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "derm/base/error.h"

namespace derm::metrics {
namespace {

/// The formula of tools/golden/kid.py.
at::Tensor features(int64_t rows, int64_t columns, double phase) {
  at::Tensor t = at::empty({rows, columns}, at::kDouble);
  auto v = t.accessor<double, 2>();
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) {
      v[i][j] = std::sin(0.37 * static_cast<double>((i + 1) * (j + 1)) + phase) +
                0.1 * std::cos(0.11 * static_cast<double>(i * j));
    }
  }
  return t;
}

TEST(PolynomialMmd2, IsWhatOneCountsByHand) {
  // k(0,0) = k(0,1) = 1, k(1,1) = 8: 1 + 1 within the sets, 2 x 11/4 across.
  const auto x = torch::tensor({{0.0}, {1.0}}, at::kDouble);
  EXPECT_DOUBLE_EQ(polynomial_mmd2(x, x), -3.5);
}

TEST(PolynomialMmd2, AgreesWithNumpy) {
  EXPECT_NEAR(polynomial_mmd2(features(17, 5, 0), features(13, 5, 0.6)), -0.321116838751654, 1e-12);
  EXPECT_NEAR(polynomial_mmd2(features(40, 64, 0), features(40, 64, 0) + 0.5), 0.875678177417957, 1e-12);
  EXPECT_NEAR(polynomial_mmd2(features(40, 64, 0), features(40, 64, 0)), -0.115507466992267, 1e-12);
}

TEST(PolynomialMmd2, OfASetWithItselfHasTheClosedForm) {
  const auto x = features(40, 64, 0);
  const auto k = (x.matmul(x.t()) / 64 + 1).pow(3);
  const double n = 40, all = k.sum().item<double>(), diagonal = k.diagonal().sum().item<double>();
  EXPECT_NEAR(polynomial_mmd2(x, x), 2 * ((all - diagonal) / (n * (n - 1)) - all / (n * n)), 1e-12);
}

TEST(KernelDistance, HalvesTheSmallerSetForItsSubsets) {
  const Kid kid = kernel_distance(features(30, 8, 0), features(21, 8, 1));
  EXPECT_EQ(kid.subset_size, 10);
  EXPECT_EQ(kid.subsets, 100);
  EXPECT_GT(kid.deviation, 0);
}

TEST(KernelDistance, IsNearZeroForOneSourceAndLargeForTwo) {
  torch::manual_seed(1);
  const auto a = torch::randn({400, 16}), b = torch::randn({400, 16}), shifted = torch::randn({400, 16}) + 0.5;
  const double same = kernel_distance(a, b).mean, other = kernel_distance(a, shifted).mean;
  // E k(x, y) - 1 = 3 E(x.y)^2/d^2 = 3/16 in both; a shift by 0.5 adds about 3 x 0.25 + ... to one term only.
  EXPECT_NEAR(same, 0, 0.03);
  EXPECT_GT(other, 0.5);
}

TEST(KernelDistance, RepeatsWithItsSeedAndMovesWithAnother) {
  const auto x = features(60, 8, 0), y = features(50, 8, 1);
  EXPECT_EQ(kernel_distance(x, y, 20, 7).mean, kernel_distance(x, y, 20, 7).mean);
  EXPECT_NE(kernel_distance(x, y, 20, 7).mean, kernel_distance(x, y, 20, 8).mean);
}

TEST(KernelDistance, RefusesTooFewRowsAndTwoWidths) {
  EXPECT_THROW(kernel_distance(features(3, 8, 0), features(10, 8, 0)), UsageError);
  EXPECT_THROW(kernel_distance(features(10, 8, 0), features(10, 9, 0)), UsageError);
  EXPECT_NO_THROW(kernel_distance(features(4, 8, 0), features(4, 8, 1)));
}

}  // namespace
}  // namespace derm::metrics
