#pragma once
// Kernel inception distance (Binkowski et al. 2018, arXiv:1801.01401).
#include <cstdint>

#include <ATen/core/Tensor.h>

namespace derm::metrics {

struct Kid {
  double mean = 0, deviation = 0;  ///< over subsets
  int64_t subsets = 0, subset_size = 0;
};

/// Unbiased MMD^2 with k = (x.y / d + 1)^3 over `subsets` random subsets of min(1000, N / 2).
/// @param real, fake  [N, d], [M, d] features, computed in double
/// @throws UsageError below 4 rows
Kid kernel_distance(const at::Tensor& real, const at::Tensor& fake, int64_t subsets = 100, uint64_t seed = 0);

/// One unbiased MMD^2 over all rows.
double polynomial_mmd2(const at::Tensor& real, const at::Tensor& fake);

}  // namespace derm::metrics
