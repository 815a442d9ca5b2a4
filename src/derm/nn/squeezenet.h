#pragma once
// The features of SqueezeNet 1.1 (Iandola et al. 2016, arXiv:1602.07360), frozen: a picture seen by a network that
// knows photographs.
#include <array>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
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
  /// @param weights  tensors() of the network, in fp32
  explicit SqueezeNetFeatures(std::map<std::string, at::Tensor> weights) : weights_(std::move(weights)) {}

  /// Names and shapes of the weights.
  static std::vector<std::pair<std::string, std::vector<int64_t>>> tensors();

  /// What the layers give, by torchvision's numbers: 1 is the first convolution, 3, 4, 6, 7, 9 to 12 the fire modules;
  /// the pictures are halved before 3, 6 and 9. By default those before each halving and the last.
  /// Gradients reach the picture, never the weights.
  /// @param images  [N, 3, H, W] in [-1, 1], at least 32 px; computed in its type
  /// @return        a tensor a layer; by default [N, kChannels[i], about H / kScale[i], ...]
  std::vector<at::Tensor> forward(const at::Tensor& images, const std::vector<int64_t>& layers = {1, 4, 7, 12});

 private:
  at::Tensor convolution(const std::string& name, const at::Tensor& x, int64_t stride, int64_t padding);
  at::Tensor fire(int64_t index, const at::Tensor& x);

  std::map<std::string, at::Tensor> weights_;  // of the last pictures' type, format and device
};

}  // namespace derm::nn
