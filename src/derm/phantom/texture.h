#pragma once
// Smooth random planes, scattered cells, and what is drawn into planes.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "derm/base/random.h"

namespace derm::phantom {

/// Memory for planes, which a picture takes and gives back by the dozen: each thread keeps a few blocks for the next
/// (the system would map, clear and unmap their pages each time).
void* take_block(size_t bytes);
void give_block(void* block, size_t bytes) noexcept;
template <class T>
struct Recycled {
  using value_type = T;
  Recycled() = default;
  template <class U>
  Recycled(const Recycled<U>&) {}
  T* allocate(size_t n) { return static_cast<T*>(take_block(n * sizeof(T))); }
  void deallocate(T* block, size_t n) noexcept { give_block(block, n * sizeof(T)); }
  bool operator==(const Recycled&) const { return true; }
};

/// A plane of size x size floats.
struct Plane {
  int size = 0;
  std::vector<float, Recycled<float>> values;
  explicit Plane(int size_px = 0, float fill = 0)
      : size(size_px), values(static_cast<size_t>(size_px) * static_cast<size_t>(size_px), fill) {}
  float* row(int y) { return values.data() + static_cast<size_t>(y) * static_cast<size_t>(size); }
  const float* row(int y) const { return values.data() + static_cast<size_t>(y) * static_cast<size_t>(size); }
  float& operator[](size_t i) { return values[i]; }
  float operator[](size_t i) const { return values[i]; }
};

/// Adds a lattice of n x n numbers under a cubic B-spline, times `scale`. Pixel p (its centre at p + 0.5) of either
/// axis lies at `origin + (p + 0.5) * step` on the lattice; beyond it its rim goes on.
void add_lattice(Plane& plane, const std::vector<float>& lattice, int n, double origin_x, double origin_y, double step,
                 float scale);

/// Adds Gaussian noise of mean 0 and deviation `amplitude` whose grain is 1 / cells of the side: a lattice of normal
/// numbers under a cubic B-spline. The same lattice at any size, so that an image of twice the size shows the same.
/// Grain finer than two pixels is taken as two pixels.
void add_noise(Plane& plane, double cells, double amplitude, Rng& rng);

/// The cells of points that lie scattered on a jittered lattice (Worley 1996, SIGGRAPH): `rim` is the distance to the
/// second nearest point less that to the nearest, 0 on the border between two cells and about 1 in their middles; `own`
/// is a number in [0, 1) that each cell has for itself.
struct Cells {
  Plane rim, own;
};
/// @param window   the part of the picture that is wanted; the rest stays 0
/// @param stretch  how much longer the cells are along `angle` (radians) than across
/// @param jitter   0 (a square lattice) to 1
struct Window {
  int x0, y0, x1, y1;  ///< pixels, ends included
};
Cells make_cells(int size, const Window& window, double spacing_px, double stretch, double angle, double jitter,
                 Rng& rng);

/// A soft dot, exp(-r^2 / 2 radius^2) times `height`, added.
void add_dot(Plane& plane, double x_px, double y_px, double radius_px, double height);

/// A line through the points (pixels), as coverage 0 to 1 with antialiased sides; the maximum with what is there. Its
/// width runs from `width_px` to `end_width_px`.
struct Point {
  double x, y;
};
void draw_line(Plane& plane, const std::vector<Point>& points, double width_px, double end_width_px, float strength);

/// A quadratic Bezier curve as points about three pixels apart.
std::vector<Point> bezier(Point a, Point control, Point b);

float clamp01(float v);
/// 0 at `low`, 1 at `high` (which may lie below it), smooth between.
float smooth_step(float low, float high, float v);

}  // namespace derm::phantom
