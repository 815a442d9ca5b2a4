#include "derm/nn/spectral.h"

#include <torch/torch.h>

namespace derm::nn {
namespace {

/// [n] of norm 1.
at::Tensor unit(const at::Tensor& vector) { return vector / vector.norm().clamp_min(1e-12); }

}  // namespace

SpectralNormImpl::SpectralNormImpl(const at::Tensor& weight) {
  // Any start that is not at right angles to the largest singular vector will do, and nothing is drawn here.
  u = register_buffer("u", unit(at::arange(weight.size(0), torch::kFloat).cos()));
  v = register_buffer("v", unit(at::arange(weight[0].numel(), torch::kFloat).cos()));
}

at::Tensor SpectralNormImpl::forward(const at::Tensor& weight) {
  const at::Tensor matrix = weight.flatten(1);
  if (is_training()) {
    torch::NoGradGuard guard;
    v.copy_(unit(at::mv(matrix.t(), u)));
    u.copy_(unit(at::mv(matrix, v)));
  }
  // Copies: a graph that is gone through later must not find the vectors of the next iteration.
  return weight / at::dot(u.clone(), at::mv(matrix, v.clone()));
}

}  // namespace derm::nn
