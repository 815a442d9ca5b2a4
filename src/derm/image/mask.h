#pragma once
// Work on masks and planes.
#include <vector>

#include "derm/image/image.h"

namespace derm::image {

size_t mask_area(const Mask& mask);               ///< pixels set
Box mask_box(const Mask& mask);                   ///< tight; all 0 if the mask is empty
double mask_iou(const Mask& a, const Mask& b);    ///< 1 if both are empty; throws UsageError on another size
Mask dilate(const Mask& mask, double radius_px);  ///< by a disc (exact Euclidean distance)
Mask erode(const Mask& mask, double radius_px);
Mask fill_holes(const Mask& mask);

struct Component {
  size_t area = 0;
  Box box;
  double cx = 0, cy = 0;  ///< centre of mass
  int label = 0;          ///< 1, 2, ... in `labels`
};
struct Components {
  std::vector<int> labels;       ///< height x width, 0 outside
  std::vector<Component> items;  ///< largest first
};
Components connected_components(const Mask& mask);  ///< 8 neighbours

/// Exact Euclidean distance in pixels of each pixel to the nearest set one (Felzenszwalb and Huttenlocher).
std::vector<float> distance_to(const Mask& mask);

/// Gaussian blur of a plane of `width` x `height` floats, edges repeated.
std::vector<float> gaussian_blur(const std::vector<float>& plane, int width, int height, double sigma_px);

/// Otsu's threshold of the values: splits into <= t and > t. 0 for fewer than two distinct values.
double otsu_threshold(const std::vector<float>& values);

}  // namespace derm::image
