#include "derm/data/semantic_map.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "derm/base/error.h"
#include "derm/base/random.h"
#include "derm/base/suggest.h"
#include "derm/image/mask.h"
#include "derm/image/resize.h"

namespace derm::data {

namespace {

constexpr int kOutline = 1024;  // samples of a blob's outline round the circle

// Coverage from a signed distance (negative inside) by a linear ramp of half width `edge`.
float ramp(double distance, double edge) {
  if (edge <= 0) return distance <= 0 ? 1.0f : 0.0f;
  return static_cast<float>(std::clamp(0.5 - distance / (2 * edge), 0.0, 1.0));
}

double box_distance(double dx, double dy, double rx, double ry) {
  const double qx = std::abs(dx) - rx, qy = std::abs(dy) - ry;
  return std::hypot(std::max(qx, 0.0), std::max(qy, 0.0)) + std::min(std::max(qx, qy), 0.0);
}

// First-order distance to an ellipse: exact on the outline, and good within a ramp's width of it.
double ellipse_distance(double dx, double dy, double rx, double ry) {
  const double ux = dx / rx, uy = dy / ry;
  const double k0 = std::hypot(ux, uy);
  const double k1 = std::hypot(ux / rx, uy / ry);
  if (k1 == 0) return -std::min(rx, ry);
  return k0 * (k0 - 1) / k1;
}

// An irregular closed outline in polar coordinates, stretched so that it touches all four sides of the box.
class Blob {
 public:
  explicit Blob(uint64_t seed) {
    Rng rng(mix_seed(seed, hash_text("blob outline")));
    radius_.assign(kOutline + 1, 1.0);
    for (int k = 2; k <= 16; ++k) {
      // Low harmonics give the form, the higher ones a fine irregularity.
      const double amplitude = k <= 5 ? rng.normal() * 0.11 / (k - 1) : rng.normal() * 0.06 / k;
      const double phase = rng.uniform(0, 2 * std::numbers::pi);
      const double c = amplitude * std::cos(phase), s = amplitude * std::sin(phase);
      for (int i = 0; i < kOutline; ++i) {
        const Direction& d = circle()[static_cast<size_t>(k * i % kOutline)];
        radius_[static_cast<size_t>(i)] += c * d.x - s * d.y;
      }
    }
    for (double& r : radius_) r = std::max(r, 0.35);
    radius_[kOutline] = radius_[0];
    double x0 = 1e9, x1 = -1e9, y0 = 1e9, y1 = -1e9;
    for (int i = 0; i < kOutline; ++i) {
      const Direction& d = circle()[static_cast<size_t>(i)];
      const double x = radius_[static_cast<size_t>(i)] * d.x, y = radius_[static_cast<size_t>(i)] * d.y;
      x0 = std::min(x0, x), x1 = std::max(x1, x), y0 = std::min(y0, y), y1 = std::max(y1, y);
    }
    half_x_ = (x1 - x0) / 2, half_y_ = (y1 - y0) / 2;
    middle_x_ = (x1 + x0) / 2, middle_y_ = (y1 + y0) / 2;
    low_ = *std::min_element(radius_.begin(), radius_.end());
    high_ = *std::max_element(radius_.begin(), radius_.end());
  }

  // Distance to the outline to first order; far from it only the sign holds and the size is at least `enough`.
  double distance(double dx, double dy, double rx, double ry, double enough) const {
    const double sx = rx / half_x_, sy = ry / half_y_;
    const double u = dx / sx + middle_x_, v = dy / sy + middle_y_;
    const double rho = std::hypot(u, v);
    const double margin = enough / std::min(sx, sy);
    // The outline may run obliquely, so the bound takes the steepest slope in.
    if (rho < low_ - 3 * margin) return -enough;
    if (rho > high_ + 3 * margin) return enough;
    if (rho < 1e-9) return -enough;
    double turn = std::atan2(v, u) / (2 * std::numbers::pi);
    if (turn < 0) turn += 1;
    const double position = turn * kOutline;
    const int i = std::min(static_cast<int>(position), kOutline - 1);
    const double r0 = radius_[static_cast<size_t>(i)], r1 = radius_[static_cast<size_t>(i) + 1];
    const double r = r0 + (r1 - r0) * (position - i);
    const double slope = (r1 - r0) * kOutline / (2 * std::numbers::pi);
    const double gx = (u / rho + slope * v / (rho * rho)) / sx;
    const double gy = (v / rho - slope * u / (rho * rho)) / sy;
    return (rho - r) / std::hypot(gx, gy);
  }

