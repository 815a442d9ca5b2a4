// Melanoma: asymmetric, its border notched and abrupt, of many colours: light and dark brown, black, blue-grey, red,
// and white where it regresses; irregular dots, globules and streaks.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "derm/phantom/lesion.h"

namespace derm::phantom {

void make_melanoma(Lesion& l) {
  const Parameters& p = l.scene.p;
  Maps& maps = l.maps;
  const Form& form = l.form;
  const bool close = l.scene.dermoscopic();
  const Plane broad = l.field(0.38), patch = l.field(0.26), veil = l.field(0.34), gone_field = l.field(0.28);
  const Plane middle = l.field(0.10), fine = l.field(0.035), grit = l.field_mm(0.25);
  const double mesh_mm = std::max(l.rng.uniform(0.26, 0.42), close ? 3.2 / l.ppm : 0.0);
  const Cells mesh = l.cells(mesh_mm * l.ppm, l.rng.uniform(1, 1.6), l.rng.uniform(0, 3), 0.95);
  const float network = l.visible(mesh_mm) * (close ? 1.0f : 0.5f);

  // Streaks and pseudopods: short lines outward along the border, in a part of it.
  Plane streaks(l.size), globules(l.size);
  const double lean = l.rng.uniform(0, 2 * std::numbers::pi);
  if (close || l.ppm > 8) {
    const int count = static_cast<int>(l.rng.integer(0, 26));
    for (int k = 0; k < count; ++k) {
      Point at{};
      if (!l.place(0.80, 0.99, at)) continue;
      const double out = std::atan2(at.y - form.y * l.size, at.x - form.x * l.size);
      if (std::cos(out - lean) < 0.1) continue;
      const double length = l.rng.uniform(0.25, 0.7) * l.ppm, way = out + 0.25 * l.rng.normal();
      const Point tip{at.x + length * std::cos(way), at.y + length * std::sin(way)};
      draw_line(streaks, {at, tip}, 0.12 * l.ppm, 0.07 * l.ppm, 0.9f);
      add_dot(globules, tip.x, tip.y, 0.07 * l.ppm, 0.7);
    }
    l.dots(globules, static_cast<int>(l.rng.integer(6, 45)), 0.05, 0.14, 0.9, 0.3, 0.99);
  }

  const float base = 0.10f + 0.16f * static_cast<float>(p.pigment) + 0.3f * l.own;
  const float black = 0.35f + 0.85f * static_cast<float>(p.pigment);
  const float blue = 0.18f * static_cast<float>(p.deep);
  const float white = l.rng.chance(0.4) ? 0.85f : 0.0f;
  const float red = 0.012f + 0.035f * static_cast<float>(p.pink);
  const float nodule = p.elevation > 0.75 ? static_cast<float>(0.06 * p.elevation * l.length_px()) : 0.0f;
  const float tall = static_cast<float>(l.length_px());
  const float crusts = 0.22f * smooth_step(0.5f, 1.0f, static_cast<float>(p.horn));
  const float ax = static_cast<float>(std::cos(lean)), ay = static_cast<float>(std::sin(lean));
  const float half = static_cast<float>(l.length_px() / 2);
  l.each([&](size_t i, float cover, float q) {
    const float px = static_cast<float>(i % static_cast<size_t>(l.size)) - static_cast<float>(form.x * l.size);
    const float py = static_cast<float>(i / static_cast<size_t>(l.size)) - static_cast<float>(form.y * l.size);
    // Darker on one side: the asymmetry that the eye looks for.
    const float slope = (px * ax + py * ay) / half;
    const float much =
        smooth_step(-0.35f, 1.05f, 0.75f * patch[i] + 0.85f * slope + 0.38f * middle[i] + 0.12f * fine[i]);
    const float gone = white * smooth_step(0.55f, 1.25f, gone_field[i] - 0.4f * slope) * l.within(i, 0.12);
    const float line = std::exp(-mesh.rim[i] * mesh.rim[i] / 0.05f);
    const float net = 1 + network * (1 - much) * (0.9f * line - 0.26f) * smooth_step(-1.0f, 0.6f, broad[i]);
    const float brown =
        base * net * std::max(0.15f, 0.75f + 0.26f * broad[i] + 0.24f * middle[i] + 0.16f * fine[i] + 0.08f * grit[i]);
    const float own_here = maps.melanin[i];
    maps.melanin[i] +=
        cover * ((brown + black * much * std::max(0.1f, 0.8f + 0.35f * middle[i] + 0.2f * fine[i])) * (1 - gone) +
                 0.6f * std::min(1.0f, globules[i])) +
        0.5f * streaks[i];
    const float veiled = smooth_step(0.25f, 1.25f, veil[i] + 0.7f * slope) * l.within(i, 0.10);
    maps.deep[i] = std::max(maps.deep[i], cover * (blue * veiled + 0.03f * gone * blue));
    // A veil is seen where the pigment above is thin, under a ground-glass film.
    const float film = veiled * std::min(1.0f, blue * 8) * cover;
    maps.melanin[i] = own_here + (maps.melanin[i] - own_here) * (1 - 0.5f * film);
    maps.blood[i] *= 1 - 0.7f * film;
    maps.horn[i] = std::max(maps.horn[i], std::max(0.10f * gone * cover, 0.03f * film));
    maps.blood[i] += cover * (red * smooth_step(0.2f, 1.4f, -broad[i] + 0.3f * middle[i]) +
                              0.5f * red * smooth_step(0.75f, 1.0f, q));
    // Where it has broken open.
    const float crust = crusts * much * smooth_step(0.2f, 2.0f, fine[i] + 0.5f * middle[i]);
    maps.horn[i] = std::max(maps.horn[i], cover * crust);
    maps.crust[i] = std::max(maps.crust[i], smooth_step(0.0f, 0.1f, crust));
    maps.height[i] +=
        cover * (0.008f * tall * static_cast<float>(p.elevation) * l.within(i, 0.15) +
                 nodule * much * l.within(i, 0.2) + tall * (0.0022f * middle[i] + 0.0012f * fine[i] + 0.004f * much));
    maps.wet[i] *= 1 + 0.5f * cover * much;
  });
}

}  // namespace derm::phantom
