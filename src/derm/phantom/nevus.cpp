// Melanocytic nevus: one or two browns, even from side to side, round, its border regular.
#include <algorithm>
#include <cmath>

#include "derm/phantom/lesion.h"

namespace derm::phantom {

void make_nevus(Lesion& l) {
  const Parameters& p = l.scene.p;
  Maps& maps = l.maps;
  // Flat with a network, of globules, or plain; intradermal ones stand out, pale and soft.
  const double pattern = l.rng.uniform();
  const bool dome = p.elevation > 0.6;
  const double mesh_mm = std::max(l.rng.uniform(0.22, 0.34), 3.0 / l.ppm * (l.scene.dermoscopic() ? 1 : 0));
  const Cells mesh = l.cells(mesh_mm * l.ppm, l.rng.uniform(1, 1.3), l.rng.uniform(0, 3), 0.95);
  const Plane broad = l.field(0.35), middle = l.field(0.10), fine = l.field_mm(0.25);
  const float seen = l.visible(mesh_mm) * (l.scene.dermoscopic() ? 1.0f : 0.6f);
  const float network = seen * (pattern < 0.5 ? 0.85f : 0.15f);
  const float globules = seen * (pattern >= 0.5 && pattern < 0.8 ? 0.9f : 0.0f);
  const float depth = (0.09f + 0.30f * static_cast<float>(p.pigment)) * (dome ? 0.62f : 1.0f) + 0.35f * l.own;
  const float warm = 0.014f * static_cast<float>(p.pink);
  const float tall = static_cast<float>(l.length_px() * (dome ? 0.055 * p.elevation : 0.004));
  const float centre_dark = static_cast<float>(l.rng.uniform(-0.15, 0.45));
  const float blue = pattern > 0.93 ? 0.15f * static_cast<float>(p.deep)
                                    : 0.02f * smooth_step(0.75f, 1.0f, static_cast<float>(p.deep));
  l.each([&](size_t i, float cover, float q) {
    const float centre = 1 - std::min(q, 1.0f);
    const float line = std::exp(-mesh.rim[i] * mesh.rim[i] / 0.022f);
    const float clod = smooth_step(0.05f, 0.5f, mesh.rim[i]);
    // The network thins out towards the border.
    const float fade = l.within(i, 0.16);
    float pattern_here =
        1 + network * fade * smooth_step(-1.6f, 1.0f, broad[i] + 0.5f * middle[i]) * (1.1f * line - 0.30f) +
        globules * (1.2f * clod - 0.65f) * (mesh.own[i] + 0.4f);
    pattern_here *= 1 + 0.13f * broad[i] + 0.14f * middle[i] + 0.10f * fine[i];
    maps.melanin[i] += cover * depth * std::max(0.1f, pattern_here) * (0.82f + centre_dark * centre);
    maps.deep[i] = std::max(maps.deep[i], cover * blue * l.within(i, 0.3) * (1 + 0.2f * broad[i]));
    maps.blood[i] += cover * warm;
    maps.horn[i] =
        std::max(maps.horn[i], cover * 0.03f * static_cast<float>(p.horn) * std::max(0.0f, 0.5f + 0.5f * fine[i]));
    maps.crust[i] = std::max(maps.crust[i], 0.6f * cover);
    const float dome_here = std::sqrt(std::max(0.0f, 1 - std::min(q, 1.0f) * std::min(q, 1.0f)));
    maps.height[i] +=
        cover * (tall * dome_here + (dome ? 0.010f : 0.003f) * static_cast<float>(l.length_px()) * 0.25f * middle[i]);
    maps.wet[i] *= 1 + (dome ? 0.6f : 0.1f) * cover;
  });
}

}  // namespace derm::phantom
