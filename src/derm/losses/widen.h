#pragma once
// Half precision is too coarse for sums over a whole image.
#include <ATen/core/Tensor.h>

namespace derm::losses {

/// fp16 and bf16 as fp32; any other type as it is.
inline at::Tensor widen(const at::Tensor& t) {
  return t.scalar_type() == at::kHalf || t.scalar_type() == at::kBFloat16 ? t.to(at::kFloat) : t;
}

}  // namespace derm::losses
