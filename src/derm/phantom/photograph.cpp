#include "derm/phantom/photograph.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "derm/image/colour.h"

namespace derm::phantom {

namespace {

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

// exp(-x) for x >= 0 where a few per mille do not matter, and no call is worth it.
float fall(float x) {
  const float t = 1 - x * (1.0f / 16);
  if (t <= 0) return 0;
  const float t2 = t * t, t4 = t2 * t2, t8 = t4 * t4;
  return t8 * t8;
}

// Horn: a layer that scatters and takes out blue, over what lies under it (Kubelka-Munk without absorption, then the
// tint: once on what comes from the layer, by its thickness on what went through it).
Linear under_horn(const Linear& below, float thickness, float crust) {
  const Linear scale = {0.86f, 0.80f, 0.68f}, dried = {0.64f, 0.41f, 0.24f};
  const float s = 1.7f * thickness, reflected = s / (1 + s), through = 1 / (1 + s), thick = clamp01(3.0f * thickness);
  Linear out;
  for (size_t c = 0; c < 3; ++c) {
    const float tint = scale[c] + crust * (dried[c] - scale[c]);
    const float passed = through * through * below[c] / (1 - reflected * below[c]);
    out[c] = tint * reflected + passed * (1 + thick * (tint - 1));
  }
  return out;
}

}  // namespace

Canvas render(const Maps& maps, const Form& form, const Plane& spots, const SkinTable& table, const Linear& skin,
              const Scene& scene) {
  Rng rng = scene.stream(kLight);
  const int size = scene.size_px;
  const Parameters& p = scene.p;
  const bool immersed = scene.dermoscopic();
  Canvas canvas{size, std::vector<Linear>(maps.melanin.values.size())};
  const double way = p.light_angle * std::numbers::pi / 180;
  const float lx = static_cast<float>(std::cos(way)), ly = static_cast<float>(std::sin(way));
  const float uneven = static_cast<float>(p.light_gradient);
  const float curve = static_cast<float>(immersed ? rng.uniform(0.02, 0.10) : rng.uniform(-0.02, 0.09));
  // Fluid of the skin's own refractive index hides its relief and its gloss.
  const float shading = immersed ? 0.10f : 0.62f;
  const float gloss = static_cast<float>(p.gloss) * (immersed ? 0.0f : 1.0f);
  // Where the lamp is mirrored: the slope that does it, which changes over the picture as the angle to the lens does.
  const float mirror = static_cast<float>(rng.uniform(0.20, 0.42)), turn = static_cast<float>(rng.uniform(0.1, 0.5));
  const float sharp = static_cast<float>(1 / (2 * 0.13 * 0.13));
  Plane waves(size), oily(size);
  if (gloss > 0) {
    add_noise(oily, 4, 0.35, rng);
    add_noise(oily, std::max(8.0, p.field_mm / 0.25), 0.55, rng);
  }
  // A body is no plane: broad swells.
  add_noise(waves, 2.2, immersed ? 0.012 : 0.03, rng);
  std::array<double, 3> sum{};
  size_t bare = 0;
  for (int y = 0; y < size; ++y) {
    const float *above = maps.height.row(std::max(0, y - 1)), *below = maps.height.row(std::min(size - 1, y + 1)),
                *here = maps.height.row(y);
    const float v = (static_cast<float>(y) + 0.5f) / static_cast<float>(size) - 0.5f;
    for (int x = 0; x < size; ++x) {
      const size_t i = static_cast<size_t>(y) * static_cast<size_t>(size) + static_cast<size_t>(x);
      const float u = (static_cast<float>(x) + 0.5f) / static_cast<float>(size) - 0.5f;
      Linear colour = table.at(maps.melanin[i], maps.blood[i], maps.deep[i]);
      if (maps.horn[i] > 0.003f) colour = under_horn(colour, maps.horn[i], maps.crust[i]);
      const float gx = 0.5f * (here[std::min(size - 1, x + 1)] - here[std::max(0, x - 1)]),
                  gy = 0.5f * (below[x] - above[x]);
      // A slope that rises towards the lamp's far side faces it.
      const float slope = lx * gx + ly * gy;
      const float relief = shading * slope / (1 + 0.8f * std::abs(slope));
      const float light = std::max(0.1f, 1 + relief + waves[i]) *
                          (1 + 2 * uneven * (lx * u + ly * v) - curve * (4 * (u * u + v * v) - 2.0f / 3.0f));
      for (float& c : colour) c *= light;
      if (gloss > 0) {
        const float ex = gx - lx * (mirror - turn * (lx * u + ly * v)),
                    ey = gy - ly * (mirror - turn * (lx * u + ly * v));
        const float shine =
            0.20f * gloss * maps.wet[i] * std::max(0.0f, 0.7f + oily[i]) * fall(sharp * (ex * ex + ey * ey));
        for (float& c : colour) c += shine * (1 - 0.5f * c);
      }
      canvas.pixels[i] = colour;
      if (form.cover[i] < 0.002f && spots[i] < 0.05f) {
        for (size_t c = 0; c < 3; ++c) sum[c] += std::sqrt(std::max(0.0f, colour[c]));
        ++bare;
      }
    }
  }
  // The middle of the skin's colours is its own colour: in square roots, which lie closer to what the eye and CIE Lab
  // see than the amounts of light do.
  if (bare > 0) {
    Linear correction;
    for (size_t c = 0; c < 3; ++c) {
      const double mean = sum[c] / static_cast<double>(bare);
      correction[c] = static_cast<float>(skin[c] / std::max(mean * mean, 1e-9));
    }
    for (Linear& pixel : canvas.pixels)
      for (size_t c = 0; c < 3; ++c) pixel[c] *= correction[c];
  }
  return canvas;
}

void defocus(Canvas& canvas, const Form& form, const Scene& scene) {
  const int size = canvas.size;
  const int radius = static_cast<int>(std::lround(0.010 * scene.p.defocus * size));
  if (scene.p.defocus <= 0 || radius < 1) return;
  // Two running means make a triangle; far from the focus it replaces the sharp picture.
  std::vector<Linear> blurred = canvas.pixels, line(static_cast<size_t>(size));
  const auto run = [&](size_t start, size_t step) {
    for (int i = 0; i < size; ++i) line[static_cast<size_t>(i)] = blurred[start + static_cast<size_t>(i) * step];
    const auto at = [&](int i) -> const Linear& { return line[static_cast<size_t>(std::clamp(i, 0, size - 1))]; };
    Linear sum{};
    for (int i = -radius; i <= radius; ++i)
      for (size_t c = 0; c < 3; ++c) sum[c] += at(i)[c];
    const float scale = 1.0f / static_cast<float>(2 * radius + 1);
    for (int i = 0; i < size; ++i) {
      Linear& to = blurred[start + static_cast<size_t>(i) * step];
      for (size_t c = 0; c < 3; ++c) to[c] = sum[c] * scale;
      for (size_t c = 0; c < 3; ++c) sum[c] += at(i + radius + 1)[c] - at(i - radius)[c];
    }
  };
  for (int pass = 0; pass < 2; ++pass) {
    for (int y = 0; y < size; ++y) run(static_cast<size_t>(y) * static_cast<size_t>(size), 1);
    for (int x = 0; x < size; ++x) run(static_cast<size_t>(x), static_cast<size_t>(size));
  }
  const float reach = static_cast<float>(form.size) * 0.5f;
  for (int y = 0; y < size; ++y)
    for (int x = 0; x < size; ++x) {
      const float dx = (static_cast<float>(x) + 0.5f) / static_cast<float>(size) - static_cast<float>(form.x);
      const float dy = (static_cast<float>(y) + 0.5f) / static_cast<float>(size) - static_cast<float>(form.y);
      const float away = std::sqrt(dx * dx + dy * dy) - reach;
      const float share = smooth_step(0.02f, 0.45f, away);
      if (share > 0) {
        const size_t i = static_cast<size_t>(y) * static_cast<size_t>(size) + static_cast<size_t>(x);
        canvas.pixels[i] = mix(canvas.pixels[i], blurred[i], share);
      }
    }
}

image::Image expose(const Canvas& canvas, const Scene& scene) {
  static const Encoder encode;
  Rng rng = scene.stream(kNoise);
  const int size = canvas.size;
  const float grain = static_cast<float>(scene.p.grain);
  image::Image out(size, size, 3);
  std::vector<Linear> column(static_cast<size_t>(size));
  for (int y = 0; y < size; ++y) {
    const Linear* above = canvas.pixels.data() + static_cast<size_t>(std::max(0, y - 1)) * static_cast<size_t>(size);
    const Linear* here = canvas.pixels.data() + static_cast<size_t>(y) * static_cast<size_t>(size);
    const Linear* below =
        canvas.pixels.data() + static_cast<size_t>(std::min(size - 1, y + 1)) * static_cast<size_t>(size);
    for (int x = 0; x < size; ++x)
      for (size_t c = 0; c < 3; ++c)
        column[static_cast<size_t>(x)][c] = 0.12f * above[x][c] + 0.76f * here[x][c] + 0.12f * below[x][c];
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
        const float light = encode(0.12f * l[c] + 0.76f * m[c] + 0.12f * r[c]);
        const float noisy = light + grain * (0.8f * common + 0.6f * triangle(static_cast<int>(c)));
        to[static_cast<size_t>(x) * 3 + c] = static_cast<uint8_t>(std::clamp(noisy * 255.0f + 0.5f, 0.0f, 255.0f));
      }
    }
  }
  return out;
}

}  // namespace derm::phantom
