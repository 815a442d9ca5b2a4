#pragma once
// A picture at several sizes, each half of the next (Burt and Adelson 1983).
#include <vector>

#include <ATen/core/Tensor.h>

namespace derm::nn {

/// Twice the side, bilinear: as torch.nn.functional.interpolate(scale_factor=2, mode="bilinear"), by operations whose
/// gradient is the same every time on a GPU too. [N, C, H, W] -> [N, C, 2H, 2W]
at::Tensor doubled(const at::Tensor& x);

/// Half the side, means over 2x2 squares. [N, C, 2H, 2W] -> [N, C, H, W]
at::Tensor halved(const at::Tensor& x);

/// What a picture is at one level of a pyramid.
struct Level {
  at::Tensor image;  ///< [N, C, h, w]
  at::Tensor low;    ///< the level below, doubled: image - low is the residual; undefined where it is not asked for
};

/// `levels` sizes of the images, smallest first.
/// @param with_low  the lower level, doubled, beside each but the first
std::vector<Level> pyramid_of(const at::Tensor& images, int64_t levels, bool with_low);

}  // namespace derm::nn
