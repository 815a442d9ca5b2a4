#include "derm/phantom/lesion.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "derm/phantom/growth.h"

namespace derm::phantom {

const Habit& habit_of(Kind kind) {
  // spread, inward, outward, aspect from, patchiness, its grain, smoothing, roughness, border, mm from, to
  static const std::array<Habit, 6> habits = {{
      {0.34, 0.04, 0.0000, 0.60, 0.45, 9, 1.2, 0.018, 0.055, 6, 20},   // actinic keratosis
      {0.33, 0.12, 0.0015, 0.70, 0.25, 11, 1.6, 0.009, 0.030, 5, 18},  // basal cell carcinoma
      {0.36, 0.10, 0.0005, 0.60, 0.62, 10, 0.8, 0.014, 0.014, 7, 22},  // melanoma
      {0.34, 0.08, 0.0005, 0.72, 0.20, 14, 2.0, 0.006, 0.030, 3, 9},   // nevus
      {0.33, 0.05, 0.0020, 0.65, 0.32, 13, 1.2, 0.010, 0.010, 6, 20},  // seborrheic keratosis
      {0.35, 0.13, 0.0020, 0.70, 0.30, 11, 1.4, 0.014, 0.035, 7, 22},  // squamous cell carcinoma
  }};
  return habits[static_cast<size_t>(kind)];
}

namespace {

struct Extent {
  double x0, y0, x1, y1;  // as add_lattice counts
};

// Of the smooth outline, to a third of a cell: what the spline leaves of the grid's.
Extent extent_of(const Growth& grown) {
  constexpr int kFiner = 3;
  Plane fine(grown.side * kFiner);
  add_lattice(fine, grown.inside, grown.side, 0, 0, 1.0 / kFiner, 1.0f);
  Extent out{1e9, 1e9, -1e9, -1e9};
  for (int y = 0; y < fine.size; ++y)
    for (int x = 0; x < fine.size; ++x)
      if (fine.row(y)[x] > 0) {
        out.x0 = std::min(out.x0, static_cast<double>(x) / kFiner);
        out.x1 = std::max(out.x1, static_cast<double>(x + 1) / kFiner);
        out.y0 = std::min(out.y0, static_cast<double>(y) / kFiner);
        out.y1 = static_cast<double>(y + 1) / kFiner;
      }
  return out;
}

}  // namespace

Form grow_form(const Scene& scene) {
  Rng rng = scene.stream(kForm);
  const Habit& habit = habit_of(scene.kind);
  const int size = scene.size_px;
  GrowthRules rules;
  rules.steps = static_cast<int>(scene.p.growth_steps);
  rules.spread = habit.spread;
  rules.inward = habit.inward;
  rules.outward = habit.outward;
  rules.aspect = scene.p.aspect;
  rules.angle = rng.uniform(0, 2 * std::numbers::pi);
  rules.patchiness = habit.patchiness * scene.p.irregularity;
  rules.patch_cells = habit.patch_cells;
  rules.smoothing = habit.smoothing;
  const Growth grown = grow(rules, rng);

  Form form(size);
  form.x = scene.p.x;
  form.y = scene.p.y;
  form.size = scene.p.size;
  form.steps = grown.steps;
  const double length = form.size * size;
  const Extent extent = extent_of(grown);
  const double step = std::max(extent.x1 - extent.x0, extent.y1 - extent.y0) / length;  // cells per pixel
  const double x_at = (extent.x0 + extent.x1) / 2 - form.x * size * step;
  const double y_at = (extent.y0 + extent.y1) / 2 - form.y * size * step;
  const auto lay = [&](Plane& plane, const std::vector<float>& from) {
    add_lattice(plane, from, grown.side, x_at, y_at, step, 1.0f);
  };
  lay(form.inside, grown.inside);
  Plane arrival(size);
  lay(arrival, grown.arrival);
  lay(form.depth, grown.depth);
  lay(form.raised, grown.raised);
  // What the grid is too coarse for.
  const float per_cell = static_cast<float>(1 / step);
  const double roughness = habit.roughness * length * scene.p.irregularity;
  Plane rough(size);
  add_noise(rough, 14 / form.size, 0.75 * roughness, rng);
  add_noise(rough, 38 / form.size, 0.45 * roughness, rng);
  const float soft = static_cast<float>(std::max(habit.border * scene.p.border_softness * length, 0.7));
  const float ragged = std::min(soft, static_cast<float>(0.05 * length));
  for (int y = 0; y < size; ++y)
    for (int x = 0; x < size; ++x) {
      const size_t i = static_cast<size_t>(y) * static_cast<size_t>(size) + static_cast<size_t>(x);
      const float base = form.inside[i] * per_cell;
      const float inside = base + rough[i] * (1 + 0.5f * ragged / (ragged + std::abs(base)));
      form.inside[i] = inside;
      form.q[i] = inside > 0 ? arrival[i] / (arrival[i] + std::max(0.0f, form.inside[i] / per_cell) + 0.5f)
                             : 1 - inside / static_cast<float>(length / 2);
      form.cover[i] = smooth_step(-1, 1, inside / soft);
      if (form.cover[i] <= 0) continue;
      form.x0 = std::min(form.x0, x);
      form.x1 = std::max(form.x1, x);
      form.y0 = std::min(form.y0, y);
      form.y1 = y;
    }
  return form;
}

Plane Lesion::field(double share) {
  Plane plane(size);
  add_noise(plane, 1 / (share * form.size), 1, rng);
  return plane;
}

Plane Lesion::field_mm(double grain_mm) {
  Plane plane(size);
  add_noise(plane, scene.p.field_mm / grain_mm, 1, rng);
  return plane;
}

float Lesion::visible(double length_mm) const { return smooth_step(1.5f, 4.0f, static_cast<float>(length_mm * ppm)); }

bool Lesion::place(double near, double far, Point& at) {
  if (form.x1 < form.x0) return false;
  for (int trial = 0; trial < 60; ++trial) {
    at = {rng.uniform(form.x0, form.x1 + 1), rng.uniform(form.y0, form.y1 + 1)};
    const size_t i = static_cast<size_t>(at.y) * static_cast<size_t>(size) + static_cast<size_t>(at.x);
    if (form.inside[i] > 0 && form.q[i] >= near && form.q[i] <= far) return true;
  }
  return false;
}

void Lesion::dots(Plane& plane, int count, double low_mm, double high_mm, double height, double near, double far) {
  for (int i = 0; i < count; ++i) {
    Point at{};
    const double radius = rng.uniform(low_mm, high_mm) * ppm, strength = height * rng.uniform(0.6, 1.2);
    if (!place(near, far, at)) continue;
    // A dot smaller than a pixel covers less of it.
    add_dot(plane, at.x, at.y, std::max(radius, 0.6), strength * std::min(1.0, radius * radius / 0.36));
  }
}

float Lesion::within(size_t i, double share) const {
  return smooth_step(0.0f, static_cast<float>(share * length_px()), form.inside[i]);
}

void make_lesion(Maps& maps, const Form& form, const Scene& scene) {
  Lesion lesion{scene,
                form,
                maps,
                scene.stream(kLesion),
                scene.size_px,
                scene.px_per_mm(),
                scene.p.size * scene.p.field_mm,
                static_cast<float>(scene.p.melanosome_fraction)};
  switch (scene.kind) {
    case Kind::actinic_keratosis: return make_actinic_keratosis(lesion);
    case Kind::basal_cell_carcinoma: return make_basal_cell_carcinoma(lesion);
    case Kind::melanoma: return make_melanoma(lesion);
    case Kind::nevus: return make_nevus(lesion);
    case Kind::seborrheic_keratosis: return make_seborrheic_keratosis(lesion);
    case Kind::squamous_cell_carcinoma: return make_squamous_cell_carcinoma(lesion);
  }
}

}  // namespace derm::phantom
