#pragma once
// MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381) without its head: what the judges see with.
#include <functional>
#include <memory>
#include <vector>

#include "derm/nn/layers.h"

namespace derm::nn {

/// The backbone of width 1. Its children are called "0" to "18" as torchvision's `features`, so that a network which
/// registers it as "features" takes the weights of a torchvision-style file by name. Batch norm after every
/// convolution, relu6 but at the end of a block.
class MobileNetV2Impl : public torch::nn::Module {
 public:
  /// @param last           with "18", the 1x1 convolution to 1280 channels; without it the last stage ends in 320
  /// @param first_expands  block 1 has an expanding 1x1 convolution (32 to 32) too, as Gluon builds it; torchvision and
  ///                       the paper's table have none
  explicit MobileNetV2Impl(bool last = true, bool first_expands = true);

  /// What each stage ends with: sides S/2, S/4, S/8, S/16 and S/32, of 16, 24, 32, 96 and 320 (1280) channels.
  /// @param x  [N, 3, S, S] as imagenet_normalised() gives it; S a multiple of 32
  std::vector<at::Tensor> pyramid(const at::Tensor& x);

  /// The last of pyramid().
  at::Tensor forward(const at::Tensor& x) { return pyramid(x).back(); }

  static constexpr int64_t kChannels = 1280;  ///< of the last stage

 private:
  std::vector<std::function<at::Tensor(const at::Tensor&)>> stages_;
};
TORCH_MODULE(MobileNetV2);

/// [N, 3, H, W] in [-1, 1] to ImageNet's normalisation, (rgb / 255 - mean) / deviation, in the same type and format.
at::Tensor imagenet_normalised(const at::Tensor& images);

/// Resizes to size_px x size_px in fp32: bilinear, antialiased where it gets smaller. Images of that size come back as
/// they are. @param images  [N, C, H, W]
at::Tensor resized(const at::Tensor& images, int64_t size_px);

}  // namespace derm::nn
