#pragma once
// The features of SqueezeNet 1.1 (Iandola et al. 2016, arXiv:1602.07360), frozen: a picture seen by a network that
// knows photographs.
#include <array>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace derm::nn {

class SqueezeNetFeatures {
 public:
  /// Channels of the taps and how many times smaller than the picture they are.
  static constexpr std::array<int64_t, 4> kChannels = {64, 128, 256, 512};
  static constexpr std::array<int64_t, 4> kScale = {2, 4, 8, 16};

  /// @param path  weights under torchvision's names ("features.0.weight" ...), safetensors or .pth; others in the file
  ///              are not looked at
  /// @throws      DataError naming what is missing or of another shape
  explicit SqueezeNetFeatures(const std::filesystem::path& path);

  /// After the first convolution and the last modules before each halving (torchvision's features.1, 4, 7 and 12).
  /// Gradients reach the picture, never the weights.
  /// @param images  [N, 3, H, W] in [-1, 1], at least 32 px; computed in its type
  /// @return        four tensors [N, kChannels[i], about H / kScale[i], ...]
  std::vector<at::Tensor> forward(const at::Tensor& images);

 private:
  at::Tensor convolution(const std::string& name, const at::Tensor& x, int64_t stride, int64_t padding);
  at::Tensor fire(int64_t index, const at::Tensor& x);

  std::map<std::string, at::Tensor> weights_;  // of the last pictures' type, format and device
};

}  // namespace derm::nn
