#pragma once
// Inception Score (Salimans et al. 2016, arXiv:1606.03498).
#include <cstdint>

#include <ATen/core/Tensor.h>

namespace derm::metrics {

struct InceptionScore {
  double mean = 0, deviation = 0;  ///< over splits (population deviation, as published)
  int64_t splits = 0;
};

/// exp of the mean Kullback-Leibler divergence of p(y|x) from p(y), for `splits` consecutive parts of nearly equal
/// size, natural logarithm, in double. From 1 to the number of classes.
/// @param logits  [N, C] class scores before the softmax (the published score: without the last layer's bias)
/// @throws UsageError if N < 2 splits; DataError for values that are not finite
InceptionScore inception_score(const at::Tensor& logits, int64_t splits = 10);

}  // namespace derm::metrics
