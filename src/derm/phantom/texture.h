#pragma once
// Smooth random planes, and what is drawn into planes.
#include <cstdint>
#include <vector>

#include "derm/base/random.h"

namespace derm::phantom {

/// A plane of size x size floats.
struct Plane {
  int size = 0;
  std::vector<float> values;
  explicit Plane(int size_px, float fill = 0)
      : size(size_px), values(static_cast<size_t>(size_px) * static_cast<size_t>(size_px), fill) {}
  float* row(int y) { return values.data() + static_cast<size_t>(y) * static_cast<size_t>(size); }
  const float* row(int y) const { return values.data() + static_cast<size_t>(y) * static_cast<size_t>(size); }
  float& operator[](size_t i) { return values[i]; }
  float operator[](size_t i) const { return values[i]; }
};

/// Adds Gaussian noise of mean 0 and deviation `amplitude` whose grain is 1 / cells of the side: a lattice of normal
/// numbers under a cubic B-spline. The same lattice at any size, so that an image of twice the size shows the same.
void add_noise(Plane& plane, double cells, double amplitude, Rng& rng);

/// A soft dot, exp(-r^2 / 2 radius^2) times `height`, added.
void add_dot(Plane& plane, double x_px, double y_px, double radius_px, double height);

/// A line through the points (pixels), as coverage 0 to 1 with antialiased sides; the maximum with what is there. Its
/// width runs from `width_px` to `end_width_px`.
struct Point {
  double x, y;
};
void draw_line(Plane& plane, const std::vector<Point>& points, double width_px, double end_width_px, float strength);

/// A quadratic Bezier curve as points about two pixels apart.
std::vector<Point> bezier(Point a, Point control, Point b);

}  // namespace derm::phantom
