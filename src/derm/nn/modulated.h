#pragma once
// StyleGAN2's modulated convolution (Karras et al. 2020, arXiv:1912.04958).
#include "derm/nn/progressive.h"

namespace derm::nn {

struct ModulatedConvOptions {
  int64_t in = 0, out = 0, kernel = 3;  ///< kernel 1 or 3
  int64_t style = 512;                  ///< length of w
  bool demodulate = true;
  bool up = false;    ///< doubles the side, [1, 3, 3, 1]
  double gain = 1.0;  ///< on the result
};

/// A convolution whose kernel is scaled for each image: input channel i by s_i = (A w + b)_i, and output channel o so
/// that its kernel has norm 1. Neither kernel is made: the inputs are scaled by s before one convolution with the
/// common weights, the outputs by 1 / sqrt(sum over i of s_i^2 sum over the taps of weight^2 + 1e-8) after it.
/// Parameters `weight` [out, in, k, k] (equalised) and `affine` (A, b; b starts at 1). No bias, noise or activation.
class ModulatedConvImpl : public Equalised {
 public:
  explicit ModulatedConvImpl(const ModulatedConvOptions& options);
  void reset(at::Generator& random) override;
  /// @param x  [N, in, h, w] of any float type; its type is computed in
  /// @param w  [N, style]
  at::Tensor forward(const at::Tensor& x, const at::Tensor& w);
  /// A as it acts, [in, style].
  at::Tensor style_weight() { return affine_->scaled_weight(); }
  at::Tensor weight;

 private:
  ModulatedConvOptions options_;
  EqualLinear affine_{nullptr};
};
TORCH_MODULE(ModulatedConv);

}  // namespace derm::nn