 private:
  struct Direction {
    double x, y;
  };
  static const std::vector<Direction>& circle() {
    static const std::vector<Direction> directions = [] {
      std::vector<Direction> made;
      for (int i = 0; i < kOutline; ++i) {
        const double angle = 2 * std::numbers::pi * i / kOutline;
        made.push_back({std::cos(angle), std::sin(angle)});
      }
      return made;
    }();
    return directions;
  }
  std::vector<double> radius_;
  double half_x_ = 1, half_y_ = 1, middle_x_ = 0, middle_y_ = 0, low_ = 1, high_ = 1;
};

std::vector<float> rasterise_mask(const image::Mask& mask, int size, double edge) {
  if (mask.empty() || mask.width != mask.height || mask.channels != 1)
    throw UsageError("region: its mask has {} x {} pixels; a square one is needed", mask.width, mask.height);
  const image::Mask* source = &mask;
  image::Mask resized;
  if (mask.width != size) {
    resized = image::resize(mask, size, size, image::Filter::bilinear);
    source = &resized;
  }
  std::vector<float> out(source->pixels.size());
  for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(source->pixels[i]) / 255.0f;
  if (edge <= 0) {
    for (float& v : out) v = v >= 0.5f ? 1.0f : 0.0f;
    return out;
  }
  // The Gaussian with the deviation of a linear ramp of that half width.
  const double sigma = edge * size / std::numbers::sqrt3;
  if (sigma > 0.3) out = image::gaussian_blur(out, size, size, sigma);
  for (float& v : out) v = std::clamp(v, 0.0f, 1.0f);
  return out;
}

// Conditions in the rgb encoding: far from each other and from skin. The first six are those of the test sets.
image::Rgb colour_of_condition(size_t index) {
  static const std::array<image::Rgb, 12> palette = {{{0, 114, 255},
                                                      {0, 200, 60},
                                                      {255, 0, 200},
                                                      {0, 230, 230},
                                                      {130, 0, 255},
                                                      {255, 255, 0},
                                                      {0, 0, 130},
                                                      {0, 100, 50},
                                                      {150, 150, 255},
                                                      {170, 255, 120},
                                                      {110, 0, 90},
                                                      {255, 255, 255}}};
  if (index < palette.size()) return palette[index];
  // Beyond the palette: hues by the golden angle.
  const double hue = std::fmod(static_cast<double>(index) * 0.618033988749895, 1.0) * 6;
  const auto channel = [&](double offset) {
    const double k = std::fmod(offset + hue, 6.0);
    return static_cast<uint8_t>(std::lround(230 * (1 - std::clamp(std::min(k, 4 - k), 0.0, 1.0))));
  };
  return {channel(5), channel(3), channel(1)};
}

uint64_t region_seed(uint64_t seed, size_t index) { return index == 0 ? seed : mix_seed(seed, index); }

size_t condition_index(const std::string& condition, const std::vector<std::string>& conditions) {
  const auto found = std::find(conditions.begin(), conditions.end(), condition);
  if (found == conditions.end())
    throw UsageError("region: the condition \"{}\" is not known{}", condition, did_you_mean(condition, conditions));
  return static_cast<size_t>(found - conditions.begin());
}

}  // namespace

std::string encoding_name(Encoding encoding) { return encoding == Encoding::rgb ? "rgb" : "planes"; }

Encoding encoding_from_name(const std::string& name) {
  if (name == "planes") return Encoding::planes;
  if (name == "rgb") return Encoding::rgb;
  throw UsageError("encoding: \"{}\" is not known; it is one of planes, rgb", name);
}

std::vector<float> rasterise(const Region& region, int size_px, double edge, uint64_t seed) {
  if (size_px < 1) throw UsageError("rasterise: the size is {} px, which must be at least 1", size_px);
  if (region.shape == Shape::mask) return rasterise_mask(region.mask, size_px, edge);
  std::vector<float> out(static_cast<size_t>(size_px) * static_cast<size_t>(size_px), 0.0f);
  const double rx = region.w / 2, ry = region.h / 2;
  if (!(rx > 0) || !(ry > 0)) return out;
  const double reach = std::max(edge, 0.0);
  // Nothing is covered outside the box and the ramp.
  const auto first = [&](double low) {
    return std::clamp(static_cast<int>(std::floor(low * size_px - 0.5)), 0, size_px);
  };
  const auto last = [&](double high) {
    return std::clamp(static_cast<int>(std::ceil(high * size_px + 0.5)), 0, size_px);
  };
  const int x0 = first(region.x - rx - reach), x1 = last(region.x + rx + reach);
  const int y0 = first(region.y - ry - reach), y1 = last(region.y + ry + reach);
  const auto fill = [&](auto&& distance) {
    for (int y = y0; y < y1; ++y) {
      const double dy = (y + 0.5) / size_px - region.y;
      float* row = out.data() + static_cast<size_t>(y) * static_cast<size_t>(size_px);
      for (int x = x0; x < x1; ++x) row[x] = ramp(distance((x + 0.5) / size_px - region.x, dy), edge);
    }
  };
  switch (region.shape) {
    case Shape::box: fill([&](double dx, double dy) { return box_distance(dx, dy, rx, ry); }); break;
    case Shape::ellipse: fill([&](double dx, double dy) { return ellipse_distance(dx, dy, rx, ry); }); break;
    default: {
      const Blob blob(seed);
      const double enough = std::max(reach, 0.5 / size_px) * 1.01;
      fill([&](double dx, double dy) { return blob.distance(dx, dy, rx, ry, enough); });
    }
  }
  return out;
}

std::vector<float> encode_map(const Request& request, const MapSpec& spec) {
  const size_t plane = static_cast<size_t>(spec.size_px) * static_cast<size_t>(spec.size_px);
  std::vector<float> out(static_cast<size_t>(spec.channels()) * plane, 0.0f);
  if (spec.encoding == Encoding::rgb) {
    const image::Rgb ground = image::rgb_of(request.skin);
    const std::array<uint8_t, 3> skin = {ground.r, ground.g, ground.b};
    for (size_t c = 0; c < 3; ++c)
      std::fill_n(out.begin() + static_cast<ptrdiff_t>(c * plane), plane, static_cast<float>(skin[c]) / 127.5f - 1.0f);
  } else {
    const size_t n = spec.conditions.size();
    const std::array<double, 3> skin = {(request.skin.L - 50) / 50, request.skin.a / 50, request.skin.b / 50};
    for (size_t c = 0; c < 3; ++c)
      std::fill_n(out.begin() + static_cast<ptrdiff_t>((n + 1 + c) * plane), plane, static_cast<float>(skin[c]));
  }
  for (size_t r = 0; r < request.regions.size(); ++r) {
    const Region& region = request.regions[r];
    const size_t index = condition_index(region.condition, spec.conditions);
    const std::vector<float> cover = rasterise(region, spec.size_px, spec.edge, region_seed(request.seed, r));
    if (spec.encoding == Encoding::rgb) {
      const image::Rgb rgb = colour_of_condition(index);
      const std::array<uint8_t, 3> colour = {rgb.r, rgb.g, rgb.b};
      for (size_t c = 0; c < 3; ++c) {
        const float value = static_cast<float>(colour[c]) / 127.5f - 1.0f;
        float* to = out.data() + c * plane;
        for (size_t i = 0; i < plane; ++i) to[i] += cover[i] * (value - to[i]);
      }
    } else {
      float* own = out.data() + index * plane;
      float* all = out.data() + spec.conditions.size() * plane;
      for (size_t i = 0; i < plane; ++i) {
        own[i] = std::max(own[i], cover[i]);
        all[i] = std::max(all[i], cover[i]);
      }
    }
  }
  return out;
}

image::Mask region_mask(const Request& request, int size_px) {
  image::Mask mask(size_px, size_px, 1);
  for (size_t r = 0; r < request.regions.size(); ++r) {
    const std::vector<float> cover = rasterise(request.regions[r], size_px, 0.0, region_seed(request.seed, r));
    for (size_t i = 0; i < cover.size(); ++i)
      if (cover[i] >= 0.5f) mask.pixels[i] = 255;
  }
  return mask;
}

image::Image map_picture(const Request& request, const std::vector<std::string>& conditions, int size_px) {
  MapSpec spec;
  spec.encoding = Encoding::rgb;
  spec.conditions = conditions;
  spec.size_px = size_px;
  const std::vector<float> map = encode_map(request, spec);
  const size_t plane = map.size() / 3;
  image::Image picture(size_px, size_px, 3);
  for (size_t i = 0; i < plane; ++i)
    for (size_t c = 0; c < 3; ++c)
      picture.pixels[i * 3 + c] =
          static_cast<uint8_t>(std::lround(std::clamp((map[c * plane + i] + 1.0f) * 127.5f, 0.0f, 255.0f)));
  return picture;
}

}  // namespace derm::data
