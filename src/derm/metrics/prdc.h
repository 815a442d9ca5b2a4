#pragma once
// Does every made image lie among the real ones, and every real one among the made?
#include <cstdint>

#include <ATen/core/Tensor.h>

namespace derm::metrics {

/// Precision and recall: Kynkaanniemi et al. 2019 (arXiv:1904.06991), closed balls to the k-th neighbour.
/// Density and coverage: Naeem et al. 2020 (arXiv:2002.09797), open balls, as their code has it: a set against itself
/// has density 1.
struct Prdc {
  double precision = 0;  ///< share of fake rows inside some real row's ball
  double recall = 0;     ///< share of real rows inside some fake row's ball
  double density = 0;    ///< real balls that a fake row lies in, over k, averaged; may exceed 1
  double coverage = 0;   ///< share of real balls with a fake row inside
};

/// Euclidean distances in double, a block of rows at a time: memory grows with N, not with N^2.
/// Ties are decided by exact equality of the distances up to rounding (1e-12 of the squared norms).
/// @param real, fake  [N, d], [M, d] features
/// @param k_manifold  neighbours of precision and recall
/// @param k_density   neighbours of density and coverage
/// @throws UsageError if a set has no more rows than neighbours, or for two widths; DataError for values that are not
///         finite
Prdc precision_recall_density_coverage(const at::Tensor& real, const at::Tensor& fake, int64_t k_manifold = 3,
                                       int64_t k_density = 5);

}  // namespace derm::metrics
