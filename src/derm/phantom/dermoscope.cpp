#include "derm/phantom/dermoscope.h"

#include <algorithm>
#include <cmath>

namespace derm::phantom {

void add_bubbles(Canvas& canvas, const Form& form, const Scene& scene) {
  Rng rng = scene.stream(kDermoscope);
  const int size = canvas.size;
  const double ppm = scene.px_per_mm();
  const int64_t count = rng.integer(4, 22);
  for (int64_t i = 0; i < count; ++i) {
    const double x = rng.uniform(0, size), y = rng.uniform(0, size);
    // Small ones by far the most.
    const double radius = std::max(1.6, 0.17 * ppm * std::exp(0.7 * rng.normal()));
    const double way = rng.uniform(-0.5, 0.5) - 2.2;
    const size_t at = static_cast<size_t>(y) * static_cast<size_t>(size) + static_cast<size_t>(x);
    if (form.inside[at] > -radius && rng.chance(0.7)) continue;
    const int reach = static_cast<int>(radius + 3);
    for (int py = std::max(0, static_cast<int>(y) - reach); py <= std::min(size - 1, static_cast<int>(y) + reach); ++py)
      for (int px = std::max(0, static_cast<int>(x) - reach); px <= std::min(size - 1, static_cast<int>(x) + reach);
           ++px) {
        const double dx = px + 0.5 - x, dy = py + 0.5 - y, r = std::sqrt(dx * dx + dy * dy);
        if (r > radius + 1.5) continue;
        Linear& pixel = canvas.at(px, py);
        // A dark rim where light is bent away, bright inside it on the lamp's side, and a mirrored spot.
        const float rim = static_cast<float>(std::exp(-std::pow((r - radius) / std::max(0.7, 0.10 * radius), 2)));
        const double facing = r > 1e-6 ? (dx * std::cos(way) + dy * std::sin(way)) / r : 0;
        const float inner = static_cast<float>(
            std::exp(-std::pow((r - 0.78 * radius) / std::max(0.6, 0.10 * radius), 2)) * std::max(0.0, -facing));
        const double sx = dx - 0.45 * radius * std::cos(way), sy = dy - 0.45 * radius * std::sin(way);
        const float spot = static_cast<float>(std::exp(-(sx * sx + sy * sy) / std::max(0.5, 0.03 * radius * radius)));
        for (float& c : pixel) {
          c *= 1 - 0.30f * rim;
          c += (0.9f - c) * std::min(0.9f, 0.35f * inner + 0.8f * spot);
        }
      }
  }
}

void add_dark_corners(Canvas& canvas, const Scene& scene) {
  Rng rng = scene.stream(kCorners);
  const int size = canvas.size;
  const double radius = rng.uniform(0.50, 0.60) * size, soft = rng.uniform(0.008, 0.035) * size;
  const double cx = size * rng.uniform(0.47, 0.53), cy = size * rng.uniform(0.47, 0.53);
  for (int y = 0; y < size; ++y)
    for (int x = 0; x < size; ++x) {
      const double distance = std::hypot(x + 0.5 - cx, y + 0.5 - cy);
      if (distance < radius - soft) continue;
      const float keep = 1 - 0.985f * smooth_step(static_cast<float>(-soft), static_cast<float>(soft),
                                                  static_cast<float>(distance - radius));
      for (float& c : canvas.at(x, y)) c *= keep;
    }
}

}  // namespace derm::phantom
