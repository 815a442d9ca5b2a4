#include "derm/nn/progressive.h"

#include <cmath>

#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "derm/nn/modulated.h"

namespace derm::nn {
namespace {

TEST(EqualConv, KeepsTheSizeOfWhatItIsGivenWhateverItsWidth) {
  // Weights N(0, 1) times 1 / sqrt(9 in): white noise of deviation 1 stays so.
  at::Generator random = at::detail::createCPUGenerator(1);
  for (const int64_t in : {8, 64}) {
    EqualConv conv(EqualConvOptions{.in = in, .out = 32, .gain = 1});
    conv->reset(random);
    EXPECT_NEAR(conv->weight.std().item<double>(), 1.0, 0.06);  // four deviations of that of 2304 numbers
    const auto y = conv(torch::randn({4, in, 16, 16}, random)).slice(2, 1, 15).slice(3, 1, 15);
    EXPECT_NEAR(y.std().item<double>(), 1.0, 0.1) << in;
  }
}

TEST(EqualLinear, LearnsAtItsOwnRate) {
  // Weights are drawn 100 times as large and used 100 times smaller: a step of Adam moves the map a hundredth as far.
  at::Generator random = at::detail::createCPUGenerator(1);
  EqualLinear linear(EqualLinearOptions{.in = 64, .out = 64, .lr_multiplier = 0.01, .bias_start = 1});
  linear->reset(random);
  EXPECT_NEAR(linear->weight.std().item<double>(), 100.0, 3.0);
  EXPECT_NEAR(linear->scaled_weight().std().item<double>(), 1.0 / 8, 0.004);
  EXPECT_NEAR(linear(torch::zeros({1, 64})).mean().item<double>(), 1.0, 1e-5);
}

TEST(PixelNorm, OfThreeAndFourHasMeanSquareOne) {
  // sqrt((9 + 16) / 2) = 3.5355
  const auto y = pixel_norm(torch::tensor({3.0, 4.0}, at::kDouble).view({1, 2, 1, 1})).flatten();
  EXPECT_NEAR(y[0].item<double>(), 3 / std::sqrt(12.5), 1e-8);
  EXPECT_NEAR(y[1].item<double>(), 4 / std::sqrt(12.5), 1e-8);
}

TEST(MinibatchDeviation, OfMinusOneAndOneIsOneAndOfCopiesNothing) {
  const auto x = torch::tensor({-1.0, 1.0}, at::kDouble).view({2, 1, 1, 1}).expand({2, 3, 2, 2}).contiguous();
  const auto y = minibatch_deviation(x, 4);
  EXPECT_EQ(y.sizes(), (std::vector<int64_t>{2, 4, 2, 2}));
  EXPECT_TRUE(torch::equal(y.slice(1, 0, 3), x));
  EXPECT_NEAR(y[0][3][1][1].item<double>(), 1.0, 1e-8);
  const auto same = minibatch_deviation(torch::ones({4, 2, 2, 2}), 4);
  EXPECT_NEAR(same[0][2][0][0].item<double>(), 1e-4, 1e-6);  // sqrt(1e-8)
  EXPECT_EQ(minibatch_deviation(torch::randn({1, 2, 2, 2}), 4).size(1), 3);
}

TEST(FadeIn, GoesFromTheDoubledOldToTheNew) {
  const auto coarse = torch::full({1, 1, 1, 1}, 2.0), fine = torch::full({1, 1, 2, 2}, 6.0);
  EXPECT_TRUE(torch::equal(fade_in(coarse, fine, 0), torch::full({1, 1, 2, 2}, 2.0)));
  EXPECT_TRUE(torch::equal(fade_in(coarse, fine, 0.25), torch::full({1, 1, 2, 2}, 3.0)));
  EXPECT_TRUE(torch::equal(fade_in(coarse, fine, 1), fine));
}

TEST(Resample, DoublesAndHalvesByHand) {
  const auto x = torch::tensor({1.0, 5.0}, at::kDouble).view({1, 1, 1, 2}).expand({1, 1, 2, 2}).contiguous();
  EXPECT_TRUE(torch::equal(upsample(x, Lowpass::box)[0][0][1], torch::tensor({1.0, 1.0, 5.0, 5.0}, at::kDouble)));
  EXPECT_EQ(downsample(x, Lowpass::box).item<double>(), 3.0);
  // [1, 3, 3, 1] / 4 along a row of a tall constant picture: 3/4 of the pixel it lies in, 1/4 of its neighbour.
  const auto tall = torch::tensor({1.0, 5.0}, at::kDouble).view({1, 1, 1, 2}).expand({1, 1, 4, 2}).contiguous();
  EXPECT_TRUE(
      torch::allclose(upsample(tall, Lowpass::smooth)[0][0][3], torch::tensor({0.75, 2.0, 4.0, 3.75}, at::kDouble)));
}

TEST(Layers, ComputeInBf16WhatTheyComputeInFp32) {
  at::Generator random = at::detail::createCPUGenerator(1);
  EqualConv up(EqualConvOptions{.in = 8, .out = 8, .up = Lowpass::box}),
      down(EqualConvOptions{.in = 8, .out = 8, .down = Lowpass::smooth});
  ModulatedConv modulated(ModulatedConvOptions{.in = 8, .out = 8, .style = 4, .up = true});
  for (torch::nn::Module* module :
       {static_cast<torch::nn::Module*>(up.get()), static_cast<torch::nn::Module*>(down.get()),
        static_cast<torch::nn::Module*>(modulated.get())}) {
    initialise_equalised(*module, random);
    if (auto* layer = dynamic_cast<Equalised*>(module)) layer->reset(random);
  }
  const auto x = torch::randn({2, 8, 8, 8}, random), w = torch::randn({2, 4}, random);
  const auto half = x.to(at::kBFloat16).contiguous(at::MemoryFormat::ChannelsLast);
  const auto near = [](const at::Tensor& bf16, const at::Tensor& fp32) {
    EXPECT_EQ(bf16.scalar_type(), at::kBFloat16);
    EXPECT_LT((bf16.to(at::kFloat) - fp32).abs().max().item<double>(), 0.03 * fp32.abs().max().item<double>());
  };
  near(up(half), up(x));
  near(down(half), down(x));
  near(modulated(half, w), modulated(x, w));
  near(pixel_norm(half), pixel_norm(x));
  near(minibatch_deviation(half, 2), minibatch_deviation(x, 2));
}

}  // namespace
}  // namespace derm::nn
