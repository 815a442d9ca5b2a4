#include "derm/nn/resnet.h"

#include <torch/torch.h>

#include "derm/base/error.h"

namespace derm::nn {

/// 1x1 that narrows, 3x3 with the stride, 1x1 that widens four times; its input is added, through a 1x1 convolution
/// where shapes differ.
class ResNet50Impl::BottleneckImpl : public torch::nn::Module {
 public:
  BottleneckImpl(int64_t in, int64_t width, int64_t stride) {
    const int64_t out = 4 * width;
    const auto conv = [](int64_t from, int64_t to, int64_t kernel, int64_t step) {
      return Conv(
          ConvOptions{.in = from, .out = to, .kernel = kernel, .stride = step, .padding = kernel / 2, .bias = false});
    };
    conv1_ = register_module("conv1", conv(in, width, 1, 1));
    bn1_ = register_module("bn1", Norm("batch", width));
    conv2_ = register_module("conv2", conv(width, width, 3, stride));
    bn2_ = register_module("bn2", Norm("batch", width));
    conv3_ = register_module("conv3", conv(width, out, 1, 1));
    bn3_ = register_module("bn3", Norm("batch", out));
    if (stride == 1 && in == out) return;
    auto downsample = register_module("downsample", std::make_shared<torch::nn::Module>("Sequence"));
    shortcut_ = downsample->register_module("0", conv(in, out, 1, stride));
    shortcut_norm_ = downsample->register_module("1", Norm("batch", out));
  }

  at::Tensor forward(const at::Tensor& x) {
    at::Tensor y = bn1_(conv1_(x), Activation::relu());
    y = bn2_(conv2_(y), Activation::relu());
    y = bn3_(conv3_(y));
    return at::relu(y + (shortcut_ ? shortcut_norm_(shortcut_(x)) : x));
  }

 private:
  Conv conv1_{nullptr}, conv2_{nullptr}, conv3_{nullptr}, shortcut_{nullptr};
  Norm bn1_{nullptr}, bn2_{nullptr}, bn3_{nullptr}, shortcut_norm_{nullptr};
};

ResNet50Impl::ResNet50Impl() {
  conv1_ = register_module(
      "conv1", Conv(ConvOptions{.in = 3, .out = 64, .kernel = 7, .stride = 2, .padding = 3, .bias = false}));
  bn1_ = register_module("bn1", Norm("batch", 64));
  static constexpr int kBlocks[] = {3, 4, 6, 3};
  int64_t in = 64;
  for (int stage = 0; stage < 4; ++stage) {
    const int64_t width = int64_t{64} << stage;
    auto layer = register_module("layer" + std::to_string(stage + 1), std::make_shared<torch::nn::Module>("Sequence"));
    auto& blocks = stages_.emplace_back();
    for (int i = 0; i < kBlocks[stage]; ++i) {
      const int64_t stride = i == 0 && stage > 0 ? 2 : 1;
      blocks.push_back(layer->register_module(std::to_string(i), std::make_shared<BottleneckImpl>(in, width, stride)));
      in = 4 * width;
    }
  }
}

std::vector<at::Tensor> ResNet50Impl::pyramid(const at::Tensor& x) {
  if (x.dim() != 4 || x.size(1) != 3 || x.size(2) < 32 || x.size(3) < 32)
    throw UsageError("ResNet-50 takes images [N, 3, H, W] of at least 32 px, got {}", fmt::join(x.sizes(), " x "));
  at::Tensor y = bn1_(conv1_(x), Activation::relu());  // [N, 64, S/2, S/2]
  y = at::max_pool2d(y, {3, 3}, {2, 2}, {1, 1});       // [N, 64, S/4, S/4]
  std::vector<at::Tensor> levels;                      // [N, 256, S/4, S/4], [N, 512, S/8, S/8] ...
  for (const auto& blocks : stages_) {
    for (const auto& block : blocks) y = block->forward(y);
    levels.push_back(y);
  }
  return levels;
}

}  // namespace derm::nn
