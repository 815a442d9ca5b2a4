// Layers of PGGAN and StyleGAN2 and their penalties against tools/golden/layers.py, which writes them out the long way
// in PyTorch: results and gradients, in double.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "derm/losses/gan.h"
#include "derm/losses/penalties.h"
#include "derm/metrics/testing/python.h"
#include "derm/nn/modulated.h"
#include "derm/nn/progressive.h"
#include "derm/nn/spectral.h"

namespace derm {
namespace {

using metrics::testing::Folder;

/// What the script wrote, asked once.
const std::map<std::string, at::Tensor>& golden() {
  static const std::map<std::string, at::Tensor> tensors = [] {
    const Folder folder;
    if (!metrics::testing::python("layers.py", folder.path().string())) return std::map<std::string, at::Tensor>();
    return metrics::testing::tensors_of(folder.path() / "layers.pth");
  }();
  return tensors;
}

class AgainstPyTorch : public testing::Test {
 protected:
  void SetUp() override {
    if (golden().empty()) GTEST_SKIP() << "no Python with torch";
  }

  static at::Tensor of(const std::string& name) { return golden().at(name).clone(); }
  static at::Tensor variable(const std::string& name) { return of(name).set_requires_grad(true); }

  /// `y` and the gradients of sum(y direction) at `inputs`, to 1e-5 of their size; the largest difference is far less.
  static void expect_agreement(const std::string& name, const at::Tensor& y,
                               const std::vector<std::pair<std::string, at::Tensor>>& inputs) {
    const auto near = [&](const std::string& what, const at::Tensor& ours) {
      const at::Tensor theirs = of(name + "/" + what);
      ASSERT_EQ(ours.sizes(), theirs.sizes()) << name << " " << what;
      ASSERT_GT(theirs.abs().max().item<double>(), 1e-6) << name << " " << what << " says nothing";
      EXPECT_LT((ours - theirs).abs().max().item<double>(), 1e-5 * theirs.abs().max().item<double>())
          << name << " " << what;
    };
    near("y", y);
    std::vector<at::Tensor> at;
    for (const auto& [what, tensor] : inputs) at.push_back(tensor);
    const auto gradients = torch::autograd::grad({(y * of(name + "/direction")).sum()}, at);
    for (size_t i = 0; i < inputs.size(); ++i) near(inputs[i].first + ".grad", gradients[i]);
  }

