#include "derm/skin/planes.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "derm/base/error.h"
#include "derm/image/resize.h"

namespace derm::skin {
namespace {

/// The cube root with the linear foot that CIE Lab has, tabled: a picture needs it three times a pixel.
class LabCurve {
 public:
  LabCurve() {
    for (int i = 0; i <= kSteps; ++i) {
      const double t = static_cast<double>(i) / kSteps;
      table_[i] = static_cast<float>(t > 216.0 / 24389 ? std::cbrt(t) : t * 841 / 108 + 4.0 / 29);
    }
  }
  float operator()(float t) const {
    const float at = std::min(std::max(t, 0.0f), 1.0f) * kSteps;
    const int i = std::min(static_cast<int>(at), kSteps - 1);
    return table_[i] + (at - static_cast<float>(i)) * (table_[i + 1] - table_[i]);
  }

 private:
  static constexpr int kSteps = 8192;
  std::array<float, kSteps + 1> table_{};
};

}  // namespace

Planes lab_planes(const image::Image& picture) {
  static const LabCurve curve;
  static const std::array<float, 256> linear = [] {
    std::array<float, 256> table{};
    for (int i = 0; i < 256; ++i) table[i] = static_cast<float>(image::srgb_to_linear(i / 255.0));
    return table;
  }();
  Planes planes{picture.width, picture.height, {}, {}, {}};
  const size_t n = static_cast<size_t>(picture.width) * picture.height;
  planes.L.resize(n);
  planes.a.resize(n);
  planes.b.resize(n);
  const int step = picture.channels;
  for (size_t i = 0; i < n; ++i) {
    const uint8_t* p = picture.pixels.data() + i * step;
    const float r = linear[p[0]], g = linear[p[step == 3 ? 1 : 0]], b = linear[p[step == 3 ? 2 : 0]];
    // sRGB to XYZ under D65, each row divided by its sum (the white).
    const float x = curve((0.4124564f * r + 0.3575761f * g + 0.1804375f * b) / 0.950470f);
    const float y = curve(0.2126729f * r + 0.7151522f * g + 0.0721750f * b);
    const float z = curve((0.0193339f * r + 0.1191920f * g + 0.9503041f * b) / 1.0888299f);
    planes.L[i] = 116 * y - 16;
    planes.a[i] = 500 * (x - y);
    planes.b[i] = 200 * (y - z);
  }
  return planes;
}

image::Image reduced(const image::Image& picture, int longest) {
  const int side = std::max(picture.width, picture.height);
  if (side <= longest) return picture;
  const auto scaled = [&](int v) {
    return std::max(1, static_cast<int>(std::lround(static_cast<double>(v) * longest / side)));
  };
  return image::resize(picture, scaled(picture.width), scaled(picture.height), image::Filter::box);
}

image::Mask resized_mask(const image::Mask& mask, int width, int height) {
  if (mask.width == width && mask.height == height) return mask;
  image::Mask result(width, height, 1);
  if (mask.empty()) return result;
  for (int y = 0; y < height; ++y) {
    const int from_y = std::min(mask.height - 1, static_cast<int>((y + 0.5) * mask.height / height));
    for (int x = 0; x < width; ++x) {
      *result.at(x, y) = *mask.at(std::min(mask.width - 1, static_cast<int>((x + 0.5) * mask.width / width)), from_y);
    }
  }
  return result;
}

std::vector<float> box_blur(const std::vector<float>& plane, int width, int height, int radius) {
  if (radius < 1 || plane.empty()) return plane;
  const float share = 1.0f / static_cast<float>(2 * radius + 1);
  std::vector<float> now = plane, next(plane.size()), sum(width);
  for (int pass = 0; pass < 2; ++pass) {
    for (int y = 0; y < height; ++y) {
      const float* row = &now[static_cast<size_t>(y) * width];
      float* out = &next[static_cast<size_t>(y) * width];
      float running = 0;
      for (int k = -radius; k <= radius; ++k) running += row[std::clamp(k, 0, width - 1)];
      for (int x = 0; x < width; ++x) {
        out[x] = running * share;
        running += row[std::min(width - 1, x + radius + 1)] - row[std::max(0, x - radius)];
      }
    }
    std::fill(sum.begin(), sum.end(), 0.0f);
    for (int k = -radius; k <= radius; ++k) {
      const float* row = &next[static_cast<size_t>(std::clamp(k, 0, height - 1)) * width];
      for (int x = 0; x < width; ++x) sum[x] += row[x];
    }
    for (int y = 0; y < height; ++y) {
      float* out = &now[static_cast<size_t>(y) * width];
      const float* in = &next[static_cast<size_t>(std::min(height - 1, y + radius + 1)) * width];
      const float* gone = &next[static_cast<size_t>(std::max(0, y - radius)) * width];
      for (int x = 0; x < width; ++x) {
        out[x] = sum[x] * share;
        sum[x] += in[x] - gone[x];
      }
    }
  }
  return now;
}

std::vector<float> rough_distance(const std::vector<uint8_t>& mask, int width, int height) {
  constexpr float kFar = 1e6f, kDiagonal = 1.4f;
  std::vector<float> d(mask.size());
  for (size_t i = 0; i < mask.size(); ++i) d[i] = mask[i] != 0 ? 0.0f : kFar;
  const auto relax = [&](int y, int from_y, bool forward) {
    float* row = &d[static_cast<size_t>(y) * width];
    if (from_y >= 0 && from_y < height) {
      const float* other = &d[static_cast<size_t>(from_y) * width];
      for (int x = 0; x < width; ++x) {
        float best = std::min(row[x], other[x] + 1);
        if (x > 0) best = std::min(best, other[x - 1] + kDiagonal);
        if (x + 1 < width) best = std::min(best, other[x + 1] + kDiagonal);
        row[x] = best;
      }
    }
    if (forward) {
      for (int x = 1; x < width; ++x) row[x] = std::min(row[x], row[x - 1] + 1);
    } else {
      for (int x = width - 2; x >= 0; --x) row[x] = std::min(row[x], row[x + 1] + 1);
    }
  };
  for (int y = 0; y < height; ++y) relax(y, y - 1, true);
  for (int y = height - 1; y >= 0; --y) relax(y, y + 1, false);
  return d;
}

namespace {

void step(image::Mask& mask, uint8_t spreading) {
  const std::vector<uint8_t> before = mask.pixels;
  const int w = mask.width, h = mask.height;
  for (int y = 0; y < h; ++y) {
    for (int x = 0; x < w; ++x) {
      const size_t i = static_cast<size_t>(y) * w + x;
      if ((x > 0 && before[i - 1] == spreading) || (x + 1 < w && before[i + 1] == spreading) ||
          (y > 0 && before[i - w] == spreading) || (y + 1 < h && before[i + w] == spreading)) {
        mask.pixels[i] = spreading;
      }
    }
  }
}

}  // namespace

void grow_by_one(image::Mask& mask) { step(mask, 255); }
void shrink_by_one(image::Mask& mask) { step(mask, 0); }

double median_of(std::vector<float> values) { return percentile_of(std::move(values), 0.5); }

double percentile_of(std::vector<float> values, double p) {
  if (values.empty()) return 0;
  const auto at = values.begin() + static_cast<long>(std::clamp(p, 0.0, 1.0) * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

}  // namespace derm::skin
