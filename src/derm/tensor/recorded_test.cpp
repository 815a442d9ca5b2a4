#include "derm/tensor/recorded.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

namespace derm::tensor {
namespace {

TEST(Recorded, IsNotPossibleOnAProcessor) { EXPECT_FALSE(Recorded::possible(at::kCPU)); }

TEST(Recorded, DoesTheSameAgainOnWhatItsInputHoldsThen) {
  if (!torch::cuda::is_available()) GTEST_SKIP() << "no CUDA device, or a libtorch without CUDA";
  const torch::NoGradGuard no_grad;
  const at::TensorOptions there = at::TensorOptions().device(at::kCUDA, 0);
  const at::Tensor weight = torch::randn({8, 3, 3, 3}, there), input = torch::randn({2, 3, 16, 16}, there);
  at::Tensor output;
  Recorded recorded(at::Device(at::kCUDA, 0), [&] { output = at::conv2d(input, weight).relu(); });
  for (int i = 0; i < 3; ++i) {
    input.copy_(torch::randn({2, 3, 16, 16}));
    recorded.replay();
    EXPECT_TRUE(torch::equal(output.clone(), at::conv2d(input, weight).relu())) << i;
  }
}

TEST(Recorded, LeavesTheDeviceUsableWhenItFails) {
  if (!torch::cuda::is_available()) GTEST_SKIP() << "no CUDA device, or a libtorch without CUDA";
  const at::Tensor input = torch::ones({4}, at::TensorOptions().device(at::kCUDA, 0));
  EXPECT_ANY_THROW(Recorded(at::Device(at::kCUDA, 0), [&] { (void)input.sum().item<float>(); }));
  EXPECT_EQ(input.sum().item<float>(), 4);
}

}  // namespace
}  // namespace derm::tensor
