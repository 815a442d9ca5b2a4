#include "derm/metrics/kid.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "derm/base/error.h"
#include "derm/base/random.h"

namespace derm::metrics {
namespace {

/// (x.y / d + 1)^3 for every pair of rows.
at::Tensor kernel(const at::Tensor& x, const at::Tensor& y) {
  return (at::matmul(x, y.t()) / static_cast<double>(x.size(1)) + 1.0).pow(3);
}

/// Mean over the pairs of different rows.
double mean_off_diagonal(const at::Tensor& k) {
  const double n = static_cast<double>(k.size(0));
  return (k.sum() - k.diagonal().sum()).item<double>() / (n * (n - 1.0));
}

at::Tensor checked(const at::Tensor& features, const char* which, int64_t least) {
  if (!features.defined() || features.dim() != 2 || features.size(0) < least) {
    throw UsageError(
        "kernel distance: the {} features are {} rows, at least {} rows of [N, d] are needed; use more images", which,
        features.defined() && features.dim() == 2 ? features.size(0) : 0, least);
  }
  return features.detach().to(at::kCPU, at::kDouble).contiguous();
}

void check_width(const at::Tensor& real, const at::Tensor& fake) {
  if (real.size(1) != fake.size(1)) {
    throw UsageError(
        "kernel distance: the real features have {} columns, the fake ones {}; both must come from one extractor",
        real.size(1), fake.size(1));
  }
}

/// The first `count` of a random permutation.
at::Tensor draw(Rng& rng, int64_t rows, int64_t count) {
  std::vector<int64_t> order(static_cast<size_t>(rows));
  std::iota(order.begin(), order.end(), int64_t{0});
  for (int64_t i = 0; i < count; ++i)
    std::swap(order[static_cast<size_t>(i)], order[static_cast<size_t>(rng.integer(i, rows - 1))]);
  order.resize(static_cast<size_t>(count));
  return torch::tensor(order, at::kLong);
}

double unbiased_mmd2(const at::Tensor& x, const at::Tensor& y) {
  return mean_off_diagonal(kernel(x, x)) + mean_off_diagonal(kernel(y, y)) - 2.0 * kernel(x, y).mean().item<double>();
}

}  // namespace

double polynomial_mmd2(const at::Tensor& real, const at::Tensor& fake) {
  const torch::NoGradGuard no_grad;
  const at::Tensor x = checked(real, "real", 2), y = checked(fake, "fake", 2);
  check_width(x, y);
  return unbiased_mmd2(x, y);
}

Kid kernel_distance(const at::Tensor& real, const at::Tensor& fake, int64_t subsets, uint64_t seed) {
  const torch::NoGradGuard no_grad;
  const at::Tensor x = checked(real, "real", 4), y = checked(fake, "fake", 4);
  check_width(x, y);
  if (subsets < 1) throw UsageError("kernel distance: {} subsets were asked for, at least 1 is needed", subsets);
  Kid result;
  result.subsets = subsets;
  result.subset_size = std::min<int64_t>(1000, std::min(x.size(0), y.size(0)) / 2);
  Rng rng(seed);
  std::vector<double> values;
  for (int64_t i = 0; i < subsets; ++i) {
    const at::Tensor rows = draw(rng, x.size(0), result.subset_size);
    const at::Tensor columns = draw(rng, y.size(0), result.subset_size);
    values.push_back(unbiased_mmd2(x.index_select(0, rows), y.index_select(0, columns)));
  }
  for (const double v : values) result.mean += v / static_cast<double>(subsets);
  double squares = 0;
  for (const double v : values) squares += (v - result.mean) * (v - result.mean);
  result.deviation = std::sqrt(squares / static_cast<double>(subsets));
  return result;
}

}  // namespace derm::metrics
