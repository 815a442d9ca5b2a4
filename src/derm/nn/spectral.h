#pragma once
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

namespace derm::nn {

/// Spectral normalisation (Miyato et al. 2018, arXiv:1802.05957): a layer's weights over their largest singular value,
/// by one power iteration each time they are used in training, as torch.nn.utils.spectral_norm counts it. The two
/// vectors are the buffers `u` [out] and `v` [in k k].
class SpectralNormImpl : public torch::nn::Module {
 public:
  /// @param weight  of the layer: its sizes are all that counts
  explicit SpectralNormImpl(const at::Tensor& weight);
  /// @param weight  [out, ...]
  /// @return        the same shape; the matrix [out, rest] has norm 1 once the iterations have settled
  at::Tensor forward(const at::Tensor& weight);
  at::Tensor u, v;
};
TORCH_MODULE(SpectralNorm);

}  // namespace derm::nn
