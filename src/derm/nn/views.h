#pragma once
// Views of a batch of photographs: augmentation as tensor operations, for recipes that need more of it than the loader
// does, or several views of one image.
#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include "derm/base/options.h"

namespace derm::nn {

/// What may happen to a view. Everything is drawn per image and evenly unless said otherwise; strengths of 0 switch
/// off.
struct ViewOptions {
  double least_side = 0.7, most_side = 1.0;  ///< side of the square that is cut out, over the picture's; beyond 1 the
                                             ///< picture is continued by its mirror image
  double stretch = 0.0;                      ///< the two sides differ by a factor of up to exp(stretch)
  double turn_deg = 180;                     ///< turned by up to this, either way
  double light = 0.0;     ///< brightness +-0.5 light (of the range of 2), contrast and gamma by exp(+-0.5 light)
  double colour = 0.0;    ///< saturation by exp(+-colour), each channel's gain by exp(+-0.25 colour)
  double blur_px = 0.0;   ///< Gaussian, sigma up to this, for every other image
  double noise = 0.0;     ///< Gaussian noise, deviation up to this (of the range of 2), for every other image
  double jpeg = 0.0;      ///< share of images that are compressed with quality 30 to 90
  void bind(Options& o);  ///< under the names "view_least_side" ...
  void validate() const;  ///< throws UsageError naming the field, its value and what is accepted
};

struct View {
  at::Tensor image;   ///< [N, 3, size, size] in [-1, 1], fp32
  at::Tensor region;  ///< [N, 1, size, size], moved as the image; undefined if none was given
};

/// One view of each image. Depends on `random` alone; no gradient flows through it.
/// @param images  [N, 3, S, S] in [-1, 1]
/// @param region  [N, 1, S, S] or undefined
View draw_view(const at::Tensor& images, const at::Tensor& region, int64_t size_px, const ViewOptions& options,
               at::Generator& random);

/// What JPEG takes away: 8x8 DCT with the tables of Annex K of ITU-T T.81 scaled to each image's quality, colour at
/// half the resolution.
/// @param images   [N, 3, H, W] in [-1, 1], sides multiples of 16
/// @param quality  [N], 1 to 100
at::Tensor jpeg_compressed(const at::Tensor& images, const at::Tensor& quality);

}  // namespace derm::nn
