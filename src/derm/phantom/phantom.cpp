#include "derm/phantom/phantom.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <mutex>
#include <numbers>

#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/base/progress.h"
#include "derm/base/random.h"
#include "derm/base/suggest.h"
#include "derm/base/system.h"
#include "derm/data/dataset.h"
#include "derm/image/codec.h"
#include "derm/image/draw.h"
#include "derm/image/mask.h"
#include "derm/phantom/optics.h"
#include "derm/phantom/texture.h"

namespace derm::phantom {

namespace {

enum class Kind {
  actinic_keratosis,
  basal_cell_carcinoma,
  melanoma,
  nevus,
  seborrheic_keratosis,
  squamous_cell_carcinoma
};

// How irregular an outline is (amplitudes of coarse, middle and fine waves) and how soft its edge (over the lesion's
// size).
struct Outline {
  double coarse, middle, fine, edge;
};
constexpr std::array<Outline, 6> kOutlines = {{{0.20, 0.10, 0.05, 0.14},
                                               {0.10, 0.05, 0.02, 0.05},
                                               {0.17, 0.10, 0.05, 0.03},
                                               {0.06, 0.03, 0.012, 0.06},
                                               {0.08, 0.05, 0.03, 0.018},
                                               {0.10, 0.08, 0.04, 0.07}}};

constexpr double kTau = 2 * std::numbers::pi;

// Independent streams for the parts of a picture, so that leaving out the hair, say, changes nothing else.
enum Stream : uint64_t { kPlan, kSkin, kForm, kLesion, kLight, kHair, kRuler, kInk, kCorners, kGloss, kNoise };

float clamp01(float v) { return std::clamp(v, 0.0f, 1.0f); }
float smooth(float low, float high, float v) {
  const float t = clamp01((v - low) / (high - low));
  return t * t * (3 - 2 * t);
}
Linear mix(const Linear& a, const Linear& b, float t) {
  return {a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1]), a[2] + t * (b[2] - a[2])};
}

// sRGB from linear light, through a table over square roots (finer in the dark, where the curve is steep).
class Encoder {
 public:
  Encoder() {
    for (size_t i = 0; i < values_.size(); ++i) {
      const double root = static_cast<double>(i) / (kSteps - 1);
      values_[i] = static_cast<float>(image::linear_to_srgb(std::min(1.0, root * root)));
    }
  }
  float operator()(float linear) const {
    const float p = std::sqrt(clamp01(linear)) * (kSteps - 1);
    const int i = static_cast<int>(p);
    const float t = p - static_cast<float>(i);
    return values_[static_cast<size_t>(i)] * (1 - t) + values_[static_cast<size_t>(i) + 1] * t;
  }

 private:
  static constexpr int kSteps = 1024;
  std::array<float, kSteps + 1> values_;
};

// What the skin is made of, pixel by pixel.
struct Maps {
  Plane melanin, blood;  // fractions
  Plane deep;            // pigment in the dermis, which shows blue-grey, 0 to 1
  Plane keratin;         // scale and crust of horn, 0 to 1
  Plane height;          // pixels
  explicit Maps(int size) : melanin(size), blood(size), deep(size), keratin(size), height(size) {}
};

struct Form {
  double x, y, rx, ry, angle;  // fractions of the side
  Plane q;                     // 0 in the middle, 1 on the outline
  Plane cover;
  explicit Form(int size) : q(size), cover(size) {}
  double size() const { return 2 * std::max(rx, ry); }
};

Form make_form(Kind kind, int size, int size_class, uint64_t seed) {
  Rng rng(mix_seed(seed, kForm));
  Form form(size);
  const Outline& outline = kOutlines[static_cast<size_t>(kind)];
  const double side = rng.uniform(0.15, 0.35) + 0.2 * size_class;
  const double aspect = rng.uniform(kind == Kind::melanoma ? 0.62 : 0.72, 1.0);
  form.rx = side / 2;
  form.ry = side / 2 * aspect;
  form.angle = rng.uniform(0, kTau);
  // Clear of the border for every outline that the waves make; the mean of two draws stays near the middle more often.
  const double room = std::max(0.0, 1 - 1.25 * side);
  form.x = 0.5 + room * ((rng.uniform() + rng.uniform()) / 2 - 0.5);
  form.y = 0.5 + room * ((rng.uniform() + rng.uniform()) / 2 - 0.5);
  Plane waves(size);
  add_noise(waves, 1.6 / side, outline.coarse, rng);
  add_noise(waves, 5 / side, outline.middle, rng);
  add_noise(waves, 16 / side, outline.fine, rng);
  const double c = std::cos(form.angle), s = std::sin(form.angle);
  const double edge = std::max(outline.edge * rng.uniform(0.7, 1.4), 0.8 / (size * side));
  for (int y = 0; y < size; ++y) {
    const double dy = (y + 0.5) / size - form.y;
    const float* wave = waves.row(y);
    float *q = form.q.row(y), *cover = form.cover.row(y);
    for (int x = 0; x < size; ++x) {
      const double dx = (x + 0.5) / size - form.x;
      const double u = (c * dx + s * dy) / form.rx, v = (c * dy - s * dx) / form.ry;
      const double radius = std::sqrt(u * u + v * v);
      // Two and a half deviations are the most that the outline may give.
      q[x] = static_cast<float>(radius / (1 + std::clamp<double>(wave[x], -0.6, 0.22)));
      cover[x] = smooth(-1, 1, static_cast<float>((1 - q[x]) / (2 * edge)));
    }
  }
  return form;
}

