#include "derm/metrics/resize.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/metrics/checks.h"

namespace derm::metrics {
namespace {

/// Cubic convolution with a = -0.5 (Keys 1981).
double cubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

/// For every target position: the first source position, and the weights from there on.
struct Taps {
  std::vector<int64_t> first;
  std::vector<std::vector<double>> weights;
};

/// Where the target is smaller the kernel is stretched over the source: that is the antialiasing. Order of operations
/// and rounding of the bounds are Pillow's.
Taps taps_of(int64_t from, int64_t to) {
  const double scale = static_cast<double>(from) / static_cast<double>(to), stretch = std::max(scale, 1.0);
  const double support = 2.0 * stretch;
  Taps taps;
  for (int64_t i = 0; i < to; ++i) {
    const double centre = (static_cast<double>(i) + 0.5) * scale;
    const auto low = std::max<int64_t>(static_cast<int64_t>(centre - support + 0.5), 0);
    const auto high = std::min<int64_t>(static_cast<int64_t>(centre + support + 0.5), from);
    std::vector<double> w;
    double sum = 0;
    for (int64_t j = low; j < high; ++j) {
      w.push_back(cubic((static_cast<double>(j) - centre + 0.5) / stretch));
      sum += w.back();
    }
    for (double& v : w) v /= sum;
    taps.first.push_back(low);
    taps.weights.push_back(std::move(w));
  }
  return taps;
}

/// @param source  [height, width]; @return nothing, writes [height, taps] (sums in double, as Pillow has them)
void rows(const float* source, int64_t height, int64_t width, const Taps& taps, float* target) {
  const auto to = static_cast<int64_t>(taps.first.size());
  for (int64_t y = 0; y < height; ++y) {
    const float* line = source + y * width;
    for (int64_t i = 0; i < to; ++i) {
      const auto& w = taps.weights[static_cast<size_t>(i)];
      const float* from = line + taps.first[static_cast<size_t>(i)];
      double sum = 0;
      for (size_t k = 0; k < w.size(); ++k) sum += static_cast<double>(from[k]) * w[k];
      target[y * to + i] = static_cast<float>(sum);
    }
  }
}

void columns(const float* source, int64_t width, const Taps& taps, float* target) {
  std::vector<double> sums(static_cast<size_t>(width));
  for (size_t i = 0; i < taps.first.size(); ++i) {
    std::fill(sums.begin(), sums.end(), 0.0);
    const auto& w = taps.weights[i];
    for (size_t k = 0; k < w.size(); ++k) {
      const float* line = source + (taps.first[i] + static_cast<int64_t>(k)) * width;
      for (int64_t x = 0; x < width; ++x) sums[static_cast<size_t>(x)] += static_cast<double>(line[x]) * w[k];
    }
    for (int64_t x = 0; x < width; ++x)
      target[static_cast<int64_t>(i) * width + x] = static_cast<float>(sums[static_cast<size_t>(x)]);
  }
}

at::Tensor bytes_or_floats(const at::Tensor& images, const char* where) {
  if (images.defined() && images.scalar_type() != at::kByte && !images.is_floating_point())
    throw UsageError("{}: images are bytes or floats in 0..255, not {}", where, c10::toString(images.scalar_type()));
  return checked_images(images, where, "0..255");
}

void check_side(int64_t side, const char* where) {
  if (side < 1 || side > 4096)
    throw UsageError("{}: the side {} is out of range; it is from 1 to 4096 px", where, side);
}

}  // namespace

at::Tensor resize_bicubic(const at::Tensor& planes, int64_t height, int64_t width) {
  if (!planes.defined() || planes.dim() < 2 || planes.scalar_type() != at::kFloat || planes.size(-1) < 1 ||
      planes.size(-2) < 1)
    throw UsageError("resize_bicubic: planes must be [..., H, W] float with at least a pixel");
  check_side(height, "resize_bicubic");
  check_side(width, "resize_bicubic");
  const torch::NoGradGuard no_grad;
  const int64_t from_h = planes.size(-2), from_w = planes.size(-1);
  const at::Tensor source = planes.detach().to(at::kCPU).contiguous().view({-1, from_h, from_w});
  at::Tensor target = at::empty({source.size(0), height, width}, source.options());
  const Taps across = taps_of(from_w, width), down = taps_of(from_h, height);
  const float* in = source.data_ptr<float>();
  float* out = target.data_ptr<float>();
  at::parallel_for(0, source.size(0), 1, [&](int64_t begin, int64_t end) {
    std::vector<float> between(static_cast<size_t>(from_h * width));
    for (int64_t p = begin; p < end; ++p) {
      // A pass that changes nothing is left out, as Pillow does.
      const float* plane = in + p * from_h * from_w;
      if (from_w != width) {
        rows(plane, from_h, from_w, across, between.data());
        plane = between.data();
      }
      if (from_h != height) {
        columns(plane, width, down, out + p * height * width);
      } else {
        std::copy(plane, plane + height * width, out + p * height * width);
      }
    }
  });
  std::vector<int64_t> shape = planes.sizes().vec();
  shape[shape.size() - 2] = height;
  shape[shape.size() - 1] = width;
  return target.view(shape);
}

at::Tensor resize_clean(const at::Tensor& images, int64_t side) {
  check_side(side, "resize_clean");
  const torch::NoGradGuard no_grad;
  const at::Tensor x = bytes_or_floats(images, "resize_clean");
  return resize_bicubic(x, side, side).clamp_(0, 255).sub_(128).div_(128);
}

at::Tensor resize_legacy(const at::Tensor& images, int64_t side) {
  check_side(side, "resize_legacy");
  const torch::NoGradGuard no_grad;
  const at::Tensor x = bytes_or_floats(images, "resize_legacy") / 255;
  return at::upsample_bilinear2d(x, {side, side}, /*align_corners=*/false).mul_(2).sub_(1);
}

}  // namespace derm::metrics
