#pragma once
// One draw of the augmentation, and what it does to a picture, a mask and a request.
#include "derm/base/random.h"
#include "derm/data/request.h"
#include "derm/image/image.h"
#include "derm/loader/loader.h"

namespace derm::loader {

/// Crop, then mirror, then turn; then the colour. Lengths are fractions of the side.
struct Augmentation {
  bool flip = false;
  int turns = 0;                  ///< quarter turns, counter-clockwise
  double x = 0, y = 0, side = 1;  ///< the crop: left upper corner and side
  image::Lab colour{0, 0, 0};     ///< added to the picture and to the skin colour

  bool crops() const { return side < 1; }
  bool changes_colour() const { return colour.L != 0 || colour.a != 0 || colour.b != 0; }

  /// Always takes the same number of draws, so that switching one part off leaves the others as they were.
  static Augmentation draw(const AugmentOptions& options, Rng& rng);
};

/// Share of the regions' area that the crop keeps: of the region that loses most. 1 without regions.
double kept_share(const data::Request& request, const Augmentation& a);

/// The request of the augmented picture. Boxes may reach beyond the frame where the crop cuts them. Masks must be
/// square.
data::Request transformed(const data::Request& request, const Augmentation& a);

/// The mask, bilinear where it is cropped.
image::Mask transformed_mask(const image::Mask& mask, const Augmentation& a);

/// The picture (square, three channels) as three planes in [-1, 1]: v / 127.5 - 1.
void write_picture(const image::Image& picture, const Augmentation& a, float* planes);

}  // namespace derm::loader
