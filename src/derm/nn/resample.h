#pragma once
// Doubling and halving the side together with a convolution, as one convolution: the low-pass filter is folded into the
// kernel, so that no map of the larger size is written for it. Every function is differentiable twice.
#include <vector>

#include <ATen/core/Tensor.h>

namespace derm::nn {

/// What goes with doubling and halving.
enum class Lowpass {
  none,   ///< the side stays
  box,    ///< [1, 1]: nearest neighbour, and the mean of 2x2 (Karras et al. 2018)
  smooth  ///< [1, 3, 3, 1]: as StyleGAN2 has it
};

/// Puts zeros between the pixels, convolves, and filters with a gain of 4; beyond the border all is zero. With `box`
/// that is nearest-neighbour doubling and then the convolution.
/// @param x       [N, in, h, w]
/// @param weight  [out, in, k, k], k 1 or 3; it is cast to the type of x
/// @return        [N, out, 2h, 2w], channels last
at::Tensor up_conv(const at::Tensor& x, const at::Tensor& weight, Lowpass lowpass);

/// Convolves, filters and keeps every other pixel; beyond the border all is zero. With `box` that is the convolution
/// and then the mean of 2x2.
/// @param x       [N, in, 2h, 2w]
/// @param weight  [out, in, k, k], k 1 or 3
/// @return        [N, out, h, w]
at::Tensor down_conv(const at::Tensor& x, const at::Tensor& weight, Lowpass lowpass);

/// The same for each channel by itself: for pictures, which have few.
at::Tensor upsample(const at::Tensor& x, Lowpass lowpass);
at::Tensor downsample(const at::Tensor& x, Lowpass lowpass);

}  // namespace derm::nn
