#include "derm/metrics/histogram.h"

#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/metrics/checks.h"

namespace derm::metrics {
namespace {

constexpr const char* kWhere = "colour histogram";
constexpr int64_t kBins = 256;

/// Sum of p ln(p / q) where p is not 0.
at::Tensor relative_entropy(const at::Tensor& p, const at::Tensor& q) {
  return at::where(p > 0, p * (p / q.clamp_min(1e-300)).clamp_min(1e-300).log(), at::zeros_like(p)).sum(1);
}

}  // namespace

void ColourHistogram::add(const at::Tensor& images) {
  const torch::NoGradGuard no_grad;
  const at::Tensor x = checked_images(images, kWhere, "[-1, 1]");
  const at::Tensor values = x.add(1).mul_(127.5).round_().clamp_(0, 255).to(at::kLong);
  if (!counts_.defined()) counts_ = at::zeros({3, kBins}, at::kLong);
  for (int64_t c = 0; c < 3; ++c) counts_[c].add_(at::bincount(values.select(1, c).reshape({-1}), {}, kBins));
}

at::Tensor ColourHistogram::shares() const {
  const double pixels = counts_.defined() ? static_cast<double>(counts_[0].sum().item<int64_t>()) : 0;
  if (pixels == 0) throw UsageError("{}: there is no image, at least 1 is needed", kWhere);
  return counts_.to(at::kDouble) / pixels;
}

HistogramDistance distance_of_shares(const at::Tensor& real, const at::Tensor& fake) {
  const torch::NoGradGuard no_grad;
  const at::Tensor &p = real, &q = fake, m = (p + q) / 2;
  HistogramDistance result;
  result.jensen_shannon = std::max(0.0, ((relative_entropy(p, m) + relative_entropy(q, m)) / 2).mean().item<double>());
  // On a line: the area between the two cumulative shares.
  result.wasserstein = ((p - q).cumsum(1).abs().sum(1) / static_cast<double>(kBins - 1)).mean().item<double>();
  return result;
}

HistogramDistance histogram_distance(const ColourHistogram& real, const ColourHistogram& fake) {
  return distance_of_shares(real.shares(), fake.shares());
}

HistogramDistance histogram_distance(const at::Tensor& real_images, const at::Tensor& fake_images) {
  ColourHistogram real, fake;
  real.add(real_images);
  fake.add(fake_images);
  return histogram_distance(real, fake);
}

}  // namespace derm::metrics
