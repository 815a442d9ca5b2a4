#include "derm/nn/layers.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/nn/ema.h"
#include "derm/nn/initialise.h"

namespace derm::nn {
namespace {

at::Generator seeded(uint64_t seed) { return at::detail::createCPUGenerator(seed); }

double largest_difference(const at::Tensor& a, const at::Tensor& b) { return (a - b).abs().max().item<double>(); }

TEST(ResizeConv, IsNearestDoublingAndAConvolution) {
  ResizeConv layer(5, 3, true);
  auto random = seeded(1);
  initialise_normal(*layer, random, 1.0);
  auto x = torch::randn({2, 5, 6, 7}, torch::requires_grad());
  const auto weight = layer->named_parameters()["conv.weight"], bias = layer->named_parameters()["conv.bias"];
  const auto plain = at::conv2d(at::upsample_nearest2d(x, {12, 14}), weight, bias, 1, 1);
  const auto ours = layer(x);
  EXPECT_LT(largest_difference(plain, ours), 1e-4);
  const auto g = torch::randn_like(plain);
  const auto expected = torch::autograd::grad({plain}, {x, weight}, {g});
  const auto got = torch::autograd::grad({ours}, {x, weight}, {g});
  EXPECT_LT(largest_difference(expected[0], got[0]), 1e-4);
  EXPECT_LT(largest_difference(expected[1], got[1]), 1e-3);
}

TEST(UpConv, IsPyTorchsTransposedConvolution) {
  UpConv layer(4, 3, true);
  auto random = seeded(2);
  initialise_normal(*layer, random, 1.0);
  const auto x = torch::randn({2, 4, 5, 6});
  const auto plain = at::conv_transpose2d(x, layer->weight, layer->bias, 2, 1);
  EXPECT_LT(largest_difference(plain, layer(x)), 1e-4);
}

TEST(Conv, FollowsTheTypeOfItsInputAndReturnsFp32Gradients) {
  Conv layer(ConvOptions{.in = 3, .out = 4});
  auto random = seeded(3);
  initialise_normal(*layer, random);
  const auto x = torch::randn({1, 3, 8, 8}).to(torch::kBFloat16).contiguous(at::MemoryFormat::ChannelsLast);
  const auto y = layer(x);
  EXPECT_EQ(y.scalar_type(), torch::kBFloat16);
  EXPECT_TRUE(y.is_contiguous(at::MemoryFormat::ChannelsLast));
  const auto gradient = torch::autograd::grad({y.sum()}, {layer->weight})[0];
  EXPECT_EQ(gradient.scalar_type(), torch::kFloat);
}

TEST(Norm, KeepsPyTorchsNamesAndUsesRunningStatisticsInEvaluation) {
  Norm norm("batch", 2);
  const auto x = torch::randn({8, 2, 4, 4}) * 3 + 1;
  const auto y = norm(x);
  EXPECT_NEAR(y.mean().item<double>(), 0, 1e-5);
  EXPECT_NEAR(norm->running_mean.mean().item<double>(), 0.1 * x.mean().item<double>(), 1e-5);
  norm->eval();
  const auto one = norm(x.slice(0, 0, 1));
  EXPECT_LT(largest_difference(one, norm(x).slice(0, 0, 1)), 1e-6) << "an image must not depend on its batch";
  EXPECT_TRUE(norm->named_buffers().contains("num_batches_tracked"));
  EXPECT_THROW(Norm("bacth", 2), UsageError);
}

TEST(Average, ApproachesTheCurrentWeightsByItsDecay) {
  Conv a(ConvOptions{.in = 1, .out = 1, .kernel = 1, .padding = 0}),
      b(ConvOptions{.in = 1, .out = 1, .kernel = 1, .padding = 0});
  torch::NoGradGuard guard;
  a->weight.fill_(1.0);
  b->weight.fill_(3.0);
  update_average(*a, *b, 0.75);
  EXPECT_FLOAT_EQ(a->weight.item<float>(), 1.5f);
  copy_state(*a, *b);
  EXPECT_FLOAT_EQ(a->weight.item<float>(), 3.0f);
}

}  // namespace
}  // namespace derm::nn
