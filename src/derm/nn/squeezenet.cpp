#include "derm/nn/squeezenet.h"

#include <algorithm>

#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/tensor/pth.h"

namespace derm::nn {
namespace {

/// Index, squeezed and expanded channels of the fire modules: what goes in is twice the previous module's expansion.
struct Fire {
  int64_t index, in, squeezed, expanded;
};
constexpr Fire kFires[] = {{3, 64, 16, 64},   {4, 128, 16, 64},   {6, 128, 32, 128},  {7, 256, 32, 128},
                           {9, 256, 48, 192}, {10, 384, 48, 192}, {11, 384, 64, 256}, {12, 512, 64, 256}};

}  // namespace

std::vector<std::pair<std::string, std::vector<int64_t>>> SqueezeNetFeatures::tensors() {
  std::vector<std::pair<std::string, std::vector<int64_t>>> all;
  const auto add = [&](const std::string& name, int64_t out, int64_t in, int64_t kernel) {
    all.push_back({name + ".weight", {out, in, kernel, kernel}});
    all.push_back({name + ".bias", {out}});
  };
  add("features.0", 64, 3, 3);
  for (const Fire& f : kFires) {
    const std::string name = fmt::format("features.{}.", f.index);
    add(name + "squeeze", f.squeezed, f.in, 1);
    add(name + "expand1x1", f.expanded, f.squeezed, 1);
    add(name + "expand3x3", f.expanded, f.squeezed, 3);
  }
  return all;
}

SqueezeNetFeatures::SqueezeNetFeatures(const std::filesystem::path& path) {
  const tensor::WeightsFile file = tensor::read_weights(path);
  for (const auto& [name, shape] : tensors()) {
    const auto found = file.state.tensors.find(name);
    if (found == file.state.tensors.end())
      throw DataError("{}: '{}' is missing; SqueezeNet 1.1's features under torchvision's names are expected",
                      path.string(), name);
    if (found->second.sizes() != at::IntArrayRef(shape))
      throw DataError("{}: '{}' is [{}], SqueezeNet 1.1 needs [{}]", path.string(), name,
                      fmt::join(found->second.sizes().vec(), ", "), fmt::join(shape, ", "));
    weights_[name] = found->second.to(at::kFloat);
  }
}

at::Tensor SqueezeNetFeatures::convolution(const std::string& name, const at::Tensor& x, int64_t stride,
                                           int64_t padding) {
  at::Tensor &weight = weights_.at(name + ".weight"), &bias = weights_.at(name + ".bias");
  if (weight.scalar_type() != x.scalar_type() || weight.device() != x.device()) {
    weight = weight.to(x.options()).contiguous(x.suggest_memory_format());
    bias = bias.to(x.options());
  }
  return at::relu(at::conv2d(x, weight, bias, stride, padding));
}

at::Tensor SqueezeNetFeatures::fire(int64_t index, const at::Tensor& x) {
  const std::string name = fmt::format("features.{}.", index);
  const at::Tensor squeezed = convolution(name + "squeeze", x, 1, 0);
  return at::cat({convolution(name + "expand1x1", squeezed, 1, 0), convolution(name + "expand3x3", squeezed, 1, 1)}, 1);
}

std::vector<at::Tensor> SqueezeNetFeatures::forward(const at::Tensor& images, const std::vector<int64_t>& layers) {
  if (images.dim() != 4 || images.size(1) != 3 || images.size(2) < 32 || images.size(3) < 32)
    throw UsageError("SqueezeNet takes [N, 3, H, W] pictures of at least 32 px");
  // ImageNet's means and deviations, on [-1, 1] instead of [0, 1].
  const auto row = [&](double r, double g, double b) {
    return torch::tensor({r, g, b}).view({1, 3, 1, 1}).to(images.options());
  };
  at::Tensor x =
      ((images - row(-0.03, -0.088, -0.188)) / row(0.458, 0.448, 0.45)).contiguous(images.suggest_memory_format());
  std::vector<at::Tensor> taps;
  const auto tap = [&](int64_t layer) {
    if (std::find(layers.begin(), layers.end(), layer) != layers.end()) taps.push_back(x);
  };
  x = convolution("features.0", x, 2, 0);  // [N, 64, H / 2, ...]
  tap(1);
  for (const Fire& f : kFires) {
    // torchvision's numbers 2, 5 and 8 are the pools.
    if (f.index == 3 || f.index == 6 || f.index == 9) x = at::max_pool2d(x, {3, 3}, {2, 2}, {0, 0}, {1, 1}, true);
    x = fire(f.index, x);
    tap(f.index);
  }
  return taps;
}

}  // namespace derm::nn
