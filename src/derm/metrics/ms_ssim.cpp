#include "derm/metrics/ms_ssim.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/metrics/checks.h"
#include "derm/metrics/pair_mean.h"

namespace derm::metrics {
namespace {

constexpr const char* kWhere = "MS-SSIM";
constexpr std::array<double, 5> kWeights = {0.0448, 0.2856, 0.3001, 0.2363, 0.1333};
constexpr int64_t kWindow = 11, kLarger = 256;
constexpr double kSigma = 1.5, kRange = 255.0, kC1 = 0.01 * 0.01 * kRange * kRange, kC2 = 0.03 * 0.03 * kRange * kRange;

/// Gaussian means over the window, without padding, each channel by itself: two passes. [N, 3, H - 10, W - 10]
at::Tensor local_mean(const at::Tensor& x) {
  static const at::Tensor line = [] {
    at::Tensor t = at::empty({kWindow}, at::kDouble);
    for (int64_t i = 0; i < kWindow; ++i) {
      const double d = static_cast<double>(i - kWindow / 2);
      t[i] = std::exp(-d * d / (2 * kSigma * kSigma));
    }
    return t / t.sum();
  }();
  at::Tensor across = at::zeros({x.size(0), x.size(1), x.size(2), x.size(3) - kWindow + 1}, x.options());
  const double* w = line.data_ptr<double>();
  for (int64_t k = 0; k < kWindow; ++k) across.add_(x.slice(3, k, k + across.size(3)), w[k]);
  at::Tensor out = at::zeros({x.size(0), x.size(1), x.size(2) - kWindow + 1, across.size(3)}, x.options());
  for (int64_t k = 0; k < kWindow; ++k) out.add_(across.slice(2, k, k + out.size(2)), w[k]);
  return out;
}

/// Averages of 2 x 2; an odd edge is doubled first.
at::Tensor halved(const at::Tensor& x) {
  const at::Tensor even =
      x.size(2) % 2 || x.size(3) % 2 ? at::replication_pad2d(x, {0, x.size(3) % 2, 0, x.size(2) % 2}) : x;
  return at::avg_pool2d(even, {2, 2});
}

at::Tensor to_double(const at::Tensor& images) {
  return checked_images(images, kWhere, "[-1, 1]").to(at::kDouble).add(1).mul(kRange / 2);
}

}  // namespace

at::Tensor ms_ssim(const at::Tensor& a, const at::Tensor& b) {
  const torch::NoGradGuard no_grad;
  at::Tensor x = to_double(a), y = to_double(b);
  if (x.sizes() != y.sizes())
    throw UsageError("{}: the images are [{}] and [{}]; both must have one shape", kWhere, fmt::join(x.sizes(), ", "),
                     fmt::join(y.sizes(), ", "));
  if (std::min(x.size(2), x.size(3)) < kMsSsimSide)
    throw UsageError("{}: images are {} x {}, at least {} px a side are needed; make them larger first", kWhere,
                     x.size(3), x.size(2), kMsSsimSide);
  at::Tensor product = at::ones({x.size(0), 3}, at::kDouble);
  for (size_t scale = 0; scale < kWeights.size(); ++scale) {
    const at::Tensor mx = local_mean(x), my = local_mean(y);
    const at::Tensor vx = local_mean(x * x) - mx * mx, vy = local_mean(y * y) - my * my,
                     c = local_mean(x * y) - mx * my;
    const at::Tensor contrast = (2 * c + kC2) / (vx + vy + kC2);
    const bool last = scale + 1 == kWeights.size();
    const at::Tensor term = last ? contrast * (2 * mx * my + kC1) / (mx * mx + my * my + kC1) : contrast;
    product.mul_(term.mean({2, 3}).clamp_min(0).pow(kWeights[scale]));
    if (!last) {
      x = halved(x);
      y = halved(y);
    }
  }
  return product.mean(1);
}

PairDiversity ms_ssim_diversity(const at::Tensor& images, const std::vector<std::pair<int64_t, int64_t>>& pairs) {
  const at::Tensor x = checked_images(images, kWhere, "[-1, 1]");
  const bool small = std::min(x.size(2), x.size(3)) < kMsSsimSide;
  PairDiversity result = mean_over_pairs(x, pairs, kWhere, [&](const at::Tensor& a, const at::Tensor& b) {
    const auto sized = [&](const at::Tensor& t) {
      return small ? at::upsample_bilinear2d(t, {kLarger, kLarger}, /*align_corners=*/false) : t;
    };
    return ms_ssim(sized(a), sized(b));
  });
  result.upsampled = small;
  return result;
}

}  // namespace derm::metrics
