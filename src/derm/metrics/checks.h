#pragma once
// What every metric asks of what it is given. Not for use outside this folder.
#include <ATen/core/Tensor.h>

namespace derm::metrics {

/// [N, d] as contiguous double on the CPU.
/// @throws UsageError for another shape or below `least` rows; DataError for values that are not finite
at::Tensor checked_features(const at::Tensor& features, const char* metric, const char* which, int64_t least);
/// @throws UsageError unless both have as many columns
void check_same_width(const at::Tensor& real, const at::Tensor& fake, const char* metric);
/// [N, 3, H, W] as contiguous float on the CPU.
/// @throws UsageError for another shape or type; DataError for values that are not finite
at::Tensor checked_images(const at::Tensor& images, const char* metric, const char* range);

}  // namespace derm::metrics
