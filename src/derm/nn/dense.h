#pragma once
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

namespace derm::nn {

/// Fully connected layer that follows the precision of its input. `weight` [out, in] and `bias` [out], as
/// torch.nn.Linear.
class DenseImpl : public torch::nn::Module {
 public:
  DenseImpl(int64_t in, int64_t out);
  at::Tensor forward(const at::Tensor& x);  ///< [N, in] -> [N, out]
  at::Tensor weight, bias;
};
TORCH_MODULE(Dense);

}  // namespace derm::nn
