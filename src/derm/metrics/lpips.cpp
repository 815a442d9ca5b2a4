#include "derm/metrics/lpips.h"

#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/metrics/checks.h"
#include "derm/metrics/pair_mean.h"
#include "derm/metrics/weights.h"
#include "derm/tensor/pth.h"

namespace derm::metrics {
namespace {

constexpr const char* kWhere = "LPIPS";
constexpr int64_t kLeastSide = 32;
constexpr double kUnderRoot = 1e-20;  // without it the root has no gradient where all channels are 0

/// The layers of SqueezeNet that are compared, and their channels.
const std::vector<int64_t> kLayers = {1, 4, 7, 9, 10, 11, 12};
constexpr int64_t kChannels[] = {64, 128, 256, 384, 384, 512, 512};

std::string head_name(size_t i) { return fmt::format("lin{}.model.1.weight", i); }

}  // namespace

Lpips::Lpips(const std::filesystem::path& path) {
  tensor::WeightsFile file = tensor::read_weights(path);
  sha256_ = file.sha256;
  std::map<std::string, at::Tensor>& weights = file.state.tensors;
  std::vector<ExpectedTensor> expected;
  for (const auto& [name, shape] : nn::SqueezeNetFeatures::tensors()) expected.push_back({name, shape});
  for (size_t i = 0; i < kLayers.size(); ++i) expected.push_back({head_name(i), {1, kChannels[i], 1, 1}});
  check_weights(weights, expected, path.string(), "LPIPS 0.1 on SqueezeNet 1.1");
  for (size_t i = 0; i < kLayers.size(); ++i) heads_.push_back(weights.extract(head_name(i)).mapped());
  features_ = std::make_unique<nn::SqueezeNetFeatures>(std::move(weights));
}

std::vector<at::Tensor> Lpips::activations(const at::Tensor& images) const {
  std::vector<at::Tensor> taps = features_->forward(images, kLayers);
  for (at::Tensor& x : taps) x = x / ((x.square().sum(1, true) + kUnderRoot).sqrt() + 1e-10);
  return taps;
}

at::Tensor Lpips::distance(const at::Tensor& a, const at::Tensor& b) const {
  const torch::NoGradGuard no_grad;
  return loss(checked_images(a, kWhere, "[-1, 1]"), checked_images(b, kWhere, "[-1, 1]"));
}

at::Tensor Lpips::loss(const at::Tensor& x, const at::Tensor& y) const {
  if (x.sizes() != y.sizes())
    throw UsageError("{}: the images are [{}] and [{}]; both must have one shape", kWhere, fmt::join(x.sizes(), ", "),
                     fmt::join(y.sizes(), ", "));
  if (std::min(x.size(2), x.size(3)) < kLeastSide)
    throw UsageError("{}: images are {} x {}, at least {} px a side are needed", kWhere, x.size(3), x.size(2),
                     kLeastSide);
  const auto fx = activations(x), fy = activations(y);
  at::Tensor sum = at::zeros({x.size(0)}, at::kFloat);
  for (size_t i = 0; i < fx.size(); ++i) sum += at::conv2d((fx[i] - fy[i]).square(), heads_[i]).mean({1, 2, 3});
  return sum;
}

PairDiversity Lpips::diversity(const at::Tensor& images, const std::vector<std::pair<int64_t, int64_t>>& pairs) const {
  return mean_over_pairs(images, pairs, kWhere,
                         [&](const at::Tensor& a, const at::Tensor& b) { return distance(a, b); });
}

}  // namespace derm::metrics
