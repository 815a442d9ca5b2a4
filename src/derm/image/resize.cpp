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
    case Filter::bilinear: return {1.0, [](double x) { return std::max(0.0, 1.0 - std::fabs(x)); }};
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
    default: return {3.0, [](double x) { return x >= -3.0 && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0; }};
  }
}

/// For each output position the input positions that count, and their weights in fixed point.
struct Taps {
  int width = 0;  ///< weights reserved an output position
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

constexpr int32_t kHalf = 1 << (kFractionBits - 1);

/// Each output row is a weighted sum of input rows. Blocks of a row stay in registers while their sum is made.
[[gnu::always_inline]] inline void sum_rows(const uint8_t* in, uint8_t* out, size_t row_size, const Taps& taps) {
  constexpr size_t kBlock = 32;
  const size_t whole = row_size - row_size % kBlock;
  const int rows = static_cast<int>(taps.first.size());
  for (int y = 0; y < rows; ++y, out += row_size) {
    const uint8_t* top = in + taps.first[y] * row_size;
    const int32_t* weights = &taps.weights[static_cast<size_t>(y) * taps.width];
    const int count = taps.count[y];
    const auto sum = [&](size_t at, size_t size) {
      int32_t sums[kBlock];
      for (size_t i = 0; i < size; ++i) sums[i] = kHalf;
      const uint8_t* row = top + at;
      for (int k = 0; k < count; ++k, row += row_size) {
        const int32_t w = weights[k];
        for (size_t i = 0; i < size; ++i) sums[i] += row[i] * w;
      }
      for (size_t i = 0; i < size; ++i)
        out[at + i] = static_cast<uint8_t>(std::clamp(sums[i] >> kFractionBits, 0, 255));
    };
    for (size_t at = 0; at < whole; at += kBlock) sum(at, kBlock);
    if (whole < row_size) sum(whole, row_size - whole);
  }
}

// 32 bit products need AVX2 (or SSE4.1) to be quick, and the build is for any x86-64: the machine is asked. The
// arithmetic is in integers, so both give the same bytes.
#if defined(__x86_64__) && defined(__GNUC__)
[[gnu::target("avx2")]] void sum_rows_avx2(const uint8_t* in, uint8_t* out, size_t row_size, const Taps& taps) {
  sum_rows(in, out, row_size, taps);
}
bool has_avx2() {
  static const bool has = __builtin_cpu_supports("avx2");
  return has;
}
#else
void sum_rows_avx2(const uint8_t*, uint8_t*, size_t, const Taps&) {}
bool has_avx2() { return false; }
#endif

Image resize_height(const Image& source, int height, const Kernel& kernel) {
  Image result(source.width, height, source.channels);
  const Taps taps = taps_of(source.height, height, kernel);
  const size_t row_size = static_cast<size_t>(source.width) * source.channels;
  if (has_avx2()) {
    sum_rows_avx2(source.pixels.data(), result.pixels.data(), row_size, taps);
  } else {
    sum_rows(source.pixels.data(), result.pixels.data(), row_size, taps);
  }
  return result;
}

/// Rows become columns, in tiles that fit the cache.
template <int channels>
void transpose_into(const Image& source, Image& target) {
  constexpr int kTile = 32;
  for (int top = 0; top < source.height; top += kTile) {
    for (int left = 0; left < source.width; left += kTile) {
      const int bottom = std::min(top + kTile, source.height), right = std::min(left + kTile, source.width);
      for (int x = left; x < right; ++x) {
        for (int y = top; y < bottom; ++y) {
          const uint8_t* from = source.at(x, y);
          uint8_t* to = target.at(y, x);
          for (int c = 0; c < channels; ++c) to[c] = from[c];
        }
      }
    }
  }
}

Image transposed(const Image& source) {
  Image result(source.height, source.width, source.channels);
  source.channels == 3 ? transpose_into<3>(source, result) : transpose_into<1>(source, result);
  return result;
}

/// The input position of each output position; -1 outside. Adds up step by step, as Pillow does, rounding errors
/// included.
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
  if (width < 1 || height < 1)
    throw UsageError("resize: {}x{} was asked for; both sides must be at least 1", width, height);
  if (width == source.width && height == source.height) return source;
  if (filter == Filter::nearest) return resize_nearest(source, width, height);

  const Kernel kernel = kernel_of(filter);
  // Width first, as Pillow: the rounding in between shows. Columns sum as rows do once the image lies on its side.
  if (width == source.width) return resize_height(source, height, kernel);
  const Image wide = transposed(resize_height(transposed(source), width, kernel));
  return height == source.height ? wide : resize_height(wide, height, kernel);
}

}  // namespace derm::image