  /// Sets a module's parameters to what the script drew, in double.
  static void take(torch::nn::Module& module, const std::string& name) {
    torch::NoGradGuard guard;
    module.to(at::kDouble);
    for (auto& item : module.named_parameters()) item.value().copy_(of(name + "/" + item.key()));
  }
};

TEST_F(AgainstPyTorch, AnEqualisedConvolutionAloneDoublingAndHalving) {
  for (const int64_t kernel : {1, 3}) {
    const auto check = [&](const std::string& name, nn::EqualConvOptions options) {
      options.in = 3, options.out = 4, options.kernel = kernel;
      nn::EqualConv conv(options);
      take(*conv, name);
      const auto x = variable(name + "/x");
      expect_agreement(name, conv(x), {{"x", x}, {"weight", conv->weight}, {"bias", conv->bias}});
      // The order of the bytes in memory is no part of the answer.
      EXPECT_LT((conv(x.contiguous(at::MemoryFormat::ChannelsLast)) - conv(x)).abs().max().item<double>(), 1e-12);
    };
    check(fmt::format("conv{}", kernel), {});
    for (const auto& [kind, lowpass] : {std::pair("box", nn::Lowpass::box), {"smooth", nn::Lowpass::smooth}}) {
      check(fmt::format("up{}_{}", kernel, kind), {.up = lowpass});
      check(fmt::format("down{}_{}", kernel, kind), {.down = lowpass});
    }
  }
}

TEST_F(AgainstPyTorch, AnEqualisedLinearMapWithItsOwnLearningRate) {
  nn::EqualLinear linear(nn::EqualLinearOptions{.in = 7, .out = 3, .gain = 0.5, .lr_multiplier = 0.01});
  take(*linear, "linear");
  const auto x = variable("linear/x");
  expect_agreement("linear", linear(x), {{"x", x}, {"weight", linear->weight}, {"bias", linear->bias}});
}

TEST_F(AgainstPyTorch, PixelNormMinibatchDeviationAndFadeIn) {
  auto x = variable("pixel_norm/x");
  expect_agreement("pixel_norm", nn::pixel_norm(x), {{"x", x}});
  x = variable("deviation8/x");
  expect_agreement("deviation8", nn::minibatch_deviation(x, 4, 2), {{"x", x}});
  x = variable("deviation6/x");  // 4 does not divide 6: groups of 3
  expect_agreement("deviation6", nn::minibatch_deviation(x, 4), {{"x", x}});
  const auto coarse = variable("fade/coarse"), fine = variable("fade/fine");
  expect_agreement("fade", nn::fade_in(coarse, fine, 0.3), {{"coarse", coarse}, {"fine", fine}});
}

TEST_F(AgainstPyTorch, AModulatedConvolutionAsAKernelForEachImage) {
  for (const bool demodulate : {false, true})
    for (const bool up : {false, true}) {
      const std::string name = fmt::format("modulated{:d}{:d}", demodulate, up);
      nn::ModulatedConv conv(
          nn::ModulatedConvOptions{.in = 4, .out = 6, .style = 7, .demodulate = demodulate, .up = up, .gain = 1.5});
      take(*conv, name);
      const auto x = variable(name + "/x"), style = variable(name + "/style");
      const auto parameters = conv->named_parameters();
      expect_agreement(name, conv(x, style),
                       {{"x", x},
                        {"style", style},
                        {"weight", conv->weight},
                        {"affine.weight", parameters["affine.weight"]},
                        {"affine.bias", parameters["affine.bias"]}});
    }
}

TEST_F(AgainstPyTorch, R1AndTheGradientPenaltyThroughACriticOfTheseLayers) {
  for (const std::string name : {"r1", "gradient_penalty"}) {
    const auto x = variable(name + "/x"), weight = variable(name + "/weight"), last = variable(name + "/last");
    const auto features =
        at::leaky_relu(nn::down_conv(x, weight * (std::sqrt(2.0) / std::sqrt(27.0)), nn::Lowpass::smooth), 0.2);
    const auto scores =
        at::tanh(at::matmul(nn::minibatch_deviation(features, 2).flatten(1), (last / std::sqrt(80.0)).t()));
    const auto penalty = name == "r1" ? losses::r1_penalty(x, scores) : losses::gradient_penalty(x, scores);
    expect_agreement(name, penalty, {{"x", x}, {"weight", weight}, {"last", last}});
  }
}

TEST_F(AgainstPyTorch, PathLengthsThroughTwoModulatedConvolutions) {
  nn::ModulatedConv first(nn::ModulatedConvOptions{.in = 4, .out = 5, .style = 7, .up = true}),
      second(nn::ModulatedConvOptions{.in = 5, .out = 3, .style = 7});
  std::vector<std::pair<std::string, at::Tensor>> inputs;
  for (auto [conv, number] : {std::pair(first, "1"), {second, "2"}}) {
    conv->to(at::kDouble);
    torch::NoGradGuard guard;
    for (const auto& [ours, theirs] :
         {std::pair("weight", "weight"), {"affine.weight", "affine"}, {"affine.bias", "bias"}}) {
      auto parameter = conv->named_parameters()[ours];
      parameter.copy_(of(std::string("path/") + theirs + number));
      inputs.emplace_back(std::string(theirs) + number, parameter);
    }
  }
  const auto start = variable("path/start"), style = variable("path/style");
  inputs.emplace_back("start", start);
  inputs.emplace_back("style", style);
  const auto images = second(at::leaky_relu(first(start, style.select(1, 0)), 0.2), style.select(1, 1));
  expect_agreement("path", losses::path_lengths(images, style, of("path/noise")), inputs);
}

TEST_F(AgainstPyTorch, SpectralNormalisation) {
  const auto x = variable("spectral/x"), weight = variable("spectral/weight"), bias = variable("spectral/bias");
  nn::SpectralNorm norm(weight);
  norm->to(at::kDouble);
  norm->u.copy_(of("spectral/u.before"));
  const auto conv = [&] { return at::conv2d(x, norm(weight), bias, /*stride=*/1, /*padding=*/1); };
  conv();
  expect_agreement("spectral", conv(), {{"x", x}, {"weight", weight}, {"bias", bias}});
  EXPECT_LT((norm->u - of("spectral/u.after")).abs().max().item<double>(), 1e-12);
  norm->eval();
  EXPECT_TRUE(torch::equal(conv(), conv()));
  EXPECT_LT((norm->u - of("spectral/u.after")).abs().max().item<double>(), 1e-12);  // eval moves nothing
}

}  // namespace
}  // namespace derm
