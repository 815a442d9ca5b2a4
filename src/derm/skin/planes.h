#pragma once
// CIE Lab planes of a picture at the size that the searches work at.
#include <cstdint>
#include <vector>

#include "derm/image/colour.h"
#include "derm/image/image.h"

namespace derm::skin {

struct Planes {
  int width = 0, height = 0;
  std::vector<float> L, a, b;
  size_t size() const { return L.size(); }
  image::Lab at(size_t i) const { return {L[i], a[i], b[i]}; }
};

/// Lab of every pixel, within 0.02 of image::lab_of. Grey pictures count as RGB.
Planes lab_planes(const image::Image& picture);

/// The picture with its long side reduced to `longest` (box filter), or as it is if it is no longer than that.
image::Image reduced(const image::Image& picture, int longest);

/// A mask taken to another size by the nearest pixel.
image::Mask resized_mask(const image::Mask& mask, int width, int height);

/// A smooth plane in time that does not grow with the radius: two running means over squares of 2 r + 1, edges
/// repeated.
std::vector<float> box_blur(const std::vector<float>& plane, int width, int height, int radius);

/// Distance of each pixel to the nearest set one, within 5 % (chamfer steps of 1 and 1.4); very far where there is
/// none.
std::vector<float> rough_distance(const std::vector<uint8_t>& mask, int width, int height);

/// One step of dilation (or erosion) over the four neighbours.
void grow_by_one(image::Mask& mask);
void shrink_by_one(image::Mask& mask);

/// Middle value; reorders its copy. 0 for no values.
double median_of(std::vector<float> values);

/// The value below which the share `p` (0 to 1) lies. 0 for no values.
double percentile_of(std::vector<float> values, double p);

}  // namespace derm::skin