// Mottled pigment and blood, freckles, a hint of vessels, the fine relief. `spots` marks what is not bare skin.
void make_skin(Maps& maps, Plane& spots, double melanosomes, double blood, double ita, uint64_t seed) {
  Rng rng(mix_seed(seed, kSkin));
  const int size = maps.melanin.size;
  const double scale = size / 256.0;
  Plane pigment(size), redness(size), ridge(size);
  add_noise(pigment, 2.5, 0.05, rng);
  add_noise(pigment, 9, 0.05, rng);
  add_noise(pigment, 34, 0.045, rng);
  add_noise(redness, 3, 0.10, rng);
  add_noise(redness, 14, 0.13, rng);
  add_noise(redness, 45, 0.10, rng);
  if (rng.chance(0.5)) {
    // Vessels shine through where a smooth field crosses zero.
    add_noise(ridge, rng.uniform(3, 6), 1, rng);
    Plane where(size);
    add_noise(where, 2, 1, rng);
    for (size_t i = 0; i < redness.values.size(); ++i) {
      const float r = ridge[i] / 0.07f;
      redness[i] += 0.45f * std::exp(-r * r) * smooth(0.0f, 1.0f, where[i]);
    }
  }
  if (ita > 0 && rng.chance(0.5)) {
    const int64_t count = rng.integer(1, 16);
    for (int64_t i = 0; i < count; ++i)
      add_dot(spots, rng.uniform(0, size), rng.uniform(0, size), rng.uniform(1.0, 3.2) * scale, rng.uniform(0.3, 1.1));
  }
  Plane coarse(size), fine(size);
  add_noise(coarse, 26, 1, rng);
  add_noise(fine, 64, 1, rng);
  const float relief = static_cast<float>(rng.uniform(0.10, 0.24) * scale);
  for (size_t i = 0; i < pigment.values.size(); ++i) {
    maps.melanin[i] = static_cast<float>(melanosomes) * std::exp(pigment[i] + spots[i]);
    maps.blood[i] = static_cast<float>(blood) * std::exp(redness[i]);
    // Furrows: creases where the fields change sign, plateaus between them.
    const float a = std::abs(coarse[i]), b = std::abs(fine[i]);
    maps.height[i] = relief * (1.3f * a / (a + 0.5f) + 0.8f * b / (b + 0.5f));
  }
}

// Lines that branch, as vessels in a lesion do.
void draw_vessels(Plane& plane, const Form& form, int count, Rng& rng) {
  const int size = plane.size;
  const double r = std::min(form.rx, form.ry) * size, scale = size / 256.0;
  for (int i = 0; i < count; ++i) {
    const double from = rng.uniform(0, kTau), turn = rng.uniform(-0.9, 0.9);
    const double cx = form.x * size, cy = form.y * size;
    const Point a{cx + 1.0 * r * std::cos(from), cy + 1.0 * r * std::sin(from)};
    const Point b{cx + 0.35 * r * std::cos(from + turn), cy + 0.35 * r * std::sin(from + turn)};
    const Point bend{(a.x + b.x) / 2 + r * rng.uniform(-0.35, 0.35), (a.y + b.y) / 2 + r * rng.uniform(-0.35, 0.35)};
    const std::vector<Point> trunk = bezier(a, bend, b);
    draw_line(plane, trunk, 1.5 * scale, 0.7 * scale, 1.0f);
    for (int k = 0; k < 3; ++k) {
      const Point root = trunk[static_cast<size_t>(rng.integer(0, static_cast<int64_t>(trunk.size()) - 1))];
      const double way = rng.uniform(0, kTau), length = r * rng.uniform(0.15, 0.4);
      const Point tip{root.x + length * std::cos(way), root.y + length * std::sin(way)};
      const Point middle{(root.x + tip.x) / 2 + length * rng.uniform(-0.3, 0.3),
                         (root.y + tip.y) / 2 + length * rng.uniform(-0.3, 0.3)};
      draw_line(plane, bezier(root, middle, tip), 0.9 * scale, 0.5 * scale, 0.8f);
    }
  }
}

void scatter_dots(Plane& plane, const Form& form, int count, double radius_low, double radius_high, double height,
                  Rng& rng) {
  const int size = plane.size;
  for (int i = 0; i < count; ++i) {
    const double way = rng.uniform(0, kTau), far = 0.9 * std::sqrt(rng.uniform());
    const double c = std::cos(form.angle), s = std::sin(form.angle);
    const double u = far * form.rx * std::cos(way), v = far * form.ry * std::sin(way);
    add_dot(plane, (form.x + c * u - s * v) * size, (form.y + s * u + c * v) * size,
            rng.uniform(radius_low, radius_high) * form.size() * size, height * rng.uniform(0.6, 1.2));
  }
}

