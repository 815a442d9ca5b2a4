#pragma once
// Kernel inception distance (Binkowski et al. 2018, arXiv:1801.01401).
#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

namespace derm::metrics {

struct Kid {
  double mean = 0, deviation = 0;  ///< over subsets
  int64_t subsets = 0, subset_size = 0;
};

/// Unbiased MMD^2 with k = (x.y / d + 1)^3 over `subsets` random subsets of min(1000, N / 2).
/// @param real, fake  [N, d], [M, d] features, computed in double
/// @throws UsageError below 4 rows or for two widths; DataError for values that are not finite
Kid kernel_distance(const at::Tensor& real, const at::Tensor& fake, int64_t subsets = 100, uint64_t seed = 0);

/// The rows that kernel_distance compares, so that another program can compute the same number.
struct KidSubset {
  at::Tensor real, fake;  ///< [subset_size] int64 each
};
std::vector<KidSubset> kernel_subsets(int64_t real_rows, int64_t fake_rows, int64_t subsets = 100, uint64_t seed = 0);

/// One unbiased MMD^2 over all rows. Of a set with itself it is not 0 but 2 (S - T) / (n (n - 1)) - 2 S / n^2, S the
/// sum of the kernel matrix and T its trace: slightly negative.
double polynomial_mmd2(const at::Tensor& real, const at::Tensor& fake);

}  // namespace derm::metrics
