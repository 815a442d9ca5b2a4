#include "derm/image/resize.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "derm/base/error.h"

namespace derm::image {
namespace {

// 32 bit accumulators: 8 for the pixel, 2 for the overshoot of bicubic and Lanczos, the rest for the fraction.
constexpr int kFractionBits = 32 - 8 - 2;

double sinc(double x) {
  if (x == 0.0) return 1.0;
  x *= std::numbers::pi;
  return std::sin(x) / x;
}

struct Kernel {
  double support;
  double (*weight)(double);
};

Kernel kernel_of(Filter filter) {
  switch (filter) {
    case Filter::box:
      // Half open, so that a tap on the seam of two output pixels counts once.
      return {0.5, [](double x) { return x > -0.5 && x <= 0.5 ? 1.0 : 0.0; }};
    case Filter::bilinear:
      return {1.0, [](double x) { return std::max(0.0, 1.0 - std::fabs(x)); }};
    case Filter::hamming:
      return {1.0, [](double x) {
                x = std::fabs(x);
                if (x == 0.0) return 1.0;
                if (x >= 1.0) return 0.0;
                x *= std::numbers::pi;
                // Pillow's constants are single precision, which shows in the last bit.
                return std::sin(x) / x * (0.54f + 0.46f * std::cos(x));
              }};
    case Filter::bicubic:
      return {2.0, [](double x) {
                constexpr double a = -0.5;
                x = std::fabs(x);
                if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
                if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
                return 0.0;
              }};
    default:
      return {3.0, [](double x) { return x >= -3.0 && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0; }};
  }
}

/// For each output position the input positions that count, and their weights in fixed point.
struct Taps {
  int width = 0;                 ///< weights reserved an output position
  std::vector<int> first, count;
  std::vector<int32_t> weights;  ///< output position x width
};

Taps taps_of(int in, int out, const Kernel& kernel) {
  const double scale = static_cast<double>(in) / out;
  const double filter_scale = std::max(scale, 1.0);
  const double support = kernel.support * filter_scale;
  const double step = 1.0 / filter_scale;
  Taps taps;
  taps.width = static_cast<int>(std::ceil(support)) * 2 + 1;
  taps.first.resize(out);
  taps.count.resize(out);
  taps.weights.assign(static_cast<size_t>(out) * taps.width, 0);
  std::vector<double> raw(taps.width);
  for (int i = 0; i < out; ++i) {
    const double centre = (i + 0.5) * scale;
    const int first = std::max(0, static_cast<int>(centre - support + 0.5));
    const int count = std::min(in, static_cast<int>(centre + support + 0.5)) - first;
    double sum = 0.0;
    for (int k = 0; k < count; ++k) {
      raw[k] = kernel.weight((k + first - centre + 0.5) * step);
      sum += raw[k];
    }
    int32_t* weights = &taps.weights[static_cast<size_t>(i) * taps.width];
    for (int k = 0; k < count; ++k) {
      const double w = (sum != 0.0 ? raw[k] / sum : raw[k]) * (1 << kFractionBits);
      weights[k] = static_cast<int32_t>(w < 0 ? w - 0.5 : w + 0.5);
    }
    taps.first[i] = first;
    taps.count[i] = count;
  }
  return taps;
}

inline uint8_t rounded(int32_t sum) { return static_cast<uint8_t>(std::clamp(sum >> kFractionBits, 0, 255)); }
constexpr int32_t kHalf = 1 << (kFractionBits - 1);

template <int channels>
void rows_pass(const Image& source, Image& target, const Taps& taps) {
  for (int y = 0; y < target.height; ++y) {
    const uint8_t* row = source.at(0, y);
    uint8_t* out = target.at(0, y);
    for (int x = 0; x < target.width; ++x, out += channels) {
      const uint8_t* in = row + static_cast<size_t>(taps.first[x]) * channels;
      const int32_t* weights = &taps.weights[static_cast<size_t>(x) * taps.width];
      int32_t sum[channels];
      for (int c = 0; c < channels; ++c) sum[c] = kHalf;
      for (int k = 0; k < taps.count[x]; ++k, in += channels) {
        for (int c = 0; c < channels; ++c) sum[c] += in[c] * weights[k];
      }
      for (int c = 0; c < channels; ++c) out[c] = rounded(sum[c]);
    }
  }
}

void columns_pass(const Image& source, Image& target, const Taps& taps) {
  const size_t row_size = static_cast<size_t>(source.width) * source.channels;
  std::vector<int32_t> sums(row_size);
  for (int y = 0; y < target.height; ++y) {
    std::fill(sums.begin(), sums.end(), kHalf);
    const int32_t* weights = &taps.weights[static_cast<size_t>(y) * taps.width];
    for (int k = 0; k < taps.count[y]; ++k) {
      const uint8_t* in = source.at(0, taps.first[y] + k);
      const int32_t w = weights[k];
      int32_t* sum = sums.data();
      for (size_t i = 0; i < row_size; ++i) sum[i] += in[i] * w;
    }
    uint8_t* out = target.at(0, y);
    for (size_t i = 0; i < row_size; ++i) out[i] = rounded(sums[i]);
  }
}

/// The input position of each output position; -1 outside. Adds up step by step, as Pillow does, rounding errors included.
std::vector<int> nearest_positions(int in, int out) {
  const double scale = static_cast<double>(in) / out;
  std::vector<int> positions(out);
  double at = scale * 0.5;
  for (int& position : positions) {
    const int i = static_cast<int>(at);
    position = i < in ? i : -1;
    at += scale;
  }
  return positions;
}

Image resize_nearest(const Image& source, int width, int height) {
  const auto xs = nearest_positions(source.width, width), ys = nearest_positions(source.height, height);
  Image result(width, height, source.channels);
  for (int y = 0; y < height; ++y) {
    if (ys[y] < 0) continue;
    for (int x = 0; x < width; ++x) {
      if (xs[x] >= 0) std::copy_n(source.at(xs[x], ys[y]), source.channels, result.at(x, y));
    }
  }
  return result;
}

}  // namespace

Image resize(const Image& source, int width, int height, Filter filter) {
  if (source.empty()) throw UsageError("resize: the image is empty; give one with at least one pixel");
  if (width < 1 || height < 1) throw UsageError("resize: {}x{} was asked for; both sides must be at least 1", width, height);
  if (width == source.width && height == source.height) return source;
  if (filter == Filter::nearest) return resize_nearest(source, width, height);

  const Kernel kernel = kernel_of(filter);
  Image wide;
  const Image* now = &source;
  if (width != source.width) {
    wide = Image(width, source.height, source.channels);
    const Taps taps = taps_of(source.width, width, kernel);
    if (source.channels == 3) {
      rows_pass<3>(source, wide, taps);
    } else {
      rows_pass<1>(source, wide, taps);
    }
    now = &wide;
  }
  if (height == source.height) return wide;
  Image result(width, height, source.channels);
  columns_pass(*now, result, taps_of(source.height, height, kernel));
  return result;
}

}  // namespace derm::image
