#include "derm/skin/candidates.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "derm/image/mask.h"
#include "derm/skin/planes.h"

namespace derm::skin {
namespace {

using image::Mask;

constexpr int kLongest = 96;  ///< outlines of lesions are smooth: this size keeps them, and is quick

struct Scene {
  Planes lab;
  std::vector<float> weight;  ///< 1 skin or lesion, 0 border, ink, ruler; between where they share a pixel
  std::vector<float> radius;  ///< distance from the centre over half the short side
};

/// Averages each plane over the pixels that are not artefacts; what has none takes its neighbours' colour.
Scene reduce_scene(const image::Image& rgb, const Artefacts& artefacts) {
  const image::Image picture = reduced(rgb, 256);
  const Planes full = lab_planes(picture);
  const Mask hair = resized_mask(artefacts.hair, full.width, full.height);
  const Mask glint = resized_mask(artefacts.reflection, full.width, full.height);
  const Mask ruler = resized_mask(artefacts.ruler, full.width, full.height);
  const Mask border = resized_mask(artefacts.border, full.width, full.height);
  const Mask ink = resized_mask(artefacts.ink, full.width, full.height);

  const int longest = std::max(full.width, full.height);
  const double scale = std::min(1.0, static_cast<double>(kLongest) / longest);
  Scene scene;
  const int w = std::max(1, static_cast<int>(std::lround(full.width * scale)));
  const int h = std::max(1, static_cast<int>(std::lround(full.height * scale)));
  const size_t n = static_cast<size_t>(w) * h;
  scene.lab = {w, h, std::vector<float>(n), std::vector<float>(n), std::vector<float>(n)};
  scene.weight.resize(n);
  scene.radius.resize(n);
  std::vector<float> seen(n), pixels(n), sound(n);
  for (int y = 0; y < full.height; ++y) {
    const int ty = std::min(h - 1, y * h / full.height);
    for (int x = 0; x < full.width; ++x) {
      const size_t from = static_cast<size_t>(y) * full.width + x;
      const size_t to = static_cast<size_t>(ty) * w + std::min(w - 1, x * w / full.width);
      pixels[to] += 1;
      const bool outside = border.pixels[from] != 0 || ink.pixels[from] != 0;
      if (!outside) sound[to] += 1;
      if (outside || hair.pixels[from] != 0 || glint.pixels[from] != 0 || ruler.pixels[from] != 0) continue;
      seen[to] += 1;
      scene.lab.L[to] += full.L[from];
      scene.lab.a[to] += full.a[from];
      scene.lab.b[to] += full.b[from];
    }
  }
  // Neighbours fill what was covered: weighted blurs, near ones first.
  std::vector<float>* planes[3] = {&scene.lab.L, &scene.lab.a, &scene.lab.b};
  std::vector<float> covered = seen;
  bool holes = std::any_of(seen.begin(), seen.end(), [](float s) { return s == 0; });
  std::vector<float> filled[3];
  for (int c = 0; c < 3; ++c) {
    filled[c] = *planes[c];
    for (size_t i = 0; i < n; ++i) {
      if (seen[i] > 0) filled[c][i] /= seen[i];
    }
  }
  for (const double sigma : {1.5, 6.0, 30.0}) {
    if (!holes) break;
    const auto blurred_seen = image::gaussian_blur(seen, w, h, sigma);
    std::vector<float> blurred[3];
    for (int c = 0; c < 3; ++c) blurred[c] = image::gaussian_blur(*planes[c], w, h, sigma);
    holes = false;
    for (size_t i = 0; i < n; ++i) {
      if (covered[i] > 0) continue;
      if (blurred_seen[i] < 0.02f) {
        holes = true;
        continue;
      }
      covered[i] = 1;
      for (int c = 0; c < 3; ++c) filled[c][i] = blurred[c][i] / blurred_seen[i];
    }
  }
  for (int c = 0; c < 3; ++c) *planes[c] = image::gaussian_blur(filled[c], w, h, 0.7);
  const double half = std::min(w, h) / 2.0;
  for (int y = 0; y < h; ++y) {
    for (int x = 0; x < w; ++x) {
      const size_t i = static_cast<size_t>(y) * w + x;
      scene.weight[i] = sound[i] / std::max(1.0f, pixels[i]) >= 0.5f ? 1.0f : 0.0f;
      scene.radius[i] = static_cast<float>(std::hypot(x + 0.5 - w / 2.0, y + 0.5 - h / 2.0) / half);
    }
  }
  return scene;
}

/// Least squares of a plane on 1, x, y (and x^2, xy, y^2), the curved terms held back.
struct Field {
  static constexpr int kTerms = 6;
  double c[kTerms] = {};
  static void terms(double x, double y, double* t) {
    t[0] = 1;
    t[1] = x;
    t[2] = y;
    t[3] = x * x;
    t[4] = x * y;
    t[5] = y * y;
  }
};

struct SkinModel {
  std::vector<float> L, a, b;  ///< skin at each pixel
  double noise_l = 2, noise_a = 1, noise_b = 1;
};

/// Solves a symmetric positive system in place (Gauss without pivoting is enough: it is regularised).
void solve(double m[Field::kTerms][Field::kTerms], double rhs[3][Field::kTerms], int n) {
  for (int k = 0; k < n; ++k) {
    for (int i = k + 1; i < n; ++i) {
      const double f = m[i][k] / m[k][k];
      for (int j = k; j < n; ++j) m[i][j] -= f * m[k][j];
      for (int c = 0; c < 3; ++c) rhs[c][i] -= f * rhs[c][k];
    }
  }
  for (int c = 0; c < 3; ++c) {
    for (int k = n - 1; k >= 0; --k) {
      for (int j = k + 1; j < n; ++j) rhs[c][k] -= m[k][j] * rhs[c][j];
      rhs[c][k] /= m[k][k];
    }
  }
}

/// The skin as a smooth field: fitted to the outer pixels, then again to whatever agrees with it.
/// @param order  1 a slope, 2 a bowl
/// @param inner  radius from which pixels begin to count
SkinModel fit_skin(const Scene& scene, int order, double inner) {
  const Planes& p = scene.lab;
  const size_t n = p.size();
  const int terms = order == 1 ? 3 : 6;
  std::vector<float> prior(n);
  for (size_t i = 0; i < n; ++i) {
    prior[i] = scene.weight[i] * static_cast<float>(1 / (1 + std::exp(-(scene.radius[i] - inner) / 0.08)));
  }
  // Start: the usual colour of the outer pixels; of two kinds, the lighter one.
  std::vector<float> l;
  for (size_t i = 0; i < n; ++i) {
    if (prior[i] > 0.5f) l.push_back(p.L[i]);
  }
  const double floor_l = percentile_of(l, 0.3);
  l.clear();
  std::vector<float> a, b;
  for (size_t i = 0; i < n; ++i) {
    if (prior[i] <= 0.5f || p.L[i] < floor_l) continue;
    l.push_back(p.L[i]);
    a.push_back(p.a[i]);
    b.push_back(p.b[i]);
  }
  SkinModel model;
  const double start[3] = {median_of(std::move(l)), median_of(std::move(a)), median_of(std::move(b))};
  model.L.assign(n, static_cast<float>(start[0]));
  model.a.assign(n, static_cast<float>(start[1]));
  model.b.assign(n, static_cast<float>(start[2]));
  model.noise_l = 6;
  model.noise_a = model.noise_b = 4;
  for (int round = 0; round < 5; ++round) {
    double m[Field::kTerms][Field::kTerms] = {}, rhs[3][Field::kTerms] = {};
    const int used = round < 2 ? 3 : terms;
    double total = 0;
    for (size_t i = 0; i < n; ++i) {
      const double dl = (p.L[i] - model.L[i]) / model.noise_l, da = (p.a[i] - model.a[i]) / model.noise_a,
                   db = (p.b[i] - model.b[i]) / model.noise_b;
      const double d2 = (dl * dl + da * da + db * db) / 16;
      // Later rounds let the middle in, as far as it looks like skin.
      const double base = round < 2 ? prior[i] : scene.weight[i] * (0.15 + 0.85 * prior[i]);
      if (d2 >= 1 || base <= 0) continue;
      const double weight = base * (1 - d2) * (1 - d2);
      double t[Field::kTerms];
      Field::terms(2.0 * static_cast<double>(i % p.width) / p.width - 1,
                   2.0 * static_cast<double>(i / p.width) / p.height - 1, t);
      for (int j = 0; j < used; ++j) {
        for (int k = 0; k <= j; ++k) m[j][k] += weight * t[j] * t[k];
        rhs[0][j] += weight * t[j] * p.L[i];
        rhs[1][j] += weight * t[j] * p.a[i];
        rhs[2][j] += weight * t[j] * p.b[i];
      }
      total += weight;
    }
    if (total < 20) break;
    for (int j = 0; j < used; ++j) {
      for (int k = j + 1; k < used; ++k) m[j][k] = m[k][j];
      m[j][j] += total * (j == 0 ? 1e-9 : j < 3 ? 0.01 : 0.03);
    }
    solve(m, rhs, used);
    std::vector<float> rl, ra, rb;
    for (size_t i = 0; i < n; ++i) {
      double t[Field::kTerms];
      Field::terms(2.0 * static_cast<double>(i % p.width) / p.width - 1,
                   2.0 * static_cast<double>(i / p.width) / p.height - 1, t);
      double v[3] = {};
      for (int c = 0; c < 3; ++c) {
        for (int j = 0; j < used; ++j) v[c] += rhs[c][j] * t[j];
      }
      model.L[i] = static_cast<float>(v[0]);
      model.a[i] = static_cast<float>(v[1]);
      model.b[i] = static_cast<float>(v[2]);
      if (prior[i] > 0.5f && i % 4 == 0) {
        rl.push_back(std::abs(p.L[i] - model.L[i]));
        ra.push_back(std::abs(p.a[i] - model.a[i]));
        rb.push_back(std::abs(p.b[i] - model.b[i]));
      }
    }
    model.noise_l = std::clamp(1.4826 * median_of(std::move(rl)), 1.5, 8.0);
    model.noise_a = std::clamp(1.4826 * median_of(std::move(ra)), 1.0, 5.0);
    model.noise_b = std::clamp(1.4826 * median_of(std::move(rb)), 1.2, 5.0);
  }
  return model;
}

enum class Distance {
  plain,     ///< Lab units over one common spread
  whitened,  ///< each channel in units of the skin's own spread
  red        ///< whitened, redness before all: pink on shaded skin
};

/// Distance from the skin, smoothed a little.
std::vector<float> distance_map(const Scene& scene, const SkinModel& skin, Distance kind) {
  const Planes& p = scene.lab;
  std::vector<float> d(p.size());
  const double common = std::cbrt(skin.noise_l * skin.noise_a * skin.noise_b);
  const bool plain = kind == Distance::plain;
  const double sl = (plain ? common : skin.noise_l) * (kind == Distance::red ? 3 : 1),
               sa = plain ? common : skin.noise_a,
               sb = (plain ? common : skin.noise_b) * (kind == Distance::red ? 3 : 1);
  for (size_t i = 0; i < p.size(); ++i) {
    double dl = (p.L[i] - skin.L[i]) / sl;
    if (dl > 0) dl *= 0.6;  // light, scale and shine are brighter than skin more often than lesions are
    double da = (p.a[i] - skin.a[i]) / sa;
    if (da < 0) da *= 0.7;
    const double db = 0.7 * (p.b[i] - skin.b[i]) / sb;
    d[i] = static_cast<float>(scene.weight[i] * std::sqrt(dl * dl + da * da + db * db));
  }
  return image::gaussian_blur(d, p.width, p.height, 1.2);
}

double band_mean(const std::vector<float>& plane, const std::vector<float>& weight, const std::vector<float>& away,
                 double from, double to) {
  double sum = 0, n = 0;
  for (size_t i = 0; i < plane.size(); ++i) {
    if (away[i] > from && away[i] <= to && weight[i] > 0) {
      sum += plane[i];
      ++n;
    }
  }
  return n > 0 ? sum / n : 0;
}

}  // namespace

const std::array<const char*, kFeatures>& feature_names() {
  static const std::array<const char*, kFeatures> names = {
      "one",        "contrast",     "contrast_lab", "edge",     "log_area", "log_area_2", "on_border", "compact",
      "off_centre", "off_centre_2", "dominance",    "leftover", "ratio",    "ratio_2",    "filled",    "ring_noise"};
  return names;
}

namespace {

double weighted_sum(const Features& f) {
  // Least squares of the overlap with the outlines of ISIC 2017 (CC0) over the candidates of 773 of its images.
  static constexpr Features kWeights = {-0.2400, 0.1787,  0.0317,  0.0272, 0.0247, -0.0127, -0.0249, 1.0175,
                                        -0.0269, -0.3636, -0.1096, 0.0131, 0.1972, -0.1096, -0.1427, -0.2784};
  double sum = 0;
  for (int i = 0; i < kFeatures; ++i) sum += kWeights[i] * f[i];
  return sum;
}

}  // namespace

double expected_overlap(const Features& f) { return std::clamp(weighted_sum(f), 0.0, 1.0); }

double preference(const Features& f) {
  // Clinical photographs show more skin, and shading that runs off the picture: round, free and not too large goes
  // first.
  const double area = std::exp(f[4]);
  return weighted_sum(f) - 0.3 * f[6] + 0.5 * f[7] - 0.3 * std::max(0.0, area - 0.35) + 0.05 * f[12];
}

std::vector<Candidate> lesion_candidates(const image::Image& rgb, const Artefacts& artefacts) {
  const Scene scene = reduce_scene(rgb, artefacts);
  const int w = scene.lab.width, h = scene.lab.height;
  const size_t n = scene.lab.size();
  const double side = std::max(w, h), half = std::min(w, h) / 2.0;
  std::vector<Candidate> result;
  double sound = 0;
  for (float v : scene.weight) sound += v;
  if (sound < 0.1 * static_cast<double>(n)) return result;

  for (const int order : {1, 2}) {
    const SkinModel skin = fit_skin(scene, order, order == 1 ? 0.95 : 0.8);
    const auto plain = distance_map(scene, skin, Distance::plain);
    for (const Distance kind : {Distance::whitened, Distance::red}) {
      const auto distance = distance_map(scene, skin, kind);
      // A mild pull to the centre before thresholding.
      std::vector<float> pulled(n), values;
      double total = 0;
      for (size_t i = 0; i < n; ++i) {
        pulled[i] = distance[i] * static_cast<float>(std::exp(-0.5 * scene.radius[i] * scene.radius[i] / (1.1 * 1.1)));
        total += scene.weight[i] * pulled[i];
        if (scene.weight[i] > 0 && i % 3 == 0) values.push_back(pulled[i]);
      }
      const double otsu = image::otsu_threshold(values);
      if (otsu <= 0) continue;
      for (const double ratio : {0.45, 0.65, 0.85, 1.1, 1.4}) {
        Mask raw(w, h, 1);
        for (size_t i = 0; i < n; ++i) raw.pixels[i] = pulled[i] > ratio * otsu && scene.weight[i] > 0 ? 255 : 0;
        Mask joined = raw;
        grow_by_one(joined);
        const auto parts = image::connected_components(joined);
        if (parts.items.empty()) continue;
        // The part with the most distance, near the centre.
        std::vector<double> worth(parts.items.size() + 1);
        for (size_t i = 0; i < n; ++i) worth[parts.labels[i]] += pulled[i];
        int best = 0;
        double best_worth = 0;
        for (const auto& item : parts.items) {
          const double off = std::hypot(item.cx + 0.5 - w / 2.0, item.cy + 0.5 - h / 2.0) / half;
          const double value = worth[item.label] * std::exp(-0.5 * off * off / (0.45 * 0.45));
          if (value > best_worth) best = item.label, best_worth = value;
        }
        Mask region(w, h, 1);
        size_t above = 0;
        for (size_t i = 0; i < n; ++i) {
          if (parts.labels[i] != best) continue;
          region.pixels[i] = 255;
          above += raw.pixels[i] != 0;
        }
        shrink_by_one(region);
        region = image::fill_holes(region);
        // Opening takes off threads, a blur cut at one half rounds the outline.
        std::vector<float> soft(n);
        for (size_t i = 0; i < n; ++i) soft[i] = region.pixels[i] != 0 ? 1.0f : 0.0f;
        const double area0 = static_cast<double>(image::mask_area(region));
        soft = box_blur(soft, w, h, area0 < 120 ? 1 : 2);
        for (size_t i = 0; i < n; ++i) region.pixels[i] = soft[i] >= 0.5f ? 255 : 0;
        const auto smooth_parts = image::connected_components(region);
        if (smooth_parts.items.empty()) continue;
        const auto& item = smooth_parts.items.front();
        if (smooth_parts.items.size() > 1) {
          for (size_t i = 0; i < n; ++i) {
            if (smooth_parts.labels[i] > 1) region.pixels[i] = 0, soft[i] = std::min(soft[i], 0.49f);
          }
        }
        const double area = static_cast<double>(item.area);
        if (area < 4) continue;

        Candidate c;
        c.width = w;
        c.height = h;
        const auto away = rough_distance(region.pixels, w, h);
        Mask outside(w, h, 1);
        size_t edge_pixels = 0, rim = 0;
        double inside_sum = 0, inside_plain = 0, inside_pulled = 0, left = 0, left_n = 0;
        for (size_t i = 0; i < n; ++i) {
          const bool in = region.pixels[i] != 0;
          outside.pixels[i] = in ? 0 : 255;
          const int x = static_cast<int>(i % w), y = static_cast<int>(i / w);
          if (in) {
            inside_sum += distance[i];
            inside_plain += plain[i];
            inside_pulled += pulled[i];
            const bool at_edge = x == 0 || y == 0 || x == w - 1 || y == h - 1;
            const auto clear = [&](int nx, int ny) { return region.pixels[static_cast<size_t>(ny) * w + nx] == 0; };
            if (at_edge) ++edge_pixels;
            if (at_edge || clear(x - 1, y) || clear(x + 1, y) || clear(x, y - 1) || clear(x, y + 1)) ++rim;
          } else if (scene.weight[i] > 0) {
            left += distance[i];
            ++left_n;
          }
        }
        const auto depth = rough_distance(outside.pixels, w, h);
        const double unit = std::cbrt(skin.noise_l * skin.noise_a * skin.noise_b);
        const double ring = band_mean(distance, scene.weight, away, 0.02 * side, 0.09 * side);
        const double ring_plain = band_mean(plain, scene.weight, away, 0.02 * side, 0.09 * side);
        const double step = band_mean(distance, scene.weight, depth, 0, 0.03 * side) -
                            band_mean(distance, scene.weight, away, 0, 0.03 * side);
        const double off = std::hypot(item.cx + 0.5 - w / 2.0, item.cy + 0.5 - h / 2.0) / half;
        double xx = 0, yy = 0, xy = 0;
        for (size_t i = 0; i < n; ++i) {
          if (region.pixels[i] == 0) continue;
          const double dx = static_cast<double>(i % w) - item.cx, dy = static_cast<double>(i / w) - item.cy;
          xx += dx * dx, yy += dy * dy, xy += dx * dy;
        }
        const double ellipse = 4 * 3.14159265358979 * std::sqrt(std::max(1e-9, (xx * yy - xy * xy) / (area * area)));
        const double log_area = std::log(area / static_cast<double>(n));
        c.features = {1,
                      std::log1p(std::max(0.0, inside_sum / area - ring)),
                      std::log1p(std::max(0.0, unit * (inside_plain / area - ring_plain))),
                      std::log1p(std::max(0.0, step)),
                      log_area,
                      log_area * log_area,
                      static_cast<double>(edge_pixels) / static_cast<double>(std::max<size_t>(1, rim)),
                      std::min(1.0, area / ellipse),
                      off,
                      off * off,
                      total > 0 ? inside_pulled / total : 0,
                      std::log1p(left_n > 0 ? left / left_n : 0),
                      ratio,
                      ratio * ratio,
                      static_cast<double>(above) / area,
                      std::log1p(ring)};
        c.soft = std::move(soft);
        result.push_back(std::move(c));
      }
    }
  }
  return result;
}

}  // namespace derm::skin
