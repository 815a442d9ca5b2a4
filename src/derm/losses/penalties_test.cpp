#include "derm/losses/penalties.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "derm/base/error.h"

namespace derm::losses {
namespace {

TEST(GradientPenalty, OfALinearCriticIsTheSquaredDistanceOfItsNormFromOne) {
  // |(3, -4)| = 5: (5 - 1)^2
  const auto w = torch::tensor({3.0, -4.0}).view({1, 1, 1, 2});
  const auto x = torch::randn({5, 1, 1, 2}).set_requires_grad(true);
  EXPECT_NEAR(gradient_penalty(x, (x * w).flatten(1).sum(1)).item<double>(), 16.0, 1e-4);
  EXPECT_THROW(gradient_penalty(torch::ones({1, 1, 1, 2}), torch::ones({1})), UsageError);
}

TEST(PathLengths, OfALinearMapAreTheNormOfItsMatrixAlongTheNoise) {
  // Image = 2 w over 4 pixels, noise all ones: the gradient of sum(image noise) / sqrt 4 is 4 x 2 / 2 = 4.
  const auto w = torch::randn({3, 1, 1}).set_requires_grad(true);
  const auto images = (2 * w).view({3, 1, 1, 1}).expand({3, 1, 2, 2});
  const auto lengths = path_lengths(images, w, torch::ones({3, 1, 2, 2}));
  EXPECT_EQ(lengths.sizes(), (std::vector<int64_t>{3}));
  for (int64_t i = 0; i < 3; ++i) EXPECT_NEAR(lengths[i].item<double>(), 4.0, 1e-5);
}

}  // namespace
}  // namespace derm::losses