// The lesion's own melanin, blood, horn and relief, laid over the skin's by its coverage.
void make_lesion(Maps& maps, const Form& form, Kind kind, double melanosomes, uint64_t seed) {
  Rng rng(mix_seed(seed, kLesion));
  const int size = form.q.size;
  const double side = form.size();
  const auto field = [&](double cells) {
    Plane plane(size);
    add_noise(plane, std::min(cells / side, size / 2.5), 1, rng);
    return plane;
  };
  const Plane broad = field(2.6), middle = field(9), fine = field(26);
  const float dark = static_cast<float>(rng.uniform(0.0, 1.0));
  const float tall = static_cast<float>(side * size);
  const float own = static_cast<float>(melanosomes);
  const size_t n = maps.melanin.values.size();
  const auto inside = [&](auto&& body) {
    for (size_t i = 0; i < n; ++i)
      if (form.cover[i] > 0.002f) body(i, form.cover[i], form.q[i]);
  };
  switch (kind) {
    case Kind::nevus: {
      const float depth = 0.10f + 0.24f * dark, warm = static_cast<float>(rng.uniform(0.0, 0.012));
      const float raised = static_cast<float>(rng.chance(0.5) ? rng.uniform(0.01, 0.04) : 0.0);
      inside([&](size_t i, float cover, float q) {
        const float centre = 1 - std::min(q, 1.0f);
        const float network = std::abs(fine[i]);
        maps.melanin[i] +=
            cover * depth * (0.75f + 0.55f * centre + 0.10f * broad[i] + 0.12f * middle[i] + 0.10f * (0.8f - network));
        maps.blood[i] += cover * warm;
        maps.height[i] += cover * tall * raised * centre * (2 - centre) + cover * tall * 0.0016f * fine[i];
      });
      break;
    }
    case Kind::melanoma: {
      const Plane patch = field(3.2), veil = field(2.4), regress = field(3.0);
      const float base = 0.16f + 0.2f * dark, black = 0.5f + 0.8f * static_cast<float>(rng.uniform());
      const float blue = static_cast<float>(rng.uniform(0.2, 0.75)), white = rng.chance(0.4) ? 0.5f : 0.0f;
      const float lean = static_cast<float>(rng.uniform(0, kTau));
      inside([&](size_t i, float cover, float q) {
        const float px =
            static_cast<float>(i % static_cast<size_t>(size)) / static_cast<float>(size) - static_cast<float>(form.x);
        const float py =
            static_cast<float>(i / static_cast<size_t>(size)) / static_cast<float>(size) - static_cast<float>(form.y);
        // Darker on one side: the asymmetry that the eye looks for.
        const float slope = (px * std::cos(lean) + py * std::sin(lean)) / static_cast<float>(form.rx);
        const float much = smooth(-0.7f, 1.3f, patch[i] + 0.9f * slope + 0.25f * middle[i]);
        const float gone = white * smooth(0.7f, 1.4f, regress[i]) * smooth(1.0f, 0.7f, q);
        maps.melanin[i] +=
            cover * (base * (0.8f + 0.3f * std::abs(fine[i]) + 0.2f * middle[i]) + black * much) * (1 - gone);
        maps.deep[i] =
            std::max(maps.deep[i], cover * blue * smooth(0.5f, 1.5f, veil[i] + 0.4f * slope) * smooth(1.0f, 0.75f, q));
        maps.keratin[i] = std::max(maps.keratin[i], 0.35f * cover * gone);
        maps.blood[i] += cover * (0.012f + 0.03f * smooth(0.6f, 1.6f, -broad[i]) + 0.015f * smooth(0.75f, 1.0f, q));
        maps.height[i] += cover * tall * (0.006f * much + 0.0022f * fine[i] + 0.002f * middle[i]);
      });
      break;
    }
    case Kind::basal_cell_carcinoma: {
      Plane vessels(size), nests(size);
      draw_vessels(vessels, form, static_cast<int>(rng.integer(4, 8)), rng);
      // On dark skin these are pigmented more often.
      if (rng.chance(own > 0.1f ? 0.8 : 0.35))
        scatter_dots(nests, form, static_cast<int>(rng.integer(3, 9)), 0.02, 0.05, 0.8, rng);
      const float ulcer = rng.chance(0.5) ? static_cast<float>(rng.uniform(0.25, 0.55)) : 0.0f;
      const float pink = static_cast<float>(rng.uniform(0.015, 0.045)),
                  paler = static_cast<float>(rng.uniform(0.05, 0.35));
      inside([&](size_t i, float cover, float q) {
        const float ring =
            std::exp(-(q - 0.8f) * (q - 0.8f) / 0.03f) * (0.55f + 0.45f * smooth(-1, 1, broad[i] + 0.6f * middle[i]));
        const float open =
            ulcer > 0 ? smooth(ulcer + 0.12f, ulcer - 0.12f, q + 0.10f * middle[i] + 0.05f * fine[i]) : 0.0f;
        maps.melanin[i] = maps.melanin[i] * (1 - cover * paler) + cover * (0.5f * open + 0.25f * own * nests[i]);
        maps.blood[i] += cover * (pink * (1 + 0.3f * broad[i] + 0.2f * middle[i]) * (1 - 0.5f * ring) +
                                  0.16f * vessels[i] * (1 - open) + 0.14f * open);
        maps.deep[i] = std::max(maps.deep[i], cover * std::min(0.8f, nests[i]));
        maps.keratin[i] =
            std::max(maps.keratin[i], cover * (0.10f * ring * (1 - open) + 0.5f * open * smooth(0.7f, 1.4f, fine[i])));
        maps.height[i] += cover * tall * (0.030f * ring - 0.018f * open + 0.0015f * fine[i] + 0.003f * middle[i]);
      });
      break;
    }
    case Kind::squamous_cell_carcinoma: {
      Plane bleeding(size);
      scatter_dots(bleeding, form, static_cast<int>(rng.integer(2, 8)), 0.015, 0.04, 0.9, rng);
      const float red = static_cast<float>(rng.uniform(0.03, 0.07)), horn = static_cast<float>(rng.uniform(-0.2, 0.5));
      inside([&](size_t i, float cover, float q) {
        const float centre = 1 - std::min(q, 1.0f);
        const float crust = smooth(0.0f, 1.3f, horn + 1.3f * centre + 0.45f * middle[i] + 0.35f * fine[i] - 0.35f);
        const float blood_spot = std::min(1.0f, bleeding[i]);
        maps.melanin[i] += cover * (0.05f + 0.10f * crust * dark + 0.45f * blood_spot);
        maps.blood[i] += cover * (red * (1 + 0.3f * broad[i]) + 0.12f * blood_spot);
        maps.keratin[i] = std::max(maps.keratin[i], cover * crust * (1 - blood_spot) * (0.55f + 0.12f * fine[i]));
        maps.height[i] +=
            cover * tall * (0.05f * centre * (2 - centre) + crust * (0.005f * middle[i] + 0.003f * fine[i]));
      });
      break;
    }
    case Kind::seborrheic_keratosis: {
      Plane milia(size), plugs(size);
      scatter_dots(milia, form, static_cast<int>(rng.integer(0, 14)), 0.006, 0.014, 0.7, rng);
      scatter_dots(plugs, form, static_cast<int>(rng.integer(4, 22)), 0.007, 0.018, 0.9, rng);
      const float depth = 0.07f + 0.30f * dark, wax = static_cast<float>(rng.uniform(0.05, 0.25));
      const float folds = static_cast<float>(rng.uniform(0.15, 0.8));
      inside([&](size_t i, float cover, float) {
        // Fissures between the folds, as on a brain.
        const float fold = folds * std::exp(-(middle[i] + 0.25f * fine[i]) * (middle[i] + 0.25f * fine[i]) / 0.16f) *
                           smooth(-1.4f, 0.8f, broad[i]);
        maps.melanin[i] += cover * (depth * (0.85f + 0.25f * broad[i] + 0.15f * fine[i]) + 0.16f * fold +
                                    0.5f * std::min(1.0f, plugs[i]));
        maps.blood[i] += cover * 0.006f;
        maps.keratin[i] =
            std::max(maps.keratin[i], cover * clamp01(wax * (1 - fold) + 0.08f * fine[i] + 0.6f * milia[i]));
        maps.height[i] +=
            cover * tall * (0.016f - 0.008f * fold + 0.0042f * fine[i] - 0.01f * std::min(1.0f, plugs[i]));
      });
      break;
    }
    case Kind::actinic_keratosis: {
      const Plane scale_field = field(40);
      const float red = static_cast<float>(rng.uniform(0.02, 0.05)),
                  flakes = static_cast<float>(rng.uniform(-0.4, 0.5));
      // Redness hides in dark skin, where these are darker than their surroundings instead.
      const float tan = static_cast<float>(rng.uniform(0.0, 0.06)) + 0.25f * own;
      inside([&](size_t i, float cover, float q) {
        const float scale =
            smooth(-0.1f, 2.0f, 0.9f * middle[i] + 0.6f * fine[i] + 0.45f * scale_field[i] + flakes - 0.4f * q);
        maps.melanin[i] += cover * tan * (1 + 0.5f * broad[i]);
        maps.blood[i] += cover * red * std::max(0.0f, 1 + 0.45f * broad[i] + 0.25f * fine[i]);
        maps.keratin[i] = std::max(maps.keratin[i], cover * 0.45f * scale);
        maps.height[i] += cover * tall * (0.003f * scale + 0.0014f * scale_field[i] * (0.5f + scale));
      });
      break;
    }
  }
}

