#include "derm/nn/patch_discriminator.h"

#include <torch/torch.h>

#include "derm/base/error.h"

namespace derm::nn {

PatchDiscriminatorImpl::PatchDiscriminatorImpl(const PatchOptions& options) {
  if (options.layers < 1 || options.layers > 5)
    throw UsageError("the discriminator's layers = {}, expected 1 to 5", options.layers);
  if (options.width < 1) throw UsageError("the discriminator's width = {}, expected at least 1", options.width);
  const auto add = [&](int64_t in, int64_t out, int64_t stride, bool normed) {
    const auto index = convs_.size();
    convs_.push_back(register_module(
        fmt::format("conv{}", index),
        Conv(ConvOptions{.in = in, .out = out, .kernel = 4, .stride = stride, .padding = 1, .bias = !normed})));
    norms_.push_back(register_module(fmt::format("norm{}", index), Norm(normed ? options.norm : "none", out)));
  };
  const bool normed = options.norm != "none";
  int64_t in = options.in_channels, out = options.width;
  add(in, out, 2, false);
  for (int64_t i = 1; i <= options.layers; ++i) {
    in = out;
    out = std::min(options.width * (int64_t{1} << i), options.width * 8);
    add(in, out, i == options.layers ? 1 : 2, normed);
  }
  add(out, 1, 1, false);
}

PatchOutput PatchDiscriminatorImpl::forward(const at::Tensor& input) {
  PatchOutput result;
  at::Tensor x = input;
  for (size_t i = 0; i + 1 < convs_.size(); ++i) {
    x = norms_[i](convs_[i](x),
                  Activation::leaky_relu());  // [N, width 2^i, S / 2^(i+1), ...], the last one at stride 1
    result.features.push_back(x);
  }
  result.logits = convs_.back()(x).to(at::kFloat);
  return result;
}

int64_t PatchDiscriminatorImpl::patch_px(int64_t layers) {
  int64_t field = 4;        // the last convolution, stride 1
  field = (field - 1) + 4;  // the one before it, stride 1
  for (int64_t i = 0; i < layers; ++i) field = (field - 1) * 2 + 4;
  return field;
}

}  // namespace derm::nn
