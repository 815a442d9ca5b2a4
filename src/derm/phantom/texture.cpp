#include "derm/phantom/texture.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace derm::phantom {

void add_noise(Plane& plane, double cells, double amplitude, Rng& rng) {
  const int n = static_cast<int>(std::ceil(cells)) + 4;
  std::vector<float> lattice(static_cast<size_t>(n) * static_cast<size_t>(n));
  for (float& v : lattice) v = static_cast<float>(rng.normal());
  // Where the lattice lies under the image, so that its lines show at no fixed place.
  const double shift_x = rng.uniform(), shift_y = rng.uniform();
  // Under a cubic B-spline independent numbers keep 151/315 of their variance a dimension on average.
  const float scale = static_cast<float>(amplitude / (151.0 / 315.0));

  const int size = plane.size;
  struct Tap {
    int first;
    std::array<float, 4> weight;
  };
  const auto taps = [&](double shift) {
    std::vector<Tap> out(static_cast<size_t>(size));
    for (int i = 0; i < size; ++i) {
      const double p = (i + 0.5) / size * cells + shift;
      const int k = static_cast<int>(p);
      const double t = p - k, u = 1 - t;
      out[static_cast<size_t>(i)] = {
          std::min(k, n - 4),
          {static_cast<float>(u * u * u / 6), static_cast<float>((3 * t * t * t - 6 * t * t + 4) / 6),
           static_cast<float>((3 * u * u * u - 6 * u * u + 4) / 6), static_cast<float>(t * t * t / 6)}};
    }
    return out;
  };
  const std::vector<Tap> across = taps(shift_x), down = taps(shift_y);
  std::vector<float> rows(static_cast<size_t>(n) * static_cast<size_t>(size));
  for (int y = 0; y < n; ++y) {
    const float* from = lattice.data() + static_cast<size_t>(y) * static_cast<size_t>(n);
    float* to = rows.data() + static_cast<size_t>(y) * static_cast<size_t>(size);
    for (int x = 0; x < size; ++x) {
      const Tap& t = across[static_cast<size_t>(x)];
      const float* l = from + t.first;
      to[x] = t.weight[0] * l[0] + t.weight[1] * l[1] + t.weight[2] * l[2] + t.weight[3] * l[3];
    }
  }
  for (int y = 0; y < size; ++y) {
    const Tap& t = down[static_cast<size_t>(y)];
    const float* r0 = rows.data() + static_cast<size_t>(t.first) * static_cast<size_t>(size);
    const float *r1 = r0 + size, *r2 = r1 + size, *r3 = r2 + size;
    const float w0 = t.weight[0] * scale, w1 = t.weight[1] * scale, w2 = t.weight[2] * scale, w3 = t.weight[3] * scale;
    float* to = plane.row(y);
    for (int x = 0; x < size; ++x) to[x] += w0 * r0[x] + w1 * r1[x] + w2 * r2[x] + w3 * r3[x];
  }
}

void add_dot(Plane& plane, double x_px, double y_px, double radius_px, double height) {
  const double reach = 3 * radius_px + 1;
  const int x0 = std::max(0, static_cast<int>(x_px - reach)),
            x1 = std::min(plane.size - 1, static_cast<int>(x_px + reach));
  const int y0 = std::max(0, static_cast<int>(y_px - reach)),
            y1 = std::min(plane.size - 1, static_cast<int>(y_px + reach));
  const double factor = -0.5 / (radius_px * radius_px);
  for (int y = y0; y <= y1; ++y) {
    float* row = plane.row(y);
    for (int x = x0; x <= x1; ++x) {
      const double dx = x + 0.5 - x_px, dy = y + 0.5 - y_px;
      row[x] += static_cast<float>(height * std::exp(factor * (dx * dx + dy * dy)));
    }
  }
}

void draw_line(Plane& plane, const std::vector<Point>& points, double width_px, double end_width_px, float strength) {
  const size_t pieces = points.size() < 2 ? 0 : points.size() - 1;
  for (size_t i = 0; i < pieces; ++i) {
    const Point a = points[i], b = points[i + 1];
    const double along = pieces == 1 ? 0.5 : static_cast<double>(i) / static_cast<double>(pieces - 1);
    const double half = 0.5 * (width_px + (end_width_px - width_px) * along), reach = half + 1;
    const int x0 = std::max(0, static_cast<int>(std::floor(std::min(a.x, b.x) - reach)));
    const int x1 = std::min(plane.size - 1, static_cast<int>(std::ceil(std::max(a.x, b.x) + reach)));
    const int y0 = std::max(0, static_cast<int>(std::floor(std::min(a.y, b.y) - reach)));
    const int y1 = std::min(plane.size - 1, static_cast<int>(std::ceil(std::max(a.y, b.y) + reach)));
    const double dx = b.x - a.x, dy = b.y - a.y, length2 = std::max(dx * dx + dy * dy, 1e-12);
    for (int y = y0; y <= y1; ++y) {
      float* row = plane.row(y);
      for (int x = x0; x <= x1; ++x) {
        const double px = x + 0.5 - a.x, py = y + 0.5 - a.y;
        const double t = std::clamp((px * dx + py * dy) / length2, 0.0, 1.0);
        const double ex = px - t * dx, ey = py - t * dy, distance2 = ex * ex + ey * ey;
        if (distance2 >= (half + 0.5) * (half + 0.5)) continue;
        // A line thinner than a pixel covers less of it.
        const double cover = std::clamp(half + 0.5 - std::sqrt(distance2), 0.0, 1.0) * std::min(1.0, 2 * half);
        row[x] = std::max(row[x], static_cast<float>(cover) * strength);
      }
    }
  }
}

std::vector<Point> bezier(Point a, Point control, Point b) {
  const double length = std::hypot(control.x - a.x, control.y - a.y) + std::hypot(b.x - control.x, b.y - control.y);
  const int steps = std::max(2, static_cast<int>(length / 3));
  std::vector<Point> points;
  for (int i = 0; i <= steps; ++i) {
    const double t = static_cast<double>(i) / steps, u = 1 - t;
    points.push_back(
        {u * u * a.x + 2 * u * t * control.x + t * t * b.x, u * u * a.y + 2 * u * t * control.y + t * t * b.y});
  }
  return points;
}

}  // namespace derm::phantom