struct Canvas {
  int size;
  std::vector<Linear> pixels;
};

// Colour from what the skin is made of, light from the side. The bare skin comes out with `skin` as its mean.
Canvas render(const Maps& maps, const Form& form, const Plane& spots, const Linear& skin, uint64_t seed) {
  Rng rng(mix_seed(seed, kLight));
  const int size = maps.melanin.size;
  const SkinTable& table = SkinTable::get();
  Canvas canvas{size, std::vector<Linear>(maps.melanin.values.size())};
  const double way = rng.uniform(0, kTau);
  const float lx = static_cast<float>(std::cos(way)), ly = static_cast<float>(std::sin(way));
  const float uneven = static_cast<float>(rng.uniform(0.02, 0.10)),
              curve = static_cast<float>(rng.uniform(-0.05, 0.10));
  const float deep_dark = 0.35f;
  // Beneath skin, pigment shows blue-grey, and darker where the skin above is dark.
  const Linear blue = {0.20f * deep_dark + 0.25f * skin[0], 0.24f * deep_dark + 0.30f * skin[1],
                       0.33f * deep_dark + 0.38f * skin[2]};
  const Linear horn = {0.62f * 0.65f + 0.35f * skin[0], 0.52f * 0.65f + 0.35f * skin[1],
                       0.36f * 0.65f + 0.35f * skin[2]};
  std::array<double, 3> sum{};
  size_t bare = 0;
  for (int y = 0; y < size; ++y) {
    const float *above = maps.height.row(std::max(0, y - 1)), *below = maps.height.row(std::min(size - 1, y + 1)),
                *here = maps.height.row(y);
    const float v = (static_cast<float>(y) + 0.5f) / static_cast<float>(size) - 0.5f;
    for (int x = 0; x < size; ++x) {
      const size_t i = static_cast<size_t>(y) * static_cast<size_t>(size) + static_cast<size_t>(x);
      const float u = (static_cast<float>(x) + 0.5f) / static_cast<float>(size) - 0.5f;
      Linear colour = table.at(maps.melanin[i], maps.blood[i]);
      if (maps.deep[i] > 0) colour = mix(colour, blue, maps.deep[i]);
      if (maps.keratin[i] > 0) colour = mix(colour, horn, clamp01(maps.keratin[i]));
      const float slope =
          lx * (here[std::min(size - 1, x + 1)] - here[std::max(0, x - 1)]) + ly * (below[x] - above[x]);
      const float relief = std::clamp(0.55f * slope, -0.35f, 0.35f);
      const float light =
          (1 + relief) * (1 + uneven * 2 * (lx * u + ly * v) - curve * (4 * (u * u + v * v) - 2.0f / 3.0f));
      for (float& c : colour) c *= light;
      canvas.pixels[i] = colour;
      if (form.cover[i] < 0.002f && spots[i] < 0.05f) {
        for (size_t c = 0; c < 3; ++c) sum[c] += colour[c];
        ++bare;
      }
    }
  }
  if (bare > 0) {
    Linear correction;
    for (size_t c = 0; c < 3; ++c)
      correction[c] = static_cast<float>(skin[c] * static_cast<double>(bare) / std::max(sum[c], 1e-9));
    for (Linear& pixel : canvas.pixels)
      for (size_t c = 0; c < 3; ++c) pixel[c] *= correction[c];
  }
  return canvas;
}

