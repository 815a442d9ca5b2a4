#include "derm/nn/dense.h"

#include <torch/torch.h>

namespace derm::nn {

DenseImpl::DenseImpl(int64_t in, int64_t out) {
  weight = register_parameter("weight", torch::zeros({out, in}));
  bias = register_parameter("bias", torch::zeros({out}));
}

at::Tensor DenseImpl::forward(const at::Tensor& x) {
  return at::linear(x, weight.to(x.scalar_type()), bias.to(x.scalar_type()));
}

}  // namespace derm::nn
