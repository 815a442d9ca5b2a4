#include "derm/phantom/hair.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace derm::phantom {

namespace {

constexpr double kTau = 2 * std::numbers::pi;

Linear colour_of(double melanin) {
  struct Stop {
    double melanin;
    Linear colour;
  };
  static constexpr std::array<Stop, 4> kStops = {{{0.0, {0.62f, 0.60f, 0.56f}},
                                                  {0.3, {0.38f, 0.27f, 0.14f}},
                                                  {0.6, {0.075f, 0.038f, 0.018f}},
                                                  {1.0, {0.012f, 0.009f, 0.008f}}}};
  for (size_t i = 1; i < kStops.size(); ++i)
    if (melanin <= kStops[i].melanin)
      return mix(kStops[i - 1].colour, kStops[i].colour,
                 static_cast<float>((melanin - kStops[i - 1].melanin) / (kStops[i].melanin - kStops[i - 1].melanin)));
  return kStops.back().colour;
}

}  // namespace

void add_hair(Canvas& canvas, const Scene& scene) {
  Rng rng = scene.stream(kHair);
  const Parameters& p = scene.p;
  const int size = canvas.size;
  const double ppm = scene.px_per_mm();
  // Hairs also grow in from outside the picture.
  const double margin = std::min(0.5, p.hair_mm / p.field_mm);
  const double area_cm2 = p.field_mm * p.field_mm * (1 + 2 * margin) * (1 + 2 * margin) / 100;
  const int64_t count = std::clamp<int64_t>(std::llround(p.hairs_per_cm2 * area_cm2), 3, 3000);
  const double lie = rng.uniform(0, kTau), spread = rng.uniform(0.15, 0.5);
  const Linear colour = colour_of(p.hair_melanin);
  Plane hair(size);
  for (int64_t i = 0; i < count; ++i) {
    Point at{rng.uniform(-margin, 1 + margin) * size, rng.uniform(-margin, 1 + margin) * size};
    const double length = p.hair_mm * rng.uniform(0.5, 1.2) * ppm;
    double way = lie + spread * rng.normal();
    // Curl: waves of a few millimetres, which close to loops when it is tight.
    const double bow = 0.5 * rng.normal() / length,
                 wave = 2.2 * p.hair_curl * p.hair_curl * rng.uniform(0.6, 1.0) + 0.15 * p.hair_curl,
                 beat = rng.uniform(0.8, 1.6) * (1 + 2 * p.hair_curl) / ppm, phase = rng.uniform(0, kTau);
    const double step = std::clamp(0.35 * ppm, 2.0, 6.0);
    std::vector<Point> points = {at};
    for (double gone = 0; gone < length; gone += step) {
      way += bow * step;
      const double now = way + wave * std::sin(phase + gone * beat);
      at = {at.x + step * std::cos(now), at.y + step * std::sin(now)};
      points.push_back(at);
    }
    const double width = rng.uniform(0.05, 0.095) * ppm;
    draw_line(hair, points, std::max(width, 0.7), std::max(0.45 * width, 0.4),
              static_cast<float>(rng.uniform(0.75, 0.97)));
  }
  const int step = std::max(1, static_cast<int>(std::lround(0.12 * ppm)));
  const float dark = scene.dermoscopic() ? 0.06f : 0.18f;
  for (int y = size - 1; y >= 0; --y)
    for (int x = size - 1; x >= 0; --x) {
      Linear& pixel = canvas.at(x, y);
      if (x >= step && y >= step) {
        const float shade = 1 - dark * hair.row(y - step)[x - step];
        for (float& c : pixel) c *= shade;
      }
      if (const float h = hair.row(y)[x]; h > 0) pixel = mix(pixel, colour, h);
    }
}

}  // namespace derm::phantom