// Small mirror images of the lamp on moist or waxy ground.
void add_gloss(Canvas& canvas, const Form& form, Kind kind, uint64_t seed) {
  Rng rng(mix_seed(seed, kGloss));
  const bool shiny = kind == Kind::basal_cell_carcinoma || kind == Kind::seborrheic_keratosis;
  if (!rng.chance(shiny ? 0.8 : 0.25)) return;
  Plane gloss(canvas.size);
  scatter_dots(gloss, form, static_cast<int>(rng.integer(2, shiny ? 9 : 4)), 0.004, 0.010, 0.5, rng);
  for (size_t i = 0; i < canvas.pixels.size(); ++i)
    if (gloss[i] > 0.01f) canvas.pixels[i] = mix(canvas.pixels[i], {0.95f, 0.95f, 0.97f}, std::min(0.9f, gloss[i]));
}

void add_ink(Canvas& canvas, const Form& form, uint64_t seed) {
  Rng rng(mix_seed(seed, kInk));
  const int size = canvas.size;
  const double scale = size / 256.0;
  Plane ink(size), wobble(size);
  add_noise(wobble, 20, 0.25, rng);
  const double cx = form.x * size, cy = form.y * size, r = form.size() / 2 * size;
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

void add_hair(Canvas& canvas, uint64_t seed) {
  Rng rng(mix_seed(seed, kHair));
  const int size = canvas.size;
  const double scale = size / 256.0;
  const int64_t count = rng.integer(5, 22);
  const double lie = rng.uniform(0, kTau), spread = rng.uniform(0.2, 0.8);
  const bool light = rng.chance(0.2);
  const Linear colour = light
                            ? Linear{0.45f, 0.36f, 0.22f}
                            : mix({0.012f, 0.008f, 0.006f}, {0.07f, 0.035f, 0.018f}, static_cast<float>(rng.uniform()));
  Plane hair(size);
  for (int64_t i = 0; i < count; ++i) {
    const double way = lie + spread * rng.normal(), length = rng.uniform(0.25, 0.75) * size;
    const Point a{rng.uniform(-0.1, 1.1) * size, rng.uniform(-0.1, 1.1) * size};
    const Point b{a.x + length * std::cos(way), a.y + length * std::sin(way)};
    const double bow = length * 0.18 * rng.normal();
    const Point bend{(a.x + b.x) / 2 - bow * std::sin(way), (a.y + b.y) / 2 + bow * std::cos(way)};
    const double width = rng.uniform(0.9, 1.9) * scale;
    draw_line(hair, bezier(a, bend, b), width, width * 0.4, static_cast<float>(rng.uniform(0.75, 0.97)));
  }
  const int step = std::max(1, static_cast<int>(std::lround(1.5 * scale)));
  for (int y = size - 1; y >= 0; --y)
    for (int x = size - 1; x >= 0; --x) {
      Linear& pixel = canvas.pixels[static_cast<size_t>(y) * static_cast<size_t>(size) + static_cast<size_t>(x)];
      if (x >= step && y >= step) {
        const float shade = 1 - 0.16f * hair.row(y - step)[x - step];
        for (float& c : pixel) c *= shade;
      }
      if (const float h = hair.row(y)[x]; h > 0) pixel = mix(pixel, colour, h);
    }
}

// A scale along the side that is farthest from the lesion. Returns where its numbers go.
struct Label {
  int x, y, number;
};
std::vector<Label> add_ruler(Canvas& canvas, const Form& form, uint64_t seed) {
  Rng rng(mix_seed(seed, kRuler));
  const int size = canvas.size;
  const std::array<double, 4> away = {form.y, 1 - form.x, 1 - form.y, form.x};  // top, right, bottom, left
  const size_t side = static_cast<size_t>(std::max_element(away.begin(), away.end()) - away.begin());
  const bool paper = rng.chance(0.6);
  const double depth = rng.uniform(0.09, 0.13) * size, millimetre = size / rng.uniform(14, 26),
               start = rng.uniform(0, millimetre);
  const double thick = std::max(1.0, 0.006 * size);
  std::vector<Label> labels;
  for (int y = 0; y < size; ++y)
    for (int x = 0; x < size; ++x) {
      // Along the side, and inward from it.
      const double along = side % 2 == 0 ? x + 0.5 : y + 0.5;
      const double inward = side == 0 ? y + 0.5 : side == 1 ? size - x - 0.5 : side == 2 ? size - y - 0.5 : x + 0.5;
      if (inward > depth + 1) continue;
      Linear& pixel = canvas.pixels[static_cast<size_t>(y) * static_cast<size_t>(size) + static_cast<size_t>(x)];
      if (paper) pixel = mix(pixel, {0.80f, 0.80f, 0.77f}, 0.92f * clamp01(static_cast<float>(depth - inward + 0.5)));
      const double number = std::round((along - start) / millimetre);
      const int n = static_cast<int>(number);
      const double length = depth * (n % 10 == 0 ? 0.75 : n % 5 == 0 ? 0.55 : 0.35);
      const double off = std::abs(along - start - number * millimetre) - thick / 2;
      const float cover = clamp01(static_cast<float>(0.5 - off)) * clamp01(static_cast<float>(0.5 - (inward - length)));
      if (cover > 0) pixel = mix(pixel, {0.015f, 0.015f, 0.015f}, 0.93f * cover);
    }
  if (paper && side % 2 == 0 && size >= 96)
    for (int n = 5; n * millimetre + start < size; n += 5)
      labels.push_back({static_cast<int>(start + n * millimetre) + 2,
                        static_cast<int>(side == 0 ? depth - 9 : size - depth + 2), n});
  return labels;
}

void add_dark_corners(Canvas& canvas, uint64_t seed) {
  Rng rng(mix_seed(seed, kCorners));
  const int size = canvas.size;
  const double radius = rng.uniform(0.50, 0.60) * size, soft = rng.uniform(0.008, 0.035) * size;
  const double cx = size * rng.uniform(0.47, 0.53), cy = size * rng.uniform(0.47, 0.53);
  for (int y = 0; y < size; ++y)
    for (int x = 0; x < size; ++x) {
      const double distance = std::hypot(x + 0.5 - cx, y + 0.5 - cy);
      if (distance < radius - soft) continue;
      const float keep = 1 - 0.985f * smooth(static_cast<float>(-soft), static_cast<float>(soft),
                                             static_cast<float>(distance - radius));
      for (float& c : canvas.pixels[static_cast<size_t>(y) * static_cast<size_t>(size) + static_cast<size_t>(x)])
        c *= keep;
    }
}

// The lens' slight softness, the sensor's noise, sRGB.
image::Image photograph(const Canvas& canvas, uint64_t seed) {
  static const Encoder encode;
  Rng rng(mix_seed(seed, kNoise));
  const int size = canvas.size;
  const float grain = static_cast<float>(rng.uniform(0.003, 0.009));
  image::Image out(size, size, 3);
  std::vector<Linear> column(static_cast<size_t>(size));
  for (int y = 0; y < size; ++y) {
    const Linear* above = canvas.pixels.data() + static_cast<size_t>(std::max(0, y - 1)) * static_cast<size_t>(size);
    const Linear* here = canvas.pixels.data() + static_cast<size_t>(y) * static_cast<size_t>(size);
    const Linear* below =
        canvas.pixels.data() + static_cast<size_t>(std::min(size - 1, y + 1)) * static_cast<size_t>(size);
    for (int x = 0; x < size; ++x)
      for (size_t c = 0; c < 3; ++c)
        column[static_cast<size_t>(x)][c] = 0.2f * above[x][c] + 0.6f * here[x][c] + 0.2f * below[x][c];
    uint8_t* to = out.at(0, y);
    for (int x = 0; x < size; ++x) {
      const Linear &l = column[static_cast<size_t>(std::max(0, x - 1))], &m = column[static_cast<size_t>(x)],
                   &r = column[static_cast<size_t>(std::min(size - 1, x + 1))];
      // Two bytes of one draw make a triangular number for each channel; a fourth pair is common to all.
      const uint64_t bits = rng.next();
      const auto triangle = [&](int k) {
        return (static_cast<float>(bits >> (16 * k) & 255) + static_cast<float>(bits >> (16 * k + 8) & 255) - 255.0f) /
               104.0f;
      };
      const float common = triangle(3);
      for (size_t c = 0; c < 3; ++c) {
        const float light = encode(0.2f * l[c] + 0.6f * m[c] + 0.2f * r[c]);
        const float noisy = light + grain * (0.8f * common + 0.6f * triangle(static_cast<int>(c)));
        to[static_cast<size_t>(x) * 3 + c] = static_cast<uint8_t>(std::clamp(noisy * 255.0f + 0.5f, 0.0f, 255.0f));
      }
    }
  }
  return out;
}

// Which condition, tone and size image `index` has: conditions alternate, and within a condition tones and sizes do.
struct Cell {
  std::string condition;
  size_t tone;
  int size_class;
  int64_t turn;  // how many of its condition came before
};
Cell cell_of(const PhantomOptions& options, int64_t index) {
  const auto& conditions = options.conditions.empty() ? condition_names() : options.conditions;
  const int64_t n = static_cast<int64_t>(conditions.size()), c = index % n, k = index / n;
  return {conditions[static_cast<size_t>(c)], static_cast<size_t>((k + c) % 6), static_cast<int>((k / 6 + k + c) % 3),
          k};
}

constexpr std::array<std::pair<double, double>, 6> kItaOfTone = {
    {{56, 66}, {42, 54}, {29, 40}, {11, 27}, {-29, 9}, {-60, -31}}};

const char* split_of(const Cell& cell) {
  // 14, 3 and 3 of every twenty of a condition.
  switch (cell.turn % 20) {
    case 3:
    case 9:
    case 16: return "validation";
    case 6:
    case 13:
    case 19: return "test";
    default: return "train";
  }
}

void write_bytes(const std::filesystem::path& path, const std::string& bytes) {
  // The folder appears as a whole at the end, so each file need not be flushed by itself.
  std::ofstream out(path, std::ios::binary);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  out.close();
  if (!out) throw DataError("{}: it could not be written; is the disk full?", path.string());
}

}  // namespace

