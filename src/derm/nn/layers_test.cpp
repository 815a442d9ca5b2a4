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

TEST(UpConv, HasTheGradientsOfTheTransposedConvolution) {
  UpConv layer(4, 3, true);
  auto random = seeded(2);
  initialise_normal(*layer, random, 1.0);
  const auto x = torch::randn({2, 4, 5, 6}, torch::requires_grad());
  const auto plain = at::conv_transpose2d(x, layer->weight, layer->bias, 2, 1);
  const auto g = torch::randn_like(plain);
  const auto expected = torch::autograd::grad({plain}, {x, layer->weight, layer->bias}, {g});
  const auto got = torch::autograd::grad({layer(x)}, {x, layer->weight, layer->bias}, {g});
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_LT(largest_difference(expected[i], got[i]), 1e-3) << i;
}

TEST(Prepared, IsLaidOutByHandAsByOperators) {
  // bf16 takes the processor's own way, fp32 libtorch's operators; weights that bf16 holds exactly leave the
  // arithmetic.
  Conv conv(ConvOptions{.in = 6, .out = 5});
  UpConv up(6, 5, true);
  ResizeConv resize(6, 5, true);
  auto random = seeded(6);
  const auto compare = [&](auto& layer) {
    initialise_normal(*layer, random, 0.3);
    torch::NoGradGuard guard;
    for (auto& p : layer->parameters()) p.copy_(p.to(torch::kBFloat16));
    const auto x = torch::randn({2, 6, 5, 7}).to(torch::kBFloat16).contiguous(at::MemoryFormat::ChannelsLast);
    at::AutoGradMode grad(true);
    const auto wide = layer(x.to(torch::kFloat).contiguous()), narrow = layer(x);
    const double size = wide.abs().max().template item<double>();
    EXPECT_LT(largest_difference(wide, narrow.to(torch::kFloat)), 0.02 * size);
    const auto g = torch::randn_like(narrow);
    const auto expected = torch::autograd::grad({wide}, layer->parameters(), {g.to(torch::kFloat)});
    const auto got = torch::autograd::grad({narrow}, layer->parameters(), {g});
    for (size_t i = 0; i < expected.size(); ++i)
      EXPECT_LT(largest_difference(expected[i], got[i]), 0.02 * expected[i].abs().max().template item<double>()) << i;
  };
  compare(conv);
  compare(up);
  compare(resize);
}

TEST(ResizeConv, CanBeDifferentiatedTwice) {
  ResizeConv layer(3, 2, true);
  auto random = seeded(4);
  initialise_normal(*layer, random, 1.0);
  const auto weight = layer->named_parameters()["conv.weight"], bias = layer->named_parameters()["conv.bias"];
  const auto x = torch::randn({1, 3, 4, 4}, torch::requires_grad());
  // As a gradient penalty has it: of the norm of the gradient by the input, by the weight.
  const auto penalty = [&](const at::Tensor& y) {
    const auto by_x = torch::autograd::grad({y.square().sum()}, {x}, {}, true, /*create_graph=*/true)[0];
    return torch::autograd::grad({by_x.square().sum()}, {weight})[0];
  };
  const auto expected = penalty(at::conv2d(at::upsample_nearest2d(x, {8, 8}), weight, bias, 1, 1));
  const auto got = penalty(layer(x));
  EXPECT_LT(largest_difference(expected, got), 1e-3 * expected.abs().max().item<double>());
}

TEST(Prepared, GivesTheSameWithoutGradientsWhereTheWeightIsLarge) {
  Conv layer(ConvOptions{.in = 64, .out = 48, .kernel = 4, .stride = 2, .padding = 1});
  ResizeConv up(64, 32, true);
  auto random = seeded(5);
  initialise_normal(*layer, random, 0.05);
  initialise_normal(*up, random, 0.05);
  const auto x = torch::randn({1, 64, 4, 4}).to(torch::kBFloat16).contiguous(at::MemoryFormat::ChannelsLast);
  for (int round = 0; round < 2; ++round) {
    const auto a = layer(x).detach().to(torch::kFloat), b = up(x).detach().to(torch::kFloat);
    torch::NoGradGuard guard;
    const auto c = layer(x), d = up(x);
    EXPECT_TRUE(c.is_contiguous(at::MemoryFormat::ChannelsLast));
    EXPECT_LT(largest_difference(a, c.to(torch::kFloat)), 0.02);
    EXPECT_LT(largest_difference(b, d.to(torch::kFloat)), 0.02);
    layer->weight.mul_(-1);
    up->named_parameters()["conv.weight"].mul_(0.5);
  }
}

TEST(Prepared, IsMadeAnewWhenTheWeightChanges) {
  Conv layer(ConvOptions{.in = 2, .out = 2});
  UpConv up(2, 2, false);
  const auto x = torch::ones({1, 2, 4, 4}).to(torch::kBFloat16).contiguous(at::MemoryFormat::ChannelsLast);
  torch::NoGradGuard guard;
  for (const double value : {1.0, 2.0}) {
    layer->weight.fill_(value);
    up->weight.fill_(value);
    EXPECT_EQ(layer(x)[0][0][1][1].item<float>(), 18 * value);
    EXPECT_EQ(up(x)[0][0][3][3].item<float>(), 8 * value);
    EXPECT_EQ(layer(x.to(torch::kFloat))[0][0][1][1].item<float>(), 18 * value) << "another type of activations";
  }
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
