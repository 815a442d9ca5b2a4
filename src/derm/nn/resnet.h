#pragma once
// ResNet-50 (He et al. 2016, arXiv:1512.03385), as torchvision builds and names it.
#include <memory>
#include <vector>

#include "derm/nn/layers.h"

namespace derm::nn {

/// In a bottleneck the 3x3 convolution has the stride ("v1.5"), as in torchvision. Children carry torchvision's
/// names: conv1, bn1, layer1.0.conv1 ... layer4.2.bn3; the head (`fc`) is the owner's, so that a network which
/// registers these children under its own root takes torchvision's file by name.
class ResNet50Impl : public torch::nn::Module {
 public:
  ResNet50Impl();

  /// What each stage ends with: sides S/4, S/8, S/16 and S/32, of 256, 512, 1024 and 2048 channels.
  /// @param x  [N, 3, S, S] as imagenet_normalised() gives it; S at least 32
  std::vector<at::Tensor> pyramid(const at::Tensor& x);

  /// The last of pyramid().
  at::Tensor forward(const at::Tensor& x) { return pyramid(x).back(); }

  static constexpr int64_t kChannels = 2048;  ///< of the last stage

 private:
  class BottleneckImpl;
  Conv conv1_{nullptr};
  Norm bn1_{nullptr};
  std::vector<std::vector<std::shared_ptr<BottleneckImpl>>> stages_;
};
TORCH_MODULE(ResNet50);

}  // namespace derm::nn
