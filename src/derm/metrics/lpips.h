#pragma once
// Learned perceptual image patch similarity (Zhang et al. 2018, arXiv:1801.03924), version 0.1 on SqueezeNet 1.1.
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "derm/metrics/pairs.h"
#include "derm/nn/squeezenet.h"

namespace derm::metrics {

class Lpips {
 public:
  /// @param path  torchvision's SqueezeNet 1.1 features ("features.0.weight" ...) and the linear heads
  ///              ("lin0.model.1.weight" ...), safetensors or .pth
  /// @throws      DataError listing every missing, unexpected and differently shaped tensor together
  explicit Lpips(const std::filesystem::path& path);
  /// @param a, b  [N, 3, H, W] in [-1, 1], at least 32 px
  /// @return      [N] float >= 0; 0 for equal images
  /// @throws      UsageError for other shapes; DataError for values that are not finite
  at::Tensor distance(const at::Tensor& a, const at::Tensor& b) const;
  /// The same, differentiable in both; values beyond [-1, 1] are taken as they are.
  at::Tensor loss(const at::Tensor& a, const at::Tensor& b) const;
  /// Mean distance over pairs: high means that the images differ.
  PairDiversity diversity(const at::Tensor& images, const std::vector<std::pair<int64_t, int64_t>>& pairs) const;
  const std::string& sha256() const { return sha256_; }  ///< of the file

 private:
  std::vector<at::Tensor> activations(const at::Tensor& images) const;  // seven, unit length over channels
  std::unique_ptr<nn::SqueezeNetFeatures> features_;
  std::vector<at::Tensor> heads_;
  std::string sha256_;
};

}  // namespace derm::metrics
