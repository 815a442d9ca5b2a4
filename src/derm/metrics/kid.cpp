#include "derm/metrics/kid.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "derm/base/error.h"
#include "derm/base/random.h"
#include "derm/metrics/checks.h"

namespace derm::metrics {
namespace {

/// (x.y / d + 1)^3 for every pair of rows.
at::Tensor kernel(const at::Tensor& x, const at::Tensor& y) {
  return (at::matmul(x, y.t()) / static_cast<double>(x.size(1)) + 1.0).pow(3);
}

/// Sum over all pairs of rows, a block of rows at a time: all at once would take N x M doubles, and several times.
double kernel_sum(const at::Tensor& x, const at::Tensor& y) {
  constexpr int64_t kBlock = 1024;
  double sum = 0;
  for (int64_t begin = 0; begin < x.size(0); begin += kBlock)
    sum += kernel(x.narrow(0, begin, std::min(kBlock, x.size(0) - begin)), y).sum().item<double>();
  return sum;
}

/// Mean over the pairs of different rows.
double mean_off_diagonal(const at::Tensor& x) {
  const double n = static_cast<double>(x.size(0));
  const double diagonal = (x.square().sum(1) / static_cast<double>(x.size(1)) + 1.0).pow(3).sum().item<double>();
  return (kernel_sum(x, x) - diagonal) / (n * (n - 1.0));
}

constexpr const char* kWhere = "kernel distance";

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
  const double pairs = static_cast<double>(x.size(0)) * static_cast<double>(y.size(0));
  return mean_off_diagonal(x) + mean_off_diagonal(y) - 2.0 * kernel_sum(x, y) / pairs;
}

}  // namespace

double polynomial_mmd2(const at::Tensor& real, const at::Tensor& fake) {
  const torch::NoGradGuard no_grad;
  const at::Tensor x = checked_features(real, kWhere, "real", 2), y = checked_features(fake, kWhere, "fake", 2);
  check_same_width(x, y, kWhere);
  return unbiased_mmd2(x, y);
}

std::vector<KidSubset> kernel_subsets(int64_t real_rows, int64_t fake_rows, int64_t subsets, uint64_t seed) {
  if (std::min(real_rows, fake_rows) < 4)
    throw UsageError("kernel distance: the sets have {} and {} images, at least 4 are needed; use more images",
                     real_rows, fake_rows);
  if (subsets < 1) throw UsageError("kernel distance: {} subsets were asked for, at least 1 is needed", subsets);
  const int64_t size = std::min<int64_t>(1000, std::min(real_rows, fake_rows) / 2);
  Rng rng(seed);
  std::vector<KidSubset> out;
  for (int64_t i = 0; i < subsets; ++i) {
    KidSubset subset;
    subset.real = draw(rng, real_rows, size);
    subset.fake = draw(rng, fake_rows, size);
    out.push_back(subset);
  }
  return out;
}

Kid kernel_distance(const at::Tensor& real, const at::Tensor& fake, int64_t subsets, uint64_t seed) {
  const torch::NoGradGuard no_grad;
  const at::Tensor x = checked_features(real, kWhere, "real", 4), y = checked_features(fake, kWhere, "fake", 4);
  check_same_width(x, y, kWhere);
  Kid result;
  result.subsets = subsets;
  std::vector<double> values;
  for (const KidSubset& subset : kernel_subsets(x.size(0), y.size(0), subsets, seed)) {
    result.subset_size = subset.real.size(0);
    values.push_back(unbiased_mmd2(x.index_select(0, subset.real), y.index_select(0, subset.fake)));
  }
  for (const double v : values) result.mean += v / static_cast<double>(subsets);
  double squares = 0;
  for (const double v : values) squares += (v - result.mean) * (v - result.mean);
  result.deviation = std::sqrt(squares / static_cast<double>(subsets));
  return result;
}

}  // namespace derm::metrics
