// Actinic keratosis: a rough, ill-defined red or brown patch on sun-worn skin with yellow-white scale; close up, red
// between follicles that keep pale rings.
#include <algorithm>
#include <cmath>

#include "derm/phantom/lesion.h"

namespace derm::phantom {

void make_actinic_keratosis(Lesion& l) {
  const Parameters& p = l.scene.p;
  Maps& maps = l.maps;
  const Plane broad = l.field(0.30), middle = l.field(0.10), fine = l.field(0.04), grit = l.field_mm(0.25);
  const double follicle_mm = std::max(0.55, 3.5 / l.ppm);
  const Cells follicles = l.cells(follicle_mm * l.ppm, 1, 0, 0.7);
  const float strawberry = l.scene.dermoscopic() ? l.visible(follicle_mm) : 0.3f * l.visible(follicle_mm);
  const float red = 0.026f + 0.045f * static_cast<float>(p.pink);
  const float flakes = -0.35f + 0.95f * static_cast<float>(p.horn);
  // Redness hides in dark skin, where these are darker than their surroundings instead.
  const float tan = 0.004f + 0.05f * static_cast<float>(p.pigment) + 0.30f * l.own;
  const float tall = static_cast<float>(l.length_px());
  // Few are pigmented.
  const float blue = 0.012f * smooth_step(0.75f, 1.0f, static_cast<float>(p.deep));
  l.each([&](size_t i, float cover, float q) {
    const float scale = smooth_step(
        -0.3f, 2.3f, 0.30f * middle[i] + 0.55f * fine[i] + 0.80f * grit[i] + 0.35f * broad[i] + flakes - 0.45f * q);
    const float opening = smooth_step(0.45f, 0.85f, follicles.rim[i]) * strawberry;
    maps.melanin[i] += cover * tan * std::max(0.0f, 1 + 0.45f * broad[i] + 0.15f * middle[i]);
    maps.blood[i] += cover * red * std::max(0.3f, 1 + 0.25f * broad[i] + 0.28f * middle[i] + 0.15f * grit[i]) *
                     (1 - 0.55f * opening);
    if (blue > 0) maps.deep[i] = std::max(maps.deep[i], cover * blue * smooth_step(0.0f, 1.2f, broad[i]));
    maps.horn[i] = std::max(
        maps.horn[i], cover * std::max((0.19f - 0.11f * smooth_step(0.1f, 0.4f, l.own)) * scale, 0.05f * opening));
    maps.crust[i] = std::max(maps.crust[i], cover * clamp01(0.35f + 0.25f * broad[i]) * scale);
    maps.height[i] += cover * tall * static_cast<float>(0.5 + p.elevation) *
                      (0.0035f * scale + 0.0022f * scale * fine[i] + 0.0015f * grit[i]);
    maps.wet[i] *= 1 - 0.55f * cover * scale;
  });
}

}  // namespace derm::phantom
