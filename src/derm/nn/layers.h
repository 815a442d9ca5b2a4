#pragma once
// Layers that follow the precision of what flows through them: parameters are fp32, and each layer casts them to its
// input's type, so that a whole network runs in bf16 channels-last without autocast (which leaves transposed
// convolution in fp32).
#include <string>

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include "derm/nn/batch_norm.h"
#include "derm/nn/prepared.h"
#include "derm/nn/spectral.h"

namespace derm::nn {

struct ConvOptions {
  int64_t in = 0, out = 0, kernel = 3, stride = 1, padding = 1;
  bool bias = true;
  int64_t groups = 1;     ///< `in` makes it depthwise
  bool spectral = false;  ///< the weights are divided by their largest singular value: the child `spectral`
};

/// 2-D convolution, zero padding. Parameters `weight` [out, in / groups, k, k] and `bias` [out], as torch.nn.Conv2d.
class ConvImpl : public torch::nn::Module {
 public:
  explicit ConvImpl(const ConvOptions& options);
  at::Tensor forward(const at::Tensor& x);
  at::Tensor weight, bias;

 private:
  ConvOptions options_;
  SpectralNorm spectral_{nullptr};
  Prepared prepared_;
};
TORCH_MODULE(Conv);

/// 4x4 transposed convolution of stride 2 that doubles the side. `weight` [in, out, 4, 4], as torch.nn.ConvTranspose2d.
class UpConvImpl : public torch::nn::Module {
 public:
  UpConvImpl(int64_t in, int64_t out, bool with_bias);
  at::Tensor forward(const at::Tensor& x);
  at::Tensor weight, bias;

 private:
  Prepared prepared_{Fold::transposed};
};
TORCH_MODULE(UpConv);

/// Nearest-neighbour doubling, then a 3x3 convolution (Odena et al. 2016: no checkerboard). Holds `conv`.
class ResizeConvImpl : public torch::nn::Module {
 public:
  ResizeConvImpl(int64_t in, int64_t out, bool with_bias);
  at::Tensor forward(const at::Tensor& x);

 private:
  Conv conv_{nullptr};
  Prepared prepared_{Fold::nearest};
};
TORCH_MODULE(ResizeConv);

/// "batch" (running statistics at inference), "instance" or "none". Parameters and buffers as torch.nn.BatchNorm2d.
class NormImpl : public torch::nn::Module {
 public:
  NormImpl(std::string kind, int64_t channels);
  /// @param activation  of what is normalised
  at::Tensor forward(const at::Tensor& x, const Activation& activation = Activation::none());
  at::Tensor weight, bias, running_mean, running_var;

 private:
  std::string kind_;
};
TORCH_MODULE(Norm);

}  // namespace derm::nn
