// Squamous cell carcinoma: a firm red plaque or nodule with a mass of horn or crust, ulcers and spots of blood.
#include <algorithm>
#include <cmath>

#include "derm/phantom/lesion.h"

namespace derm::phantom {

void make_squamous_cell_carcinoma(Lesion& l) {
  const Parameters& p = l.scene.p;
  Maps& maps = l.maps;
  const Plane broad = l.field(0.32), middle = l.field(0.11), fine = l.field(0.04), grit = l.field_mm(0.3);
  Plane bleeding(l.size), rings(l.size), loops(l.size);
  l.dots(bleeding, static_cast<int>(l.rng.integer(2, 9)), 0.012 * l.mm, 0.045 * l.mm, 0.9, 0, 0.8);
  if (l.visible(0.12) > 0) {
    // White rings round follicles, and the short vessels at the margin.
    l.dots(rings, static_cast<int>(l.rng.integer(4, 24)), 0.08, 0.16, 0.8 * l.visible(0.12), 0.2, 0.95);
    l.dots(loops, static_cast<int>(l.rng.integer(10, 60)), 0.03, 0.06, 0.8 * l.visible(0.12), 0.55, 1.0);
  }
  const float red = 0.030f + 0.055f * static_cast<float>(p.pink);
  const float horn = 0.15f + 1.0f * static_cast<float>(p.horn);
  const float tall = static_cast<float>(l.length_px() * (0.4 + p.elevation));
  const float brown = 0.03f + 0.12f * static_cast<float>(p.pigment);
  // Few are pigmented.
  const float blue = 0.05f * smooth_step(0.75f, 1.0f, static_cast<float>(p.deep));
  l.each([&](size_t i, float cover, float q) {
    const float centre = 1 - std::min(q, 1.0f);
    const float lumps = 0.55f * middle[i] + 0.40f * fine[i] + 0.25f * broad[i];
    const float plug = smooth_step(0.05f, 1.15f, horn * (0.35f + 1.1f * centre) - 0.30f + 0.50f * lumps);
    const float scale = smooth_step(0.5f, 1.6f, 0.6f * fine[i] + 0.7f * grit[i] + 0.5f * middle[i]) * 0.20f;
    const float sore = smooth_step(0.7f, 1.5f, -middle[i] + 0.4f * broad[i]) * (1 - plug) * l.within(i, 0.08);
    const float blood_spot = std::min(1.0f, bleeding[i]) * (0.4f + 0.6f * plug);
    maps.melanin[i] += cover * (brown * (0.35f + plug) + 0.30f * l.own * (1 + 0.3f * broad[i]) + 0.45f * blood_spot);
    maps.blood[i] += cover * (red * std::max(0.25f, 1 + 0.30f * broad[i] + 0.22f * middle[i]) + 0.10f * sore +
                              0.13f * blood_spot + 0.10f * std::min(1.0f, loops[i]));
    if (blue > 0) maps.deep[i] = std::max(maps.deep[i], cover * blue * smooth_step(0.3f, 1.2f, -broad[i]) * (1 - plug));
    maps.horn[i] = std::max(
        maps.horn[i],
        cover * std::max({plug * (1 - 0.8f * blood_spot) * std::max(0.1f, 0.60f + 0.22f * fine[i] + 0.12f * grit[i]),
                          scale * (1 - sore), 0.2f * std::min(1.0f, rings[i])}));
    maps.crust[i] = std::max(maps.crust[i], clamp01(0.55f + 0.35f * broad[i] + 0.25f * middle[i]) + 0.6f * blood_spot);
    maps.height[i] += cover * tall *
                      (0.050f * centre * (2 - centre) + 0.030f * plug +
                       plug * (0.010f * middle[i] + 0.0055f * fine[i]) + 0.002f * middle[i] - 0.010f * sore);
    maps.wet[i] *= 1 + cover * (0.5f + 1.2f * sore - 0.9f * plug);
  });
}

}  // namespace derm::phantom