const std::vector<std::string>& condition_names() {
  static const std::vector<std::string> names = {"actinic_keratosis",    "basal_cell_carcinoma",   "melanoma", "nevus",
                                                 "seborrheic_keratosis", "squamous_cell_carcinoma"};
  return names;
}

void PhantomOptions::validate() const {
  if (count < 1 || count > 10'000'000) throw UsageError("count: {} is not from 1 to 10000000", count);
  if (size_px < 32 || size_px > 2048) throw UsageError("size_px: {} is not from 32 to 2048", size_px);
  for (const auto& [name, value] :
       {std::pair{"hair", hair}, {"ruler", ruler}, {"ink", ink}, {"dark_corners", dark_corners}})
    if (!(value >= 0 && value <= 1)) throw UsageError("{}: {} is not a probability from 0 to 1", name, value);
  for (const std::string& condition : conditions)
    if (std::find(condition_names().begin(), condition_names().end(), condition) == condition_names().end())
      throw UsageError("conditions: \"{}\" is not one that phantoms show{}", condition,
                       did_you_mean(condition, condition_names()));
}

Phantom make_phantom(const PhantomOptions& options, int64_t index) {
  options.validate();
  if (index < 0) throw UsageError("make_phantom: the index {} is below 0", index);
  const uint64_t seed = mix_seed(options.seed, static_cast<uint64_t>(index));
  const Cell cell = cell_of(options, index);
  const Kind kind = static_cast<Kind>(std::find(condition_names().begin(), condition_names().end(), cell.condition) -
                                      condition_names().begin());
  const int size = static_cast<int>(options.size_px);

  Rng plan(mix_seed(seed, kPlan));
  Phantom phantom;
  Truth& truth = phantom.truth;
  truth.condition = cell.condition;
  const auto [low, high] = kItaOfTone[cell.tone];
  const double ita = plan.uniform(low, high);
  truth.blood_fraction = std::exp(plan.uniform(std::log(0.008), std::log(cell.tone == 0 ? 0.018 : 0.04)));
  truth.melanosome_fraction = melanosome_fraction_for_ita(ita, truth.blood_fraction);
  truth.skin = skin_colour(truth.melanosome_fraction, truth.blood_fraction);
  truth.hair = plan.chance(options.hair);
  truth.ruler = plan.chance(options.ruler);
  truth.ink = plan.chance(options.ink);
  truth.dark_corners = plan.chance(options.dark_corners);

  const Form form = make_form(kind, size, cell.size_class, seed);
  Maps maps(size);
  Plane spots(size);
  make_skin(maps, spots, truth.melanosome_fraction, truth.blood_fraction, ita, seed);
  make_lesion(maps, form, kind, truth.melanosome_fraction, seed);
  Canvas canvas = render(maps, form, spots, skin_linear(truth.melanosome_fraction, truth.blood_fraction), seed);
  add_gloss(canvas, form, kind, seed);
  if (truth.ink) add_ink(canvas, form, seed);
  if (truth.hair) add_hair(canvas, seed);
  std::vector<Label> labels;
  if (truth.ruler) labels = add_ruler(canvas, form, seed);
  if (truth.dark_corners) add_dark_corners(canvas, seed);
  phantom.rgb = photograph(canvas, seed);
  if (!truth.dark_corners)
    for (const Label& label : labels)
      image::draw_text(phantom.rgb, label.x, label.y, std::to_string(label.number), {25, 25, 25});

  truth.lesion = image::Mask(size, size, 1);
  for (size_t i = 0; i < form.cover.values.size(); ++i)
    if (form.cover[i] >= 0.5f) truth.lesion.pixels[i] = 255;
  return phantom;
}

