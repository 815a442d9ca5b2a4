#include "derm/phantom/texture.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace derm::phantom {

namespace {

struct Pool {
  struct Block {
    void* at;
    size_t bytes;
  };
  std::vector<Block> blocks;
  ~Pool() {
    for (const Block& block : blocks) ::operator delete(block.at);
  }
};
constexpr size_t kKept = 32;

Pool& pool() {
  thread_local Pool own;
  return own;
}

}  // namespace

void* take_block(size_t bytes) {
  std::vector<Pool::Block>& blocks = pool().blocks;
  for (size_t i = blocks.size(); i-- > 0;)
    if (blocks[i].bytes == bytes) {
      void* at = blocks[i].at;
      blocks.erase(blocks.begin() + static_cast<ptrdiff_t>(i));
      return at;
    }
  return ::operator new(bytes);
}

void give_block(void* block, size_t bytes) noexcept {
  std::vector<Pool::Block>& blocks = pool().blocks;
  if (blocks.capacity() == 0) {
    try {
      blocks.reserve(kKept);
    } catch (...) {
    }
  }
  if (blocks.size() < blocks.capacity() && blocks.size() < kKept) {
    blocks.push_back({block, bytes});
  } else {
    ::operator delete(block);
  }
}

float clamp01(float v) { return std::clamp(v, 0.0f, 1.0f); }

float smooth_step(float low, float high, float v) {
  const float t = clamp01((v - low) / (high - low));
  return t * t * (3 - 2 * t);
}

void add_lattice(Plane& plane, const std::vector<float>& lattice, int n, double origin_x, double origin_y, double step,
                 float scale) {
  const int size = plane.size;
  struct Tap {
    int first;
    std::array<float, 4> weight;
  };
  const auto taps = [&](double origin) {
    std::vector<Tap> out(static_cast<size_t>(size));
    for (int i = 0; i < size; ++i) {
      const double p = std::clamp(origin + (i + 0.5) * step, 0.0, n - 3.0);
      const int k = std::min(static_cast<int>(p), n - 4);
      const double t = p - k, u = 1 - t;
      out[static_cast<size_t>(i)] = {
          k,
          {static_cast<float>(u * u * u / 6), static_cast<float>((3 * t * t * t - 6 * t * t + 4) / 6),
           static_cast<float>((3 * u * u * u - 6 * u * u + 4) / 6), static_cast<float>(t * t * t / 6)}};
    }
    return out;
  };
  const std::vector<Tap> across = taps(origin_x), down = taps(origin_y);
  const int first = down.front().first, last = down.back().first + 3;
  std::vector<float> rows(static_cast<size_t>(n) * static_cast<size_t>(size));
  for (int y = first; y <= last; ++y) {
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

namespace {

// Nearly normal: the sum of four bytes' worth of uniform numbers, from half a draw.
void fill_normal(std::vector<float>& values, Rng& rng) {
  for (size_t i = 0; i < values.size();) {
    uint64_t bits = rng.next();
    for (int half = 0; half < 2 && i < values.size(); ++half, bits >>= 32) {
      const int sum = static_cast<int>(bits & 255) + static_cast<int>(bits >> 8 & 255) +
                      static_cast<int>(bits >> 16 & 255) + static_cast<int>(bits >> 24 & 255);
      values[i++] = (static_cast<float>(sum) - 510.0f) / 147.8f;
    }
  }
}

}  // namespace

void add_noise(Plane& plane, double cells, double amplitude, Rng& rng) {
  cells = std::clamp(cells, 0.05, plane.size / 2.0);
  const int n = static_cast<int>(std::ceil(cells)) + 4;
  std::vector<float> lattice(static_cast<size_t>(n) * static_cast<size_t>(n));
  fill_normal(lattice, rng);
  // Where the lattice lies under the image, so that its lines show at no fixed place.
  const double shift_x = rng.uniform(), shift_y = rng.uniform();
  // Under a cubic B-spline independent numbers keep 151/315 of their variance a dimension on average.
  add_lattice(plane, lattice, n, shift_x, shift_y, cells / plane.size, static_cast<float>(amplitude / (151.0 / 315.0)));
}

Cells make_cells(int size, const Window& window, double spacing_px, double stretch, double angle, double jitter,
                 Rng& rng) {
  spacing_px = std::max(spacing_px, 2.0);
  Cells out{Plane(size), Plane(size)};
  const int n = static_cast<int>(std::ceil(1.5 * size / spacing_px)) + 6;
  struct Scattered {
    float x, y, own;
  };
  std::vector<Scattered> points(static_cast<size_t>(n) * static_cast<size_t>(n));
  for (int j = 0; j < n; ++j)
    for (int i = 0; i < n; ++i) {
      const uint64_t bits = rng.next();
      const auto part = [&](int shift) { return static_cast<float>(bits >> shift & 0xFFFF) / 65536.0f; };
      const float spread = static_cast<float>(jitter);
      points[static_cast<size_t>(j) * static_cast<size_t>(n) + static_cast<size_t>(i)] = {
          static_cast<float>(i) + 0.5f + spread * (part(0) - 0.5f),
          static_cast<float>(j) + 0.5f + spread * (part(16) - 0.5f), part(32)};
    }
  const double c = std::cos(angle) / (spacing_px * stretch), s = std::sin(angle) / spacing_px;
  const double c2 = std::cos(angle) / spacing_px, s2 = std::sin(angle) / (spacing_px * stretch);
  for (int y = window.y0; y <= window.y1; ++y) {
    float *rim = out.rim.row(y), *own = out.own.row(y);
    const double dy = y + 0.5 - size / 2.0, dx = 0.5 - size / 2.0;
    const float u0 = static_cast<float>(c * dx + s2 * dy + n / 2.0),
                v0 = static_cast<float>(c2 * dy - s * dx + n / 2.0);
    const float du = static_cast<float>(c), dv = static_cast<float>(-s);
    for (int x = window.x0; x <= window.x1; ++x) {
      const float u = u0 + du * static_cast<float>(x), v = v0 + dv * static_cast<float>(x);
      const int i = static_cast<int>(u), j = static_cast<int>(v);
      float first = 9, second = 9, number = 0;
      for (int b = -1; b <= 1; ++b) {
        const Scattered* p = points.data() + static_cast<size_t>(j + b) * static_cast<size_t>(n) + (i - 1);
        for (int a = 0; a < 3; ++a) {
          const float ex = p[a].x - u, ey = p[a].y - v, d = ex * ex + ey * ey;
          number = d < first ? p[a].own : number;
          second = std::min(second, std::max(first, d));
          first = std::min(first, d);
        }
      }
      rim[x] = std::sqrt(second) - std::sqrt(first);
      own[x] = number;
    }
  }
  return out;
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
