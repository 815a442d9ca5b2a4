#pragma once
// The PatchGAN discriminator of Pix2Pix (Isola et al. 2017, arXiv:1611.07004).
#include <string>
#include <vector>

#include "derm/nn/layers.h"

namespace derm::nn {

struct PatchOptions {
  int64_t in_channels = 6;
  int64_t width = 64;
  int64_t layers = 3;  ///< stride-2 levels: 3 sees 70x70 patches, 2 sees 34x34, 1 sees 16x16
  std::string norm = "batch";
};

struct PatchOutput {
  at::Tensor logits;                 ///< [N, 1, h, w]
  std::vector<at::Tensor> features;  ///< activations of every layer before the last
};

class PatchDiscriminatorImpl : public torch::nn::Module {
 public:
  explicit PatchDiscriminatorImpl(const PatchOptions& options);
  /// @param input  [N, in_channels, S, S], map and image side by side
  PatchOutput forward(const at::Tensor& input);
  static int64_t patch_px(int64_t layers);  ///< receptive field of one logit

 private:
  std::vector<Conv> convs_;
  std::vector<Norm> norms_;
};
TORCH_MODULE(PatchDiscriminator);

}  // namespace derm::nn
