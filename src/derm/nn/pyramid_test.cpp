#include "derm/nn/pyramid.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

namespace derm::nn {
namespace {

TEST(Pyramid, DoublesAsLibtorchsBilinearDoes) {
  torch::manual_seed(1);
  const at::Tensor x = torch::randn({2, 3, 5, 8}).requires_grad_(), y = torch::randn({2, 3, 10, 16});
  const at::Tensor ours = doubled(x), theirs = at::upsample_bilinear2d(x, {10, 16}, /*align_corners=*/false);
  EXPECT_LT((ours - theirs).abs().max().item<double>(), 1e-6);
  const at::Tensor a = torch::autograd::grad({(ours * y).sum()}, {x})[0];
  const at::Tensor b = torch::autograd::grad({(theirs * y).sum()}, {x})[0];
  EXPECT_LT((a - b).abs().max().item<double>(), 1e-5);
}

TEST(Pyramid, HalvesByMeansOfFour) {
  const at::Tensor x = torch::arange(16).to(torch::kFloat).reshape({1, 1, 4, 4});
  EXPECT_TRUE(torch::equal(halved(x), torch::tensor({2.5f, 4.5f, 10.5f, 12.5f}).reshape({1, 1, 2, 2})));
}

TEST(Pyramid, ResidualsAndTheSmallestPictureGiveThePictureBack) {
  torch::manual_seed(2);
  const at::Tensor x = torch::randn({2, 3, 32, 32});
  const auto levels = pyramid_of(x, 3, true);
  ASSERT_EQ(levels.size(), 3u);
  EXPECT_FALSE(levels[0].low.defined());
  at::Tensor sum = levels[0].image;  // 8 px
  for (size_t i = 1; i < 3; ++i) sum = doubled(sum) + (levels[i].image - levels[i].low);
  EXPECT_LT((sum - x).abs().max().item<double>(), 1e-5);
  EXPECT_FALSE(pyramid_of(x, 3, false)[2].low.defined());
}

}  // namespace
}  // namespace derm::nn
