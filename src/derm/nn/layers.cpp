#include "derm/nn/layers.h"

#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/nn/activations.h"

namespace derm::nn {

at::Tensor like_activations(const at::Tensor& parameter, const at::Tensor& x) {
  if (!parameter.defined()) return parameter;
  if (parameter.dim() != 4) return parameter.to(x.scalar_type());
  const auto format =
      x.is_contiguous(at::MemoryFormat::ChannelsLast) ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
  return parameter.to(x.scalar_type()).contiguous(format);
}

namespace {

/// Doubling the side by a convolution, as four 2x2 convolutions on the small map, one for each output phase (2i + p, 2j
/// + q): for nearest-neighbour doubling and a 3x3 kernel that is exact at 4/9 of the arithmetic, and a 4x4 transposed
/// convolution of stride 2 is the same four kernels spelled differently. It also keeps both in bf16 where libtorch has
/// no such transposed convolution on the CPU.
/// @param kernels  [2, 2, out, in, 2, 2]: phase p, phase q, then an ordinary kernel
at::Tensor doubling_conv(const at::Tensor& x, const at::Tensor& kernels, const at::Tensor& bias) {
  const int64_t out = kernels.size(2), in = kernels.size(3), h = x.size(2), w = x.size(3);
  const at::Tensor stacked = like_activations(kernels.reshape({4 * out, in, 2, 2}), x);
  const at::Tensor all_bias = bias.defined() ? like_activations(bias.repeat({4}), x) : at::Tensor();
  const at::Tensor y = at::conv2d(x, stacked, all_bias, /*stride=*/1, /*padding=*/1).permute({0, 2, 3, 1});
  std::vector<at::Tensor> rows;  // y: [N, h + 1, w + 1, 4 out]
  for (int64_t p = 0; p < 2; ++p) {
    std::vector<at::Tensor> columns;
    for (int64_t q = 0; q < 2; ++q)
      columns.push_back(y.slice(1, p, p + h).slice(2, q, q + w).slice(3, (2 * p + q) * out, (2 * p + q + 1) * out));
    rows.push_back(at::stack(columns, 3));  // [N, h, w, 2, out]
  }
  const at::Tensor interleaved = at::stack(rows, 2);  // [N, h, 2, w, 2, out]
  return interleaved.reshape({x.size(0), 2 * h, 2 * w, out}).permute({0, 3, 1, 2});
}

/// [2, 2, taps]: which taps of a one-dimensional kernel each phase puts on its two inputs.
at::Tensor phase_matrix(std::vector<float> values, const at::Tensor& like) {
  const auto taps = static_cast<int64_t>(values.size()) / 4;
  return torch::tensor(values).reshape({2, 2, taps}).to(like.device());
}

}  // namespace

ConvImpl::ConvImpl(const ConvOptions& options) : options_(options) {
  weight = register_parameter("weight",
                              torch::zeros({options.out, options.in / options.groups, options.kernel, options.kernel}));
  if (options.bias) bias = register_parameter("bias", torch::zeros({options.out}));
  if (options.spectral) spectral_ = register_module("spectral", SpectralNorm(weight));
}

at::Tensor ConvImpl::forward(const at::Tensor& x) {
  return at::conv2d(x, like_activations(spectral_ ? spectral_(weight) : weight, x), like_activations(bias, x),
                    options_.stride, options_.padding,
                    /*dilation=*/1, options_.groups);
}

UpConvImpl::UpConvImpl(int64_t in, int64_t out, bool with_bias) {
  weight = register_parameter("weight", torch::zeros({in, out, 4, 4}));
  if (with_bias) bias = register_parameter("bias", torch::zeros({out}));
}

at::Tensor UpConvImpl::forward(const at::Tensor& x) {
  // Output row 2i takes input i - 1 by tap 3 and input i by tap 1; row 2i + 1 takes i by tap 2 and i + 1 by tap 0.
  const at::Tensor phases = phase_matrix({0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0}, weight);
  return doubling_conv(x, at::einsum("pat,iots,qbs->pqoiab", {phases, weight, phases}), bias);
}

ResizeConvImpl::ResizeConvImpl(int64_t in, int64_t out, bool with_bias) {
  conv_ = register_module("conv", Conv(ConvOptions{.in = in, .out = out, .bias = with_bias}));
}

at::Tensor ResizeConvImpl::forward(const at::Tensor& x) {
  // Of the doubled map, output row 2i sees input i - 1 once (tap 0) and i twice (taps 1, 2); row 2i + 1 sees i twice, i
  // + 1 once.
  const at::Tensor phases = phase_matrix({1, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 1}, conv_->weight);
  return doubling_conv(x, at::einsum("pat,oits,qbs->pqoiab", {phases, conv_->weight, phases}), conv_->bias);
}

NormImpl::NormImpl(std::string kind, int64_t channels) : kind_(std::move(kind)) {
  if (kind_ != "batch" && kind_ != "instance" && kind_ != "none")
    throw UsageError("norm is \"{}\", expected batch, instance or none", kind_);
  if (kind_ == "none") return;
  weight = register_parameter("weight", torch::ones({channels}));
  bias = register_parameter("bias", torch::zeros({channels}));
  if (kind_ == "batch") {
    running_mean = register_buffer("running_mean", torch::zeros({channels}));
    running_var = register_buffer("running_var", torch::ones({channels}));
    register_buffer("num_batches_tracked", torch::zeros({}, torch::kLong));  // PyTorch's name; our momentum is constant
  }
}

at::Tensor NormImpl::forward(const at::Tensor& x) {
  if (kind_ == "none") return x;
  if (kind_ == "instance")
    return at::instance_norm(x, weight, bias, {}, {}, /*use_input_stats=*/true, 0.1, 1e-5, false);
  return at::batch_norm(x, weight, bias, running_mean, running_var, is_training(), /*momentum=*/0.1, /*eps=*/1e-5,
                        true);
}

}  // namespace derm::nn
