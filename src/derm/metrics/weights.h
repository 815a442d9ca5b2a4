#pragma once
// A weights file against what a network expects. Not for use outside this folder.
#include <map>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace derm::metrics {

struct ExpectedTensor {
  std::string name;
  std::vector<int64_t> shape;
  bool required = true;  ///< an optional one may be missing, not differently shaped
};

/// Everything in fp32 afterwards.
/// @throws DataError listing every missing, unexpected and differently shaped tensor together (the first ten of each),
///         or naming a tensor that is not of floats or not finite
void check_weights(std::map<std::string, at::Tensor>& tensors, const std::vector<ExpectedTensor>& expected,
                   const std::string& where, const std::string& network);

}  // namespace derm::metrics
