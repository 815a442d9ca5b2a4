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

/// The four phases of a doubled map, computed on the small one with a border of one, put where they belong. By hand,
/// because the way back of slices and stacks fills and adds whole maps for each of them.
class Interleave : public torch::autograd::Function<Interleave> {
 public:
  /// @param y  [N, 4 out, h + 1, w + 1]: phase p of rows, q of columns, then the channel
  /// @return   [N, out, 2h, 2w], channels last
  static at::Tensor forward(torch::autograd::AutogradContext*, const at::Tensor& y) { return interleaved(y); }
  static torch::autograd::tensor_list backward(torch::autograd::AutogradContext*,
                                               torch::autograd::tensor_list gradients);

 private:
  static at::Tensor interleaved(const at::Tensor& y) {
    const int64_t n = y.size(0), out = y.size(1) / 4, h = y.size(2) - 1, w = y.size(3) - 1;
    const at::Tensor from = y.permute({0, 2, 3, 1}).reshape({n, h + 1, w + 1, 2, 2, out});
    at::Tensor to = at::empty({n, h, 2, w, 2, out}, y.options());
    for (int64_t p = 0; p < 2; ++p)
      for (int64_t q = 0; q < 2; ++q)
        to.select(4, q).select(2, p).copy_(from.narrow(1, p, h).narrow(2, q, w).select(4, q).select(3, p));
    return to.reshape({n, 2 * h, 2 * w, out}).permute({0, 3, 1, 2});
  }
};

class InterleaveAdjoint : public torch::autograd::Function<InterleaveAdjoint> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext*, const at::Tensor& gradient) {
    const int64_t n = gradient.size(0), out = gradient.size(1), h = gradient.size(2) / 2, w = gradient.size(3) / 2;
    const at::Tensor from = gradient.permute({0, 2, 3, 1}).reshape({n, h, 2, w, 2, out});
    at::Tensor to = at::zeros({n, h + 1, w + 1, 2, 2, out}, gradient.options());
    for (int64_t p = 0; p < 2; ++p)
      for (int64_t q = 0; q < 2; ++q)
        to.narrow(1, p, h).narrow(2, q, w).select(4, q).select(3, p).copy_(from.select(4, q).select(2, p));
    return to.reshape({n, h + 1, w + 1, 4 * out}).permute({0, 3, 1, 2});
  }
  static torch::autograd::tensor_list backward(torch::autograd::AutogradContext*,
                                               torch::autograd::tensor_list gradients) {
    return {Interleave::apply(gradients[0])};
  }
};

torch::autograd::tensor_list Interleave::backward(torch::autograd::AutogradContext*,
                                                  torch::autograd::tensor_list gradients) {
  return {InterleaveAdjoint::apply(gradients[0])};
}

/// Doubling the side by a convolution, as four 2x2 convolutions on the small map. It also keeps transposed convolutions
/// in bf16 where libtorch has none on the CPU.
at::Tensor doubling_conv(const at::Tensor& x, Prepared& prepared, const at::Tensor& weight, const at::Tensor& bias) {
  const at::Tensor all_bias = bias.defined() ? like_activations(bias.repeat({4}), x) : at::Tensor();
  return Interleave::apply(prepared.convolve(x, weight, all_bias, /*stride=*/1, /*padding=*/1));
}

}  // namespace

ConvImpl::ConvImpl(const ConvOptions& options) : options_(options) {
  weight = register_parameter("weight",
                              torch::zeros({options.out, options.in / options.groups, options.kernel, options.kernel}));
  if (options.bias) bias = register_parameter("bias", torch::zeros({options.out}));
  if (options.spectral) spectral_ = register_module("spectral", SpectralNorm(weight));
}

at::Tensor ConvImpl::forward(const at::Tensor& x) {
  const at::Tensor offset = like_activations(bias, x);
  if (!spectral_) return prepared_.convolve(x, weight, offset, options_.stride, options_.padding, options_.groups);
  return at::conv2d(x, like_activations(spectral_(weight), x), offset, options_.stride, options_.padding,
                    /*dilation=*/1, options_.groups);
}

UpConvImpl::UpConvImpl(int64_t in, int64_t out, bool with_bias) {
  weight = register_parameter("weight", torch::zeros({in, out, 4, 4}));
  if (with_bias) bias = register_parameter("bias", torch::zeros({out}));
}

at::Tensor UpConvImpl::forward(const at::Tensor& x) { return doubling_conv(x, prepared_, weight, bias); }

ResizeConvImpl::ResizeConvImpl(int64_t in, int64_t out, bool with_bias) {
  conv_ = register_module("conv", Conv(ConvOptions{.in = in, .out = out, .bias = with_bias}));
}

at::Tensor ResizeConvImpl::forward(const at::Tensor& x) {
  return doubling_conv(x, prepared_, conv_->weight, conv_->bias);
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

at::Tensor NormImpl::forward(const at::Tensor& x, const Activation& activation) {
  if (kind_ == "none") return activate(x, activation);
  if (kind_ == "instance")
    return activate(at::instance_norm(x, weight, bias, {}, {}, /*use_input_stats=*/true, 0.1, 1e-5, false), activation);
  return batch_norm(x, weight, bias, running_mean, running_var, is_training(), activation);
}

}  // namespace derm::nn
