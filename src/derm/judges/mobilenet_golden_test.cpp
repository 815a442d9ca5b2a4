// The backbone of the judges against an implementation of its own in Python.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "derm/metrics/testing/python.h"
#include "derm/nn/mobilenet.h"
#include "derm/tensor/state.h"

namespace derm::judges {
namespace {

double relative(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>() / b.abs().max().item<double>();
}

TEST(MobileNetV2, IsPythonsStageForStageAndGradientForGradient) {
  const metrics::testing::Folder folder;
  const auto file = folder.path() / "mobilenet.pth";
  if (!metrics::testing::python("mobilenet.py", file.string())) GTEST_SKIP() << "there is no python3-torch here";
  const auto golden = metrics::testing::tensors_of(file);
  nn::MobileNetV2 net;
  {
    const torch::NoGradGuard guard;
    size_t given = 0;
    for (auto& [name, tensor] : tensor::state_of(*net)) {
      if (name.ends_with("num_batches_tracked")) continue;
      tensor.copy_(golden.at("features." + name));
      ++given;
    }
    EXPECT_EQ(given, 265u);
    net->eval();
    const auto stages = net->pyramid(golden.at("input"));
    ASSERT_EQ(stages.size(), 5u);
    for (size_t i = 0; i < stages.size(); ++i)
      EXPECT_LT(relative(stages[i], golden.at(fmt::format("stage{}", i))), 1e-4) << "stage " << i;
  }
  net->train();
  const auto last = net->forward(golden.at("input"));
  EXPECT_LT(relative(last.detach(), golden.at("train")), 1e-4);
  last.square().mean().backward();
  size_t compared = 0;
  for (const auto& parameter : net->named_parameters()) {
    const at::Tensor expected = golden.at("gradient.features." + parameter.key());
    // A shift before another batch norm has no gradient but rounding: such are compared on the scale of its weight's.
    std::string weight = parameter.key();
    if (weight.ends_with("bias")) weight.replace(weight.size() - 4, 4, "weight");
    const double scale = std::max(expected.abs().max().item<double>(),
                                  golden.at("gradient.features." + weight).abs().max().item<double>());
    // 53 batch norms over as few as 12 values make gradients in fp32 differ in the fourth digit.
    EXPECT_LT((parameter.value().grad() - expected).abs().max().item<double>() / scale, 2e-3) << parameter.key();
    ++compared;
  }
  EXPECT_EQ(compared, 159u);
}

}  // namespace
}  // namespace derm::judges
