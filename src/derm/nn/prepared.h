#pragma once
// Convolution weights as layers compute with them: in the type and memory format of the activations, folded where a
// doubling is computed on the small map.
#include <memory>

#include <ATen/core/Tensor.h>

#include "derm/nn/kernel_layout.h"

namespace derm::nn {

/// Prepares a weight, and keeps the result until the weight changes: a network that judges three times in a step, or
/// makes a thousand images, pays for it once. May be asked from several threads.
class Prepared {
 public:
  explicit Prepared(Fold fold = Fold::none);

  /// @param weight  fp32, [out, in, k, k], of the transposed fold [in, out, 4, 4]
  /// @param x       [N, in, H, W], what the weight will be used on
  /// @return        differentiable, twice too: the gradient comes back in fp32
  at::Tensor operator()(const at::Tensor& weight, const at::Tensor& x);

  /// at::conv2d of x with the prepared weight. Without gradients, and where the weight is far larger than the map, from
  /// a copy in the processor's own blocked order: oneDNN reorders a weight at each call, which took half of the time of
  /// an image.
  /// @param bias  in the type of x, or undefined
  at::Tensor convolve(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, int64_t stride,
                      int64_t padding, int64_t groups = 1);

 private:
  struct Kept;
  Fold fold_;
  std::shared_ptr<Kept> kept_;
};

}  // namespace derm::nn
