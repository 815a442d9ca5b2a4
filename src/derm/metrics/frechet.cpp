#include "derm/metrics/frechet.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/metrics/checks.h"

namespace derm::metrics {
namespace {

constexpr const char* kWhere = "Fréchet distance";

[[noreturn]] void too_large() {
  throw DataError("{}: the features are too large to be squared; look at the extractor's weights", kWhere);
}

/// F [d, r] with F F^T = S and r the numerical rank: eigenvalues that rounding alone could have made count as 0.
at::Tensor factor_of(const at::Tensor& covariance) {
  const auto [values, vectors] = at::linalg_eigh((covariance + covariance.t()) * 0.5, "L");
  const double largest = std::max(values.max().item<double>(), 0.0);
  const double least = largest * static_cast<double>(values.size(0)) * std::numeric_limits<double>::epsilon();
  const int64_t rank = (values > least).sum().item<int64_t>();
  const int64_t from = values.size(0) - rank;  // they come in ascending order
  return vectors.narrow(1, from, rank) * values.narrow(0, from, rank).sqrt().unsqueeze(0);
}

/// Tr (S1 S2)^(1/2) for S = F F^T: the sum of the singular values of F1^T F2.
double cross_trace(const at::Tensor& f1, const at::Tensor& f2) {
  const at::Tensor product = at::matmul(f1.t(), f2);
  return product.numel() == 0 ? 0.0 : at::linalg_svdvals(product).sum().item<double>();
}

double distance(const at::Tensor& m1, double trace1, const at::Tensor& f1, const at::Tensor& m2, double trace2,
                const at::Tensor& f2) {
  const double value = (m1 - m2).square().sum().item<double>() + trace1 + trace2 - 2 * cross_trace(f1, f2);
  if (!std::isfinite(value)) too_large();
  return std::max(value, 0.0);  // only rounding makes it negative
}

/// Mean, trace of the covariance, and a factor of it with as few columns as can be had cheaply.
struct Gaussian {
  at::Tensor mean, factor;
  double trace = 0;
};

Gaussian gaussian_of(const at::Tensor& features) {
  Gaussian g;
  g.mean = features.mean(0);
  const at::Tensor rows = (features - g.mean) / std::sqrt(static_cast<double>(features.size(0) - 1));
  g.trace = rows.square().sum().item<double>();
  if (!std::isfinite(g.trace)) too_large();
  g.factor = features.size(0) <= features.size(1) ? rows.t() : factor_of(at::matmul(rows.t(), rows));
  return g;
}

}  // namespace

void FeatureMoments::merge(int64_t count, const at::Tensor& mean, const at::Tensor& scatter) {
  if (count == 0) return;
  if (count_ == 0) {
    count_ = count;
    mean_ = mean.clone();
    scatter_ = scatter.clone();
    return;
  }
  if (mean.size(0) != mean_.size(0))
    throw UsageError("{}: features have {} columns, those before had {}; all must come from one extractor", kWhere,
                     mean.size(0), mean_.size(0));
  const double a = static_cast<double>(count_), b = static_cast<double>(count);
  const at::Tensor step = mean - mean_;
  scatter_.add_(scatter);
  scatter_.addr_(step, step, 1.0, a * b / (a + b));
  mean_.add_(step, b / (a + b));
  count_ += count;
}

void FeatureMoments::add(const at::Tensor& features) {
  const torch::NoGradGuard no_grad;
  const at::Tensor x = checked_features(features, kWhere, "added", 0);
  if (x.size(0) == 0) return;
  const at::Tensor mean = x.mean(0), centred = x - mean;
  merge(x.size(0), mean, at::matmul(centred.t(), centred));
}

void FeatureMoments::merge(const FeatureMoments& other) {
  const torch::NoGradGuard no_grad;
  // A copy: a set may be merged with itself.
  const FeatureMoments from = other;
  if (from.count_) merge(from.count_, from.mean_.clone(), from.scatter_.clone());
}

at::Tensor FeatureMoments::mean() const {
  if (count_ < 1) throw UsageError("{}: there is no image; at least 1 is needed for a mean", kWhere);
  return mean_.clone();
}

at::Tensor FeatureMoments::covariance() const {
  if (count_ < 2) throw UsageError("{}: {} images; at least 2 are needed for a covariance", kWhere, count_);
  return scatter_ / static_cast<double>(count_ - 1);
}

double frechet_distance(const FeatureMoments& real, const FeatureMoments& fake) {
  return frechet_distance(real.mean(), real.covariance(), fake.mean(), fake.covariance());
}

double frechet_distance(const at::Tensor& real, const at::Tensor& fake) {
  const torch::NoGradGuard no_grad;
  const at::Tensor x = checked_features(real, kWhere, "real", 2), y = checked_features(fake, kWhere, "fake", 2);
  check_same_width(x, y, kWhere);
  const Gaussian a = gaussian_of(x), b = gaussian_of(y);
  return distance(a.mean, a.trace, a.factor, b.mean, b.trace, b.factor);
}

double frechet_distance(const at::Tensor& mean_real, const at::Tensor& covariance_real, const at::Tensor& mean_fake,
                        const at::Tensor& covariance_fake) {
  const torch::NoGradGuard no_grad;
  const at::Tensor given[] = {mean_real, covariance_real, mean_fake, covariance_fake};
  at::Tensor t[4];
  for (int i = 0; i < 4; ++i) {
    if (!given[i].defined() || given[i].dim() != (i % 2 ? 2 : 1))
      throw UsageError("{}: means must be [d] and covariances [d, d]", kWhere);
    t[i] = given[i].detach().to(at::kCPU, at::kDouble);
    if (!torch::isfinite(t[i]).all().item<bool>())
      throw DataError("{}: a mean or covariance is not finite; look at the features that it came from", kWhere);
  }
  const int64_t d = t[0].size(0);
  for (int i = 0; i < 4; ++i) {
    if (t[i].size(0) != d || (i % 2 && t[i].size(1) != d))
      throw UsageError("{}: means and covariances are of {} and {} dimensions; both must come from one extractor",
                       kWhere, d, t[i].size(i % 2 && t[i].size(0) == d ? 1 : 0));
  }
  return distance(t[0], t[1].trace().item<double>(), factor_of(t[1]), t[2], t[3].trace().item<double>(),
                  factor_of(t[3]));
}

}  // namespace derm::metrics
