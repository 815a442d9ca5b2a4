#include "derm/nn/mobilenet.h"

#include <torch/torch.h>

#include "derm/base/error.h"

namespace derm::nn {
namespace {

/// Convolution ("0"), batch norm ("1"), and relu6.
class ConvNormImpl : public torch::nn::Module {
 public:
  ConvNormImpl(int64_t in, int64_t out, int64_t kernel, int64_t stride, int64_t groups)
      : conv_(register_module("0", Conv(ConvOptions{.in = in,
                                                    .out = out,
                                                    .kernel = kernel,
                                                    .stride = stride,
                                                    .padding = kernel / 2,
                                                    .bias = false,
                                                    .groups = groups}))),
        norm_(register_module("1", Norm("batch", out))) {}
  at::Tensor forward(const at::Tensor& x) { return norm_->forward(conv_(x), Activation::relu6()); }

 private:
  Conv conv_;
  Norm norm_;
};
TORCH_MODULE(ConvNorm);

/// Expands (or not), looks at 3x3 channel by channel, and narrows without an activation; adds its input where it can.
class BlockImpl : public torch::nn::Module {
 public:
  BlockImpl(int64_t in, int64_t out, int64_t stride, int64_t expansion, bool expands)
      : adds_(stride == 1 && in == out) {
    const int64_t inner = in * expansion;
    auto conv = register_module("conv", std::make_shared<torch::nn::Module>("Sequence"));
    int number = 0;
    const auto next = [&] { return std::to_string(number++); };
    if (expands) expand_ = conv->register_module(next(), ConvNorm(in, inner, 1, 1, 1));
    depthwise_ = conv->register_module(next(), ConvNorm(inner, inner, 3, stride, inner));
    narrow_ = conv->register_module(
        next(), Conv(ConvOptions{.in = inner, .out = out, .kernel = 1, .padding = 0, .bias = false}));
    norm_ = conv->register_module(next(), Norm("batch", out));
  }
  at::Tensor forward(const at::Tensor& x) {
    const at::Tensor y = norm_(narrow_(depthwise_(expand_ ? expand_(x) : x)));
    return adds_ ? x + y : y;
  }

 private:
  bool adds_;
  ConvNorm expand_{nullptr}, depthwise_{nullptr};
  Conv narrow_{nullptr};
  Norm norm_{nullptr};
};
TORCH_MODULE(Block);

struct Group {
  int64_t expansion, out, count, stride;
};

}  // namespace

MobileNetV2Impl::MobileNetV2Impl(bool last, bool first_expands) {
  // Table 2 of the paper.
  static constexpr Group kGroups[] = {{1, 16, 1, 1}, {6, 24, 2, 2},  {6, 32, 3, 2}, {6, 64, 4, 2},
                                      {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}};
  std::vector<std::function<at::Tensor(const at::Tensor&)>> stage;
  const auto end_stage = [&] {
    stages_.push_back([layers = stage](const at::Tensor& x) {
      at::Tensor y = x;
      for (const auto& layer : layers) y = layer(y);
      return y;
    });
    stage.clear();
  };
  const auto add = [&](int number, auto module) {
    register_module(std::to_string(number), module);
    stage.push_back([module](const at::Tensor& x) mutable { return module->forward(x); });
  };
  add(0, ConvNorm(3, 32, 3, 2, 1));
  int64_t in = 32;
  int number = 1;
  for (const Group& group : kGroups) {
    for (int64_t i = 0; i < group.count; ++i) {
      const int64_t stride = i == 0 ? group.stride : 1;
      if (stride == 2) end_stage();
      const bool expands = number > 1 || first_expands;
      add(number++, Block(in, group.out, stride, group.expansion, expands));
      in = group.out;
    }
  }
  if (last) add(number, ConvNorm(in, kChannels, 1, 1, 1));
  end_stage();
}

std::vector<at::Tensor> MobileNetV2Impl::pyramid(const at::Tensor& x) {
  if (x.dim() != 4 || x.size(1) != 3 || x.size(2) % 32 != 0 || x.size(3) % 32 != 0)
    throw UsageError("MobileNetV2 takes images [N, 3, H, W] whose sides are multiples of 32, got {}",
                     fmt::join(x.sizes(), " x "));
  std::vector<at::Tensor> levels;  // [N, 16, S/2, S/2], [N, 24, S/4, S/4] ...
  at::Tensor y = x;
  for (const auto& stage : stages_) levels.push_back(y = stage(y));
  return levels;
}

at::Tensor imagenet_normalised(const at::Tensor& images) {
  // (rgb / 255 - m) / d with rgb / 255 = (x + 1) / 2.
  static const double kMean[3] = {0.485, 0.456, 0.406}, kDeviation[3] = {0.229, 0.224, 0.225};
  at::Tensor scale = torch::empty({1, 3, 1, 1}), shift = torch::empty({1, 3, 1, 1});
  for (int64_t c = 0; c < 3; ++c) {
    scale[0][c] = 0.5 / kDeviation[c];
    shift[0][c] = (0.5 - kMean[c]) / kDeviation[c];
  }
  return images * scale.to(images.options()) + shift.to(images.options());
}

at::Tensor resized(const at::Tensor& images, int64_t size_px) {
  if (images.size(2) == size_px && images.size(3) == size_px) return images;
  return at::_upsample_bilinear2d_aa(images.to(at::kFloat), {size_px, size_px}, /*align_corners=*/false);
}

}  // namespace derm::nn