void write_phantoms(const PhantomOptions& options) {
  options.validate();
  if (options.out.empty()) throw UsageError("out: no folder is given for the made images");
  NewDirectory folder(options.out);
  std::filesystem::create_directories(folder.path() / "images");
  std::filesystem::create_directories(folder.path() / "masks");
  std::vector<data::Record> records(static_cast<size_t>(options.count));
  Progress progress("phantom", static_cast<double>(options.count), "images");
  std::mutex mutex;
  size_t done = 0;
  parallel_for(records.size(), [&](size_t i) {
    const Phantom phantom = make_phantom(options, static_cast<int64_t>(i));
    const Truth& truth = phantom.truth;
    data::Record& r = records[i];
    const std::string name = fmt::format("{:06}", i);
    r.file_name = "images/" + name + ".png";
    r.mask_file_name = "masks/" + name + ".png";
    write_bytes(folder.path() / r.file_name, image::encode_png(phantom.rgb, {{"image_manipulation", "synthetic"}}));
    write_bytes(folder.path() / r.mask_file_name, image::encode_png(truth.lesion));
    r.condition = truth.condition;
    r.split = split_of(cell_of(options, static_cast<int64_t>(i)));
    r.subject_id = r.lesion_id = "phantom-" + name;
    r.boxes = {image::mask_box(truth.lesion)};
    r.skin_rgb = image::rgb_of(truth.skin);
    r.ita_deg = std::round(image::ita_degrees(truth.skin) * 100) / 100;
    r.tone = image::tone_of(*r.ita_deg);
    r.source = "dermgan phantom";
    r.license = "CC0-1.0";
    r.quality = 1;
    r.extra = {{"melanosome_fraction", fmt::format("{:.5f}", truth.melanosome_fraction)},
               {"blood_fraction", fmt::format("{:.5f}", truth.blood_fraction)},
               {"hair", truth.hair ? "1" : "0"},
               {"ruler", truth.ruler ? "1" : "0"},
               {"ink", truth.ink ? "1" : "0"},
               {"dark_corners", truth.dark_corners ? "1" : "0"},
               {"image_manipulation", "synthetic"}};
    const std::lock_guard lock(mutex);
    progress.update(static_cast<double>(++done));
  });
  progress.finish();
  data::write_data_set(folder.path(), records,
                       {{"made_by", "dermgan phantom " + version()},
                        {"image_manipulation", "synthetic"},
                        {"phantom",
                         {{"count", options.count},
                          {"size_px", options.size_px},
                          {"seed", options.seed},
                          {"hair", options.hair},
                          {"ruler", options.ruler},
                          {"ink", options.ink},
                          {"dark_corners", options.dark_corners}}}});
  folder.commit();
}

}  // namespace derm::phantom
