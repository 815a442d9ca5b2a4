#pragma once
// The mean of a measure over pairs of images, in batches. Not for use outside this folder.
#include <functional>

#include <ATen/core/Tensor.h>

#include "derm/metrics/pairs.h"

namespace derm::metrics {

/// @param measure  [B, 3, H, W] twice to [B]
/// @throws UsageError for no pairs, or a pair that names an image outside the set
PairDiversity mean_over_pairs(const at::Tensor& images, const std::vector<std::pair<int64_t, int64_t>>& pairs,
                              const char* metric,
                              const std::function<at::Tensor(const at::Tensor&, const at::Tensor&)>& measure);

}  // namespace derm::metrics
