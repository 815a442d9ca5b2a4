#pragma once
// What goes into a network and what it is compared with.
#include <vector>

#include <ATen/core/Tensor.h>

namespace derm::tensor {

/// What a generator is told. Undefined where a recipe does not use it.
struct Inputs {
  at::Tensor latent;  ///< [N, Z] standard normal
  at::Tensor label;   ///< [N] int64, index of the condition
  at::Tensor map;     ///< [N, C, H, W] semantic map
};

/// Real images and the inputs that describe them.
struct Batch {
  at::Tensor image;   ///< [N, 3, H, W] in [-1, 1]
  at::Tensor region;  ///< [N, 1, H, W] coverage of the lesion regions, 0 to 1
  Inputs inputs;
  std::vector<int64_t> rows;  ///< which records
};

}  // namespace derm::tensor
