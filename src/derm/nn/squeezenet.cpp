#include "derm/nn/squeezenet.h"

#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/tensor/pth.h"

namespace derm::nn {
namespace {

struct Shape {
  std::string name;
  std::vector<int64_t> weight;
};

/// Index, squeezed and expanded channels of the fire modules: what goes in is twice the previous module's expansion.
struct Fire {
  int64_t index, in, squeezed, expanded;
};
constexpr Fire kFires[] = {{3, 64, 16, 64},   {4, 128, 16, 64},   {6, 128, 32, 128},  {7, 256, 32, 128},
                           {9, 256, 48, 192}, {10, 384, 48, 192}, {11, 384, 64, 256}, {12, 512, 64, 256}};

std::vector<Shape> shapes() {
  std::vector<Shape> result = {{"features.0", {64, 3, 3, 3}}};
  for (const Fire& f : kFires) {
    const std::string name = fmt::format("features.{}.", f.index);
    result.push_back({name + "squeeze", {f.squeezed, f.in, 1, 1}});
    result.push_back({name + "expand1x1", {f.expanded, f.squeezed, 1, 1}});
    result.push_back({name + "expand3x3", {f.expanded, f.squeezed, 3, 3}});
  }
  return result;
}

}  // namespace

SqueezeNetFeatures::SqueezeNetFeatures(const std::filesystem::path& path) {
  const tensor::WeightsFile file = tensor::read_weights(path);
  for (const Shape& shape : shapes()) {
    for (const bool bias : {false, true}) {
      const std::string name = shape.name + (bias ? ".bias" : ".weight");
      const std::vector<int64_t> expected = bias ? std::vector<int64_t>{shape.weight[0]} : shape.weight;
      const auto found = file.state.tensors.find(name);
      if (found == file.state.tensors.end())
        throw DataError("{}: '{}' is missing; SqueezeNet 1.1's features under torchvision's names are expected",
                        path.string(), name);
      if (found->second.sizes() != at::IntArrayRef(expected))
        throw DataError("{}: '{}' is [{}], SqueezeNet 1.1 needs [{}]", path.string(), name,
                        fmt::join(found->second.sizes().vec(), ", "), fmt::join(expected, ", "));
      weights_[name] = found->second.to(at::kFloat);
    }
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

std::vector<at::Tensor> SqueezeNetFeatures::forward(const at::Tensor& images) {
  if (images.dim() != 4 || images.size(1) != 3 || images.size(2) < 32 || images.size(3) < 32)
    throw UsageError("SqueezeNet takes [N, 3, H, W] pictures of at least 32 px");
  const auto format = images.suggest_memory_format();
  // ImageNet's means and deviations, on [-1, 1] instead of [0, 1].
  const auto row = [&](double r, double g, double b) {
    return torch::tensor({r, g, b}).view({1, 3, 1, 1}).to(images.options());
  };
  const at::Tensor x0 = ((images - row(-0.03, -0.088, -0.188)) / row(0.458, 0.448, 0.45)).contiguous(format);
  const auto halved = [](const at::Tensor& x) { return at::max_pool2d(x, {3, 3}, {2, 2}, {0, 0}, {1, 1}, true); };
  std::vector<at::Tensor> taps;
  at::Tensor x = convolution("features.0", x0, 2, 0);  // [N, 64, H / 2, ...]
  taps.push_back(x);
  x = fire(4, fire(3, halved(x)));  // [N, 128, H / 4, ...]
  taps.push_back(x);
  x = fire(7, fire(6, halved(x)));  // [N, 256, H / 8, ...]
  taps.push_back(x);
  x = fire(12, fire(11, fire(10, fire(9, halved(x)))));  // [N, 512, H / 16, ...]
  taps.push_back(x);
  return taps;
}

}  // namespace derm::nn
