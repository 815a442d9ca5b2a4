#pragma once
// From pictures of any size to what an Inception network is fed with.
#include <cstdint>

#include <ATen/core/Tensor.h>

namespace derm::metrics {

inline constexpr int64_t kInceptionSide = 299;

/// clean-fid's way (Parmar et al. 2022, arXiv:2104.11222): Pillow's antialiased bicubic on float32 planes (mode "F"),
/// clipped to 0..255, not rounded, then (x - 128) / 128.
/// @param images  [N, 3, H, W], bytes or floats in 0..255, any device
/// @return        [N, 3, side, side] float on the CPU, in [-1, 0.9922]
/// @throws        UsageError for another shape or type
at::Tensor resize_clean(const at::Tensor& images, int64_t side = kInceptionSide);

/// pytorch-fid's way: bilinear without antialiasing (align_corners false) on x / 255, then 2 x - 1. It aliases when
/// images are made smaller; kept because published numbers use it.
/// @param images  as for resize_clean
/// @return        [N, 3, side, side] float on the CPU, in [-1, 1]
at::Tensor resize_legacy(const at::Tensor& images, int64_t side = kInceptionSide);

/// Pillow's antialiased bicubic on float32 planes alone: what Image.resize gives for mode "F", not clipped.
/// @param planes  [..., H, W] float
/// @return        [..., height, width] float
at::Tensor resize_bicubic(const at::Tensor& planes, int64_t height, int64_t width);

}  // namespace derm::metrics
