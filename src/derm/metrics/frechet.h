#pragma once
// Fréchet distance between two sets of features, taken as Gaussians (Heusel et al. 2017, arXiv:1706.08500).
#include <cstdint>

#include <ATen/core/Tensor.h>

namespace derm::metrics {

/// Number, mean and covariance of features that arrive in batches: memory is d x d whatever the number of images.
/// In double, batches merged about their own means (Chan, Golub and LeVeque 1983), so that a large mean costs no
/// digits.
class FeatureMoments {
 public:
  /// @param features  [N, d], any float type; N may be 0
  /// @throws          UsageError for another width than before; DataError for values that are not finite
  void add(const at::Tensor& features);
  void merge(const FeatureMoments& other);
  int64_t count() const { return count_; }
  int64_t dimension() const { return mean_.defined() ? mean_.size(0) : 0; }
  at::Tensor mean() const;        ///< [d] double. @throws UsageError below 1 row
  at::Tensor covariance() const;  ///< [d, d] double, divided by N - 1. @throws UsageError below 2 rows

 private:
  void merge(int64_t count, const at::Tensor& mean, const at::Tensor& scatter);
  int64_t count_ = 0;
  at::Tensor mean_, scatter_;  // [d], [d, d]
};

/// |m1 - m2|^2 + Tr(S1 + S2 - 2 (S1 S2)^(1/2)), in double. The last trace is the nuclear norm of F1^T F2 where F F^T =
/// S: the same number without the square root of a matrix that is not symmetric, so it is real whatever the ranks.
/// Never negative, never NaN. Biased upwards where there are not many more rows than dimensions; not comparable between
/// different N.
/// @throws UsageError below 2 rows or for two widths; DataError for values that are not finite
double frechet_distance(const FeatureMoments& real, const FeatureMoments& fake);

/// The same from the features [N, d], [M, d] themselves: the centred rows are factors already, which makes small sets
/// quick (N = M = 200, d = 2048: some ten milliseconds).
double frechet_distance(const at::Tensor& real, const at::Tensor& fake);

/// The same from means [d] and covariances [d, d] (symmetric; negative eigenvalues of rounding count as 0).
double frechet_distance(const at::Tensor& mean_real, const at::Tensor& covariance_real, const at::Tensor& mean_fake,
                        const at::Tensor& covariance_fake);

}  // namespace derm::metrics
