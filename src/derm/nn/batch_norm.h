#pragma once
// Batch norm and the activation after it, in one pass over the map.
#include <limits>

#include <ATen/core/Tensor.h>

namespace derm::nn {

/// f(z) = min(z, high) where z > 0, slope z elsewhere.
struct Activation {
  double slope = 1;
  double high = std::numeric_limits<double>::infinity();

  static Activation none() { return {}; }
  static Activation relu() { return {.slope = 0}; }
  static Activation relu6() { return {.slope = 0, .high = 6}; }
  static Activation leaky_relu() { return {.slope = 0.2}; }  ///< as GANs have it
};

/// By libtorch's operators. With a bound the gradient is 1 strictly between 0 and it, 0 elsewhere: in bf16 on the CPU
/// as well, where libtorch 1.13 has no gradient of its own.
at::Tensor activate(const at::Tensor& x, const Activation& activation);

/// activate(batch_norm(x)) as torch.nn.BatchNorm2d has it: momentum 0.1, epsilon 1e-5. For maps in bf16, channels last,
/// on the processor by a kernel of our own: statistics are sums in fp32 over blocks, and neither the normalised map nor
/// the activation's mask is kept; libtorch reads and writes the map six times more, and has relu6's way back in three
/// operators. Otherwise by libtorch's operators.
/// @param x             [N, C, H, W] or [N, C]
/// @param weight, bias  [C] fp32
/// @param mean, var     [C] fp32, the running statistics: moved in training, used in evaluation
/// @return              differentiable, twice too
at::Tensor batch_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, const at::Tensor& mean,
                      const at::Tensor& var, bool training, const Activation& activation);

}  // namespace derm::nn
