// Seborrheic keratosis: a plaque as if stuck on, sharply bordered, waxy or warty, tan to black, with fissures, dark
// plugs in its follicles and white cysts.
#include <algorithm>
#include <cmath>

#include "derm/phantom/lesion.h"

namespace derm::phantom {

void make_seborrheic_keratosis(Lesion& l) {
  const Parameters& p = l.scene.p;
  Maps& maps = l.maps;
  const Plane broad = l.field(0.35), middle = l.field(0.09), fine = l.field(0.03), grit = l.field_mm(0.22);
  Plane milia(l.size), plugs(l.size);
  l.dots(milia, static_cast<int>(l.rng.integer(0, 22)), 0.05, 0.13, 0.85);
  l.dots(plugs, static_cast<int>(l.rng.integer(4, 30)), 0.07, 0.18, 1.0);
  // Warty ones are cobbled, flat ones are dull and faintly lined.
  const float warty = static_cast<float>(smooth_step(0.25f, 0.75f, static_cast<float>(p.elevation)));
  const Cells cobbles = l.cells(std::max(l.mm * l.rng.uniform(0.06, 0.10) * l.ppm, 3.0), l.rng.uniform(1, 1.7),
                                l.rng.uniform(0, 3), 0.95);
  const float depth = 0.055f + 0.34f * static_cast<float>(p.pigment * p.pigment) +
                      0.06f * static_cast<float>(p.pigment) + 0.40f * l.own;
  const float wax = (0.010f + 0.055f * static_cast<float>(p.horn)) * (1 - 0.6f * smooth_step(0.1f, 0.4f, l.own));
  const float tall = static_cast<float>(l.length_px());
  const float blue = 0.03f * smooth_step(0.6f, 1.0f, static_cast<float>(p.deep));
  l.each([&](size_t i, float cover, float) {
    const float fissure = std::exp(-cobbles.rim[i] * cobbles.rim[i] / 0.018f) *
                          smooth_step(-1.3f, 0.5f, broad[i] + 0.5f * middle[i]) * (0.15f + 0.55f * warty) *
                          clamp01(0.7f + 0.5f * fine[i]);
    const float plug = std::min(1.0f, plugs[i]);
    const float stuck = l.within(i, 0.035);
    maps.melanin[i] += cover * (depth * std::max(0.2f, 0.82f + 0.26f * broad[i] + 0.20f * middle[i] + 0.16f * fine[i] +
                                                           0.12f * grit[i] + 0.35f * (cobbles.own[i] - 0.5f)) +
                                (0.14f + 0.4f * depth) * fissure + 0.45f * plug);
    maps.blood[i] += cover * (0.003f + 0.012f * static_cast<float>(p.pink));
    if (blue > 0) maps.deep[i] = std::max(maps.deep[i], cover * blue * smooth_step(0.2f, 1.2f, broad[i]));
    maps.horn[i] = std::max(
        maps.horn[i], cover * clamp01(wax * (1 - 0.8f * fissure) *
                                          std::max(0.0f, 0.8f + 0.35f * middle[i] + 0.35f * grit[i]) * (1 - plug) +
                                      0.40f * std::min(1.0f, milia[i])));
    maps.crust[i] = std::max(maps.crust[i], cover * 0.75f);
    maps.height[i] +=
        tall * (stuck * (0.010f + 0.016f * warty) +
                cover * (-0.012f * fissure * (0.3f + warty) + 0.0035f * middle[i] + 0.0024f * fine[i] - 0.008f * plug));
    maps.wet[i] *= 1 + cover * (0.55f * (1 - warty) - 0.25f * warty);
  });
}

}  // namespace derm::phantom
