#include "derm/phantom/markers.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace derm::phantom {

namespace {

constexpr double kTau = 2 * std::numbers::pi;

// Millimetres between ticks, such that they stand at least three pixels apart.
int tick_mm(double ppm) {
  for (const int every : {1, 5, 10, 50})
    if (every * ppm >= 3) return every;
  return 100;
}

void add_engraved_scale(Canvas& canvas, size_t side, const Scene& scene, Rng& rng) {
  const int size = canvas.size;
  const double ppm = scene.px_per_mm();
  const int every = tick_mm(ppm);
  const double length = std::min(0.7 * size, std::floor(0.7 * scene.p.field_mm / every) * every * ppm);
  const double inward = rng.uniform(0.06, 0.10) * size, tilt = rng.uniform(-0.10, 0.10);
  const double start = (size - length) * rng.uniform(0.2, 0.8);
  const double c = std::cos(tilt), s = std::sin(tilt);
  // Along the side and inward from it, then turned to the side.
  const auto at = [&](double along, double in) {
    const double a = start + along * c - in * s, b = inward + (along - length / 2) * s + in * c;
    switch (side) {
      case 0: return Point{a, b};
      case 1: return Point{size - b, a};
      case 2: return Point{a, size - b};
      default: return Point{b, a};
    }
  };
  Plane lines(size);
  const double width = std::max(1.0, 0.005 * size);
  draw_line(lines, {at(0, 0), at(length, 0)}, width, width, 0.9f);
  for (int n = 0; n * every * ppm <= length + 0.5; ++n) {
    const double tall = size * (n % 10 == 0 ? 0.045 : n % 5 == 0 ? 0.036 : 0.024);
    draw_line(lines, {at(n * every * ppm, 0), at(n * every * ppm, -tall)}, width, width, 0.9f);
  }
  for (size_t i = 0; i < canvas.pixels.size(); ++i)
    if (lines[i] > 0) canvas.pixels[i] = mix(canvas.pixels[i], {0.02f, 0.018f, 0.018f}, lines[i]);
}

}  // namespace

std::vector<Label> add_ruler(Canvas& canvas, const Form& form, const Scene& scene) {
  Rng rng = scene.stream(kRuler);
  const int size = canvas.size;
  const std::array<double, 4> away = {form.y, 1 - form.x, 1 - form.y, form.x};  // top, right, bottom, left
  const size_t side = static_cast<size_t>(std::max_element(away.begin(), away.end()) - away.begin());
  if (scene.dermoscopic()) {
    add_engraved_scale(canvas, side, scene, rng);
    return {};
  }
  const bool paper = rng.chance(0.6);
  const double ppm = scene.px_per_mm();
  const int every = tick_mm(ppm);
  const double depth = rng.uniform(0.09, 0.13) * size, start = rng.uniform(0, 1) * every * ppm;
  const double thick = std::clamp(0.25 * every * ppm, 0.8, 0.006 * size + 0.5);
  std::vector<Label> labels;
  for (int y = 0; y < size; ++y)
    for (int x = 0; x < size; ++x) {
      // Along the side, and inward from it.
      const double along = side % 2 == 0 ? x + 0.5 : y + 0.5;
      const double inward = side == 0 ? y + 0.5 : side == 1 ? size - x - 0.5 : side == 2 ? size - y - 0.5 : x + 0.5;
      if (inward > depth + 1) continue;
      Linear& pixel = canvas.at(x, y);
      if (paper) pixel = mix(pixel, {0.80f, 0.80f, 0.77f}, 0.92f * clamp01(static_cast<float>(depth - inward + 0.5)));
      const double number = std::round((along - start) / (every * ppm));
      const int n = static_cast<int>(number);
      const double length = depth * (n % 10 == 0 ? 0.75 : n % 5 == 0 ? 0.55 : 0.35);
      const double off = std::abs(along - start - number * every * ppm) - thick / 2;
      const float cover = clamp01(static_cast<float>(0.5 - off)) * clamp01(static_cast<float>(0.5 - (inward - length)));
      if (cover > 0) pixel = mix(pixel, {0.015f, 0.015f, 0.015f}, 0.93f * cover);
    }
  if (paper && side % 2 == 0 && size >= 96 && !scene.p.dark_corners)
    for (int n = every == 1 ? 10 : 5; n * every * ppm + start < size; n += every == 1 ? 10 : 5)
      labels.push_back({static_cast<int>(start + n * every * ppm) + 2,
                        static_cast<int>(side == 0 ? depth - 9 : size - depth + 2), std::to_string(n * every / 10)});
  return labels;
}

void add_ink(Canvas& canvas, const Form& form, const Scene& scene) {
  Rng rng = scene.stream(kInk);
  const int size = canvas.size;
  const double scale = size / 256.0;
  Plane ink(size), wobble(size);
  add_noise(wobble, 20, 0.18, rng);
  add_noise(wobble, 70, 0.18, rng);
  const double cx = form.x * size, cy = form.y * size, r = form.size / 2 * size;
  const double width = rng.uniform(2.5, 5) * scale;
  if (rng.chance(0.5)) {
    // Part of a ring round the lesion.
    const double start = rng.uniform(0, kTau), sweep = rng.uniform(1.5, 4.5), far = r * rng.uniform(1.25, 1.5);
    std::vector<Point> arc;
    const double bump = rng.uniform(0.03, 0.10), phase = rng.uniform(0, kTau);
    for (double a = 0; a <= sweep; a += 0.04) {
      const double distance = far * (1 + bump * std::sin(3 * a + phase));
      arc.push_back({cx + distance * std::cos(start + a), cy + distance * std::sin(start + a)});
    }
    draw_line(ink, arc, width, width * 0.8, 1.0f);
  } else {
    const int64_t dashes = rng.integer(2, 4);
    for (int64_t i = 0; i < dashes; ++i) {
      const double a = rng.uniform(0, kTau), near = r * rng.uniform(1.2, 1.35),
                   far = near + rng.uniform(12, 30) * scale;
      draw_line(ink,
                {{cx + near * std::cos(a), cy + near * std::sin(a)},
                 {cx + far * std::cos(a + 0.1), cy + far * std::sin(a + 0.1)}},
                width, width, 1.0f);
    }
  }
  constexpr std::array<Linear, 3> kInks = {{{0.10f, 0.04f, 0.34f}, {0.02f, 0.08f, 0.38f}, {0.01f, 0.20f, 0.16f}}};
  const Linear own = kInks[static_cast<size_t>(rng.integer(0, 9) < 6 ? 0 : rng.integer(1, 2))];
  const float strength = static_cast<float>(rng.uniform(0.65, 0.9));
  for (size_t i = 0; i < canvas.pixels.size(); ++i) {
    if (ink[i] <= 0) continue;
    const Linear stained = {canvas.pixels[i][0] * own[0] * 1.5f + 0.5f * own[0],
                            canvas.pixels[i][1] * own[1] * 1.5f + 0.5f * own[1],
                            canvas.pixels[i][2] * own[2] * 1.5f + 0.5f * own[2]};
    canvas.pixels[i] = mix(canvas.pixels[i], stained, clamp01(ink[i] * strength * (1 + wobble[i])));
  }
}

}  // namespace derm::phantom
