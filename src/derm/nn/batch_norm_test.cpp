#include "derm/nn/batch_norm.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

namespace derm::nn {
namespace {

double largest_difference(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kFloat) - b.to(at::kFloat)).abs().max().item<double>();
}

const std::vector<Activation> kActivations = {Activation::none(), Activation::relu(), Activation::relu6(),
                                              Activation::leaky_relu()};

/// A layer's tensors, and a map in bf16 whose mean is far from 0.
struct Made {
  explicit Made(int64_t channels, int64_t n = 5, int64_t h = 13, int64_t w = 7) {
    torch::manual_seed(channels);
    weight = (torch::randn({channels}) + 1).requires_grad_();
    bias = torch::randn({channels}).requires_grad_();
    mean = torch::randn({channels});
    var = torch::rand({channels}) + 0.5;
    x = (torch::randn({n, channels, h, w}) * 2 + 30 * torch::randn({1, channels, 1, 1}))
            .to(at::kBFloat16)
            .contiguous(at::MemoryFormat::ChannelsLast)
            .requires_grad_();
    gradient = torch::randn_like(x);
  }
  at::Tensor weight, bias, mean, var, x, gradient;
};

TEST(Activation, WithABoundIsCutAtZeroAndThereAndSoIsItsGradient) {
  for (const auto type : {torch::kFloat, torch::kBFloat16}) {
    auto x = torch::tensor({-1.0f, 0.0f, 2.5f, 6.0f, 7.0f}).to(type).requires_grad_();
    const auto y = activate(x, Activation::relu6());
    EXPECT_TRUE(torch::equal(y.detach().to(torch::kFloat), torch::tensor({0.0f, 0.0f, 2.5f, 6.0f, 6.0f})));
    const auto g = torch::autograd::grad({y.sum()}, {x})[0];
    EXPECT_TRUE(torch::equal(g.to(torch::kFloat), torch::tensor({0.0f, 0.0f, 1.0f, 0.0f, 0.0f})));
  }
}

TEST(BatchNorm, IsLibtorchsInFp32OfTheSameNumbers) {
  for (const int64_t channels : {1, 3, 16, 40}) {
    for (const bool training : {true, false}) {
      for (const Activation& activation : kActivations) {
        SCOPED_TRACE(testing::Message() << channels << " channels, training " << training << ", slope "
                                        << activation.slope << ", bound " << activation.high);
        Made made(channels);
        const auto mean = made.mean.clone(), var = made.var.clone();
        const auto wide = made.x.detach().to(at::kFloat).contiguous().requires_grad_();
        const auto expected = batch_norm(wide, made.weight, made.bias, mean, var, training, activation);
        const auto got = batch_norm(made.x, made.weight, made.bias, made.mean, made.var, training, activation);
        EXPECT_EQ(got.scalar_type(), at::kBFloat16);
        EXPECT_TRUE(got.is_contiguous(at::MemoryFormat::ChannelsLast));
        EXPECT_LT(largest_difference(expected, got), 0.004 * expected.abs().max().item<double>());
        EXPECT_LT(largest_difference(mean, made.mean), 1e-4);
        EXPECT_LT(largest_difference(var, made.var), 1e-3);
        const auto a =
            torch::autograd::grad({expected}, {wide, made.weight, made.bias}, {made.gradient.to(at::kFloat)});
        const auto b = torch::autograd::grad({got}, {made.x, made.weight, made.bias}, {made.gradient});
        for (size_t i = 0; i < a.size(); ++i)
          EXPECT_LE(largest_difference(a[i], b[i]), 0.006 * a[i].abs().max().item<double>()) << i;
      }
    }
  }
}

TEST(BatchNorm, TakesAGradientThatIsAPartOfAnother) {
  Made made(8);
  const auto y = batch_norm(made.x, made.weight, made.bias, made.mean, made.var, true, Activation::relu());
  const auto both = torch::randn({5, 24, 13, 7}).to(at::kBFloat16).contiguous(at::MemoryFormat::ChannelsLast);
  const auto part = both.narrow(1, 8, 8);
  const auto of_part = torch::autograd::grad({y}, {made.x}, {part}, /*retain_graph=*/true)[0];
  const auto of_copy = torch::autograd::grad({y}, {made.x}, {part.contiguous()})[0];
  EXPECT_TRUE(torch::equal(of_part, of_copy));
}

TEST(BatchNorm, CanBeDifferentiatedTwice) {
  Made made(4);
  const auto wide = made.x.detach().to(at::kFloat).contiguous().requires_grad_();
  const auto penalty = [&](const at::Tensor& x) {
    const auto y = batch_norm(x, made.weight, made.bias, made.mean, made.var, true, Activation::leaky_relu());
    const auto by_x = torch::autograd::grad({y.to(at::kFloat).pow(3).sum()}, {x}, {}, true, /*create_graph=*/true)[0];
    return torch::autograd::grad({by_x.to(at::kFloat).square().sum()}, {made.weight})[0];
  };
  const auto expected = penalty(wide), got = penalty(made.x);
  EXPECT_LT(largest_difference(expected, got), 0.03 * expected.abs().max().item<double>());
}

}  // namespace
}  // namespace derm::nn
