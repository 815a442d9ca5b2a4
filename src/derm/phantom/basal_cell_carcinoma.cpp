// Basal cell carcinoma: a pearly pink papule with a rolled rim, branching vessels that run over it, a sunken or
// ulcerated middle, blue-grey nests.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "derm/phantom/lesion.h"

namespace derm::phantom {

namespace {

// A vessel that winds and branches like a tree, thinner at each fork.
void branch(Plane& plane, Rng& rng, Point at, double way, double length_px, double width_px, int levels) {
  std::vector<Point> points = {at};
  const double step = std::max(1.5, length_px / 9);
  double turn = 0;
  for (double gone = 0; gone < length_px; gone += step) {
    turn = 0.6 * turn + 0.28 * rng.normal();
    way += turn;
    at = {at.x + step * std::cos(way), at.y + step * std::sin(way)};
    points.push_back(at);
  }
  draw_line(plane, points, width_px, 0.65 * width_px, static_cast<float>(std::min(1.0, 0.55 + 0.15 * levels)));
  if (levels == 0) return;
  const int forks = static_cast<int>(rng.integer(2, 3));
  for (int i = 0; i < forks; ++i) {
    const Point from = points[static_cast<size_t>(
        rng.integer(static_cast<int64_t>(points.size()) / 3, static_cast<int64_t>(points.size()) - 1))];
    branch(plane, rng, from, way + (rng.chance(0.5) ? 1 : -1) * rng.uniform(0.4, 1.1),
           length_px * rng.uniform(0.45, 0.75), 0.62 * width_px, levels - 1);
  }
}

}  // namespace

void make_basal_cell_carcinoma(Lesion& l) {
  const Parameters& p = l.scene.p;
  Maps& maps = l.maps;
  const Form& form = l.form;
  const Plane broad = l.field(0.35), middle = l.field(0.11), fine = l.field(0.035), grit = l.field_mm(0.3);
  Plane vessels(l.size), nests(l.size), bleeding(l.size);
  const int trees = static_cast<int>(l.rng.integer(3, 7));
  for (int i = 0; i < trees; ++i) {
    Point at{};
    if (!l.place(0.7, 1.0, at)) continue;
    const double home = std::atan2(form.y * l.size - at.y, form.x * l.size - at.x);
    branch(vessels, l.rng, at, home + l.rng.uniform(-0.7, 0.7), l.length_px() * l.rng.uniform(0.18, 0.38),
           std::max(0.8, l.rng.uniform(0.12, 0.22) * l.ppm), 2);
  }
  // On dark skin these are pigmented more often.
  const bool pigmented = p.deep > (l.own > 0.1f ? 0.25 : 0.6);
  if (pigmented)
    for (int i = static_cast<int>(l.rng.integer(3, 9)); i > 0; --i) {
      // Ovoid, and of all sizes: each a short chain of dots.
      Point at{};
      if (!l.place(0.15, 0.92, at)) continue;
      const double radius = std::max(0.8, l.rng.uniform(0.010, 0.038) * l.length_px()),
                   way = l.rng.uniform(0, 2 * std::numbers::pi);
      const double strength = l.rng.uniform(0.25, 0.9);
      for (int64_t k = l.rng.integer(1, 4); k > 0; --k) {
        add_dot(nests, at.x, at.y, radius * l.rng.uniform(0.7, 1.1), strength);
        at.x += 1.3 * radius * std::cos(way) + 0.4 * radius * l.rng.normal();
        at.y += 1.3 * radius * std::sin(way) + 0.4 * radius * l.rng.normal();
      }
    }
  const float ulcer = l.rng.chance(0.6) ? static_cast<float>(l.rng.uniform(0.28, 0.6)) : 0.0f;
  if (ulcer > 0) l.dots(bleeding, static_cast<int>(l.rng.integer(2, 6)), 0.012 * l.mm, 0.035 * l.mm, 0.9, 0, ulcer);
  const float pink = 0.016f + 0.05f * static_cast<float>(p.pink);
  const float paler = static_cast<float>(l.rng.uniform(0.15, 0.45)) * (l.own > 0.1f ? 0.3f : 1.0f);
  const float tan =
      (0.30f + 0.20f * static_cast<float>(p.pigment)) * l.own + 0.005f + 0.010f * static_cast<float>(p.pigment);
  const float tall = static_cast<float>(l.length_px() * (0.5 + p.elevation));
  const float red_vessels = l.scene.dermoscopic() ? 0.20f : 0.11f;
  l.each([&](size_t i, float cover, float q) {
    const float rim_at = q - 0.80f + 0.05f * broad[i];
    const float ring =
        std::exp(-rim_at * rim_at / 0.016f) * (0.45f + 0.55f * smooth_step(-1, 1, broad[i] + 0.6f * middle[i]));
    const float open = ulcer > 0 ? smooth_step(ulcer + 0.10f, ulcer - 0.10f,
                                               q + 0.13f * broad[i] + 0.12f * middle[i] + 0.05f * fine[i])
                                 : 0.0f;
    const float blood_spot = std::min(1.0f, bleeding[i]);
    const float crusted = open * smooth_step(-0.2f, 0.9f, 0.6f * middle[i] + 0.6f * fine[i] + 0.35f * grit[i] + 0.2f);
    // Rest of the pigment, and the brown that inflammation leaves on dark skin.
    maps.melanin[i] = maps.melanin[i] * (1 - cover * paler * (1 - 0.6f * ring)) +
                      cover * (tan * (1 + 0.4f * broad[i]) + 0.16f * crusted + 0.35f * blood_spot + 0.10f * nests[i]);
    maps.blood[i] +=
        cover *
        (pink * std::max(0.2f, 1 + 0.35f * broad[i] + 0.28f * middle[i] + 0.10f * fine[i]) * (1 - 0.45f * ring) +
         red_vessels * vessels[i] * (1 - open) + 0.11f * open + 0.08f * crusted + 0.12f * blood_spot);
    maps.blood[i] *= 1 - 0.75f * cover * std::min(1.0f, nests[i]);
    maps.deep[i] = std::max(maps.deep[i], cover * 0.10f * std::min(1.0f, nests[i]));
    maps.horn[i] = std::max(
        maps.horn[i], cover * (0.008f * ring * (1 - open) + (0.06f + 0.22f * static_cast<float>(p.horn)) * crusted *
                                                                std::max(0.0f, 0.75f + 0.3f * fine[i])));
    maps.crust[i] = std::max(maps.crust[i], crusted);
    maps.height[i] += cover * tall *
                      (0.030f * ring - 0.020f * open + 0.012f * crusted * (0.5f + 0.3f * fine[i]) +
                       0.0045f * middle[i] * (0.4f + ring) + 0.012f * (1 - std::min(q, 1.0f)));
    maps.wet[i] *= 1 + cover * (0.7f + 1.1f * ring + 0.5f * open * (1 - crusted));
  });
}

}  // namespace derm::phantom
