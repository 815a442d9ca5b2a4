#pragma once
// Convolution weights, fp32 [out, in, k, k], as the processor's bf16 kernels in channels-last order, and gradients
// back. By hand: libtorch permutes and converts one number at a time, which took a sixth of a training step.
#include <cstdint>

namespace derm::nn {

/// What is done to the taps of a kernel. Doubling the side by a convolution is four 2x2 convolutions on the small map,
/// one for each output phase (2i + p, 2j + q).
enum class Fold {
  none,        ///< [out, in, k, k] as it is
  nearest,     ///< [out, in, 3, 3] after nearest-neighbour doubling, to [4 out, in, 2, 2]: 4/9 of the arithmetic
  transposed,  ///< [in, out, 4, 4] of a transposed convolution of stride 2, to [4 out, in, 2, 2]
};

struct KernelShape {
  int64_t out = 0, in = 0, side = 0;  ///< of the weight: outputs, inputs, taps a side (3 if nearest, 4 if transposed)
};

/// Writes what the output channels from `begin` to `end` of the weight become.
/// @param kernel  bf16: [out, side, side, in], or folded [2, 2, out, 2, 2, in]
void write_kernel(Fold fold, const KernelShape& shape, const float* weight, uint16_t* kernel, int64_t begin,
                  int64_t end);

/// The adjoint: the gradient of the weight from that of the kernel, for the same channels.
void write_weight_gradient(Fold fold, const KernelShape& shape, const uint16_t* kernel, float* weight, int64_t begin,
                           int64_t end);

}  // namespace derm::nn
