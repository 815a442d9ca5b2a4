#pragma once
// The U-Net of Pix2Pix (Isola et al. 2017, arXiv:1611.07004), with transposed or resize-convolution decoder.
#include <string>
#include <vector>

#include "derm/nn/layers.h"

namespace derm::nn {

struct UNetOptions {
  int64_t in_channels = 3, out_channels = 3;
  int64_t size_px = 256;                ///< power of two, 16 to 1024
  int64_t width = 64;                   ///< channels of the outermost level; doubles up to 8 width
  int64_t levels = 8;                   ///< halvings; at most log2(size)
  std::string upsample = "transposed";  ///< transposed, resize
  std::string norm = "batch";
  int64_t dropout_levels = 3;  ///< inner up levels with dropout 0.5 in training
  int64_t noise_planes = 0;    ///< the last channels of the input that are white noise to be added at every up level
};

class UNetImpl : public torch::nn::Module {
 public:
  explicit UNetImpl(const UNetOptions& options);
  /// @param map  [N, in_channels, S, S]
  /// @return     [N, out_channels, S, S] in [-1, 1], fp32
  at::Tensor forward(const at::Tensor& map);

 private:
  UNetOptions options_;
  std::vector<Conv> down_;
  std::vector<Norm> down_norm_, up_norm_;
  std::vector<UpConv> up_transposed_;
  std::vector<ResizeConv> up_resize_;
  std::vector<Conv> up_noise_;  // a weight per channel and noise plane; empty without noise planes
};
TORCH_MODULE(UNet);

}  // namespace derm::nn
