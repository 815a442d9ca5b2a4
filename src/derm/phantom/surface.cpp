#include "derm/phantom/surface.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace derm::phantom {

namespace {

void add_freckles(Plane& spots, const Scene& scene, Rng& rng) {
  const double ppm = scene.px_per_mm(), area_cm2 = scene.p.field_mm * scene.p.field_mm / 100;
  const int64_t count = std::min<int64_t>(400, std::llround(scene.p.freckles_per_cm2 * area_cm2));
  for (int64_t i = 0; i < count; ++i) {
    const double x = rng.uniform(0, scene.size_px), y = rng.uniform(0, scene.size_px);
    const double radius = std::max(0.5, rng.uniform(0.25, 0.9) * ppm), height = rng.uniform(0.15, 0.75);
    // A few overlapping dots are less round than one.
    for (int k = 0; k < 3; ++k)
      add_dot(spots, x + radius * 0.6 * rng.normal(), y + radius * 0.6 * rng.normal(), radius * rng.uniform(0.5, 1.0),
              height * rng.uniform(0.4, 0.8));
  }
}

// Vessels shine through where a smooth field crosses zero, in some places and not in others.
void add_vessels(Plane& redness, const Scene& scene, Rng& rng) {
  Plane ridge(scene.size_px), where(scene.size_px);
  add_noise(ridge, std::clamp(scene.p.field_mm / 5, 2.0, 12.0), 1, rng);
  add_noise(ridge, std::clamp(scene.p.field_mm / 1.5, 4.0, 40.0), 0.22, rng);
  add_noise(where, 2.5, 1, rng);
  const float low = static_cast<float>(1.6 - 2.6 * scene.p.vessels), width = scene.dermoscopic() ? 0.06f : 0.085f;
  for (size_t i = 0; i < redness.values.size(); ++i) {
    const float r = ridge[i] / width;
    redness[i] += 0.75f * std::exp(-r * r) * smooth_step(low, low + 1, where[i]);
  }
}

}  // namespace

void make_skin(Maps& maps, Plane& spots, const Scene& scene) {
  Rng rng = scene.stream(kSkin);
  const int size = scene.size_px;
  const Parameters& p = scene.p;
  const double ppm = scene.px_per_mm(), field = p.field_mm;
  Plane pigment(size), redness(size);
  add_noise(pigment, std::max(1.5, field / 14), 0.055 * p.mottling, rng);
  add_noise(pigment, field / 3.5, 0.055 * p.mottling, rng);
  add_noise(pigment, field / 0.9, 0.075 * p.mottling, rng);
  add_noise(redness, std::max(1.5, field / 12), 0.16 * p.redness, rng);
  const double fine_red = scene.dermoscopic() ? 0.12 : 0.20;
  add_noise(redness, field / 3.0, fine_red * p.redness, rng);
  add_noise(redness, field / 0.8, fine_red * p.redness, rng);
  if (p.vessels > 0) add_vessels(redness, scene, rng);
  add_freckles(spots, scene, rng);

  // Lines: furrows between plateaus, deep ones and finer ones between them, drawn out along the tension of the skin.
  const double way = rng.uniform(0, std::numbers::pi), stretch = rng.uniform(1.0, 1.9);
  const double spacing = std::max(p.line_spacing_mm * ppm, 3.2);
  const Cells lines = make_cells(size, {0, 0, size - 1, size - 1}, spacing, stretch, way, 0.85, rng);
  // Between lines that lie close, the finer ones are but roughness.
  const bool closeby = 0.42 * spacing >= 3;
  Cells fine;
  Plane rough(size);
  if (closeby)
    fine = make_cells(size, {0, 0, size - 1, size - 1}, 0.42 * spacing, 1.2, way + 0.9, 0.95, rng);
  else
    add_noise(rough, field / (0.4 * p.line_spacing_mm), 0.25, rng);
  Plane worn(size);
  add_noise(worn, 5, 0.3, rng);
  // Lines finer than the pixels average out.
  const float depth = static_cast<float>(0.13 * p.line_depth * std::min(spacing, 7.5) *
                                         smooth_step(1.0f, 4.0f, static_cast<float>(p.line_spacing_mm * ppm)));
  Plane pores(size);
  const double area_cm2 = field * field / 100;
  const int64_t count = std::min<int64_t>(1500, std::llround(p.pores_per_cm2 * area_cm2));
  for (int64_t i = 0; i < count; ++i) {
    const double radius = rng.uniform(0.06, 0.14) * ppm;
    add_dot(pores, rng.uniform(0, size), rng.uniform(0, size), std::max(radius, 0.6),
            rng.uniform(0.4, 1.0) * std::min(1.0, radius * radius / 0.36));
  }
  for (size_t i = 0; i < pigment.values.size(); ++i) {
    const float a = lines.rim[i];
    const float plateau = a / (a + 0.14f), small = closeby ? fine.rim[i] / (fine.rim[i] + 0.25f) : rough[i];
    const float relief = depth * (1 + worn[i]);
    const float pore = std::min(1.2f, pores[i]);
    maps.height[i] = relief * (plateau + 0.36f * small) - 0.8f * pore;
    // Less blood and a little more pigment are seen in the furrows.
    maps.melanin[i] = static_cast<float>(p.melanosome_fraction) *
                      std::exp(pigment[i] + std::min(spots[i], 1.6f) + 0.10f * (0.75f - plateau) + 0.22f * pore);
    maps.blood[i] =
        static_cast<float>(p.blood_fraction) * std::exp(redness[i] + 0.15f * (plateau - 0.75f) + 0.25f * pore);
  }
}

}  // namespace derm::phantom
