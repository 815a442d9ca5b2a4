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
constexpr int64_t kLeastSide = 32, kHeads = 7;

struct Fire {
  int index;
  int64_t in, squeeze, expand;  // expand: of each of the two
};
constexpr Fire kFires[] = {{3, 64, 16, 64},   {4, 128, 16, 64},   {6, 128, 32, 128},  {7, 256, 32, 128},
                           {9, 256, 48, 192}, {10, 384, 48, 192}, {11, 384, 64, 256}, {12, 512, 64, 256}};
constexpr int64_t kHeadChannels[kHeads] = {64, 128, 256, 384, 384, 512, 512};

std::vector<ExpectedTensor> expected() {
  std::vector<ExpectedTensor> out = {{"features.0.weight", {64, 3, 3, 3}}, {"features.0.bias", {64}}};
  for (const Fire& f : kFires) {
    const std::string name = fmt::format("features.{}.", f.index);
    const auto conv = [&](const char* part, int64_t to, int64_t from, int64_t side) {
      out.push_back({name + part + ".weight", {to, from, side, side}});
      out.push_back({name + part + ".bias", {to}});
    };
    conv("squeeze", f.squeeze, f.in, 1);
    conv("expand1x1", f.expand, f.squeeze, 1);
    conv("expand3x3", f.expand, f.squeeze, 3);
  }
  for (int64_t i = 0; i < kHeads; ++i)
    out.push_back({fmt::format("lin{}.model.1.weight", i), {1, kHeadChannels[i], 1, 1}});
  return out;
}

at::Tensor pool(const at::Tensor& x) { return at::max_pool2d(x, {3, 3}, {2, 2}, {0, 0}, {1, 1}, /*ceil_mode=*/true); }

}  // namespace

Lpips::Lpips(const std::filesystem::path& path) {
  tensor::WeightsFile file = tensor::read_weights(path);
  sha256_ = file.sha256;
  check_weights(file.state.tensors, expected(), path.string(), "LPIPS 0.1 on SqueezeNet 1.1");
  weights_ = std::move(file.state.tensors);
}

std::vector<at::Tensor> Lpips::activations(const at::Tensor& images) const {
  static const at::Tensor shift = torch::tensor({-0.030, -0.088, -0.188}, at::kFloat).view({1, 3, 1, 1});
  static const at::Tensor scale = torch::tensor({0.458, 0.448, 0.450}, at::kFloat).view({1, 3, 1, 1});
  const auto conv = [&](const at::Tensor& x, const std::string& name, int64_t stride, int64_t padding) {
    return at::conv2d(x, weights_.at(name + ".weight"), weights_.at(name + ".bias"), stride, padding).relu_();
  };
  std::vector<at::Tensor> taps;
  const auto tap = [&](const at::Tensor& x) { taps.push_back(x / (x.square().sum(1, true).sqrt() + 1e-10)); };
  at::Tensor x = conv((images - shift) / scale, "features.0", 2, 0);
  tap(x);
  for (const Fire& f : kFires) {
    // torchvision's numbering: 2, 5 and 8 are the pools.
    if (f.index == 3 || f.index == 6 || f.index == 9) x = pool(x);
    const std::string name = fmt::format("features.{}.", f.index);
    const at::Tensor squeezed = conv(x, name + "squeeze", 1, 0);
    x = at::cat({conv(squeezed, name + "expand1x1", 1, 0), conv(squeezed, name + "expand3x3", 1, 1)}, 1);
    if (f.index != 3 && f.index != 6) tap(x);
  }
  return taps;
}

at::Tensor Lpips::distance(const at::Tensor& a, const at::Tensor& b) const {
  const torch::NoGradGuard no_grad;
  const at::Tensor x = checked_images(a, kWhere, "[-1, 1]"), y = checked_images(b, kWhere, "[-1, 1]");
  if (x.sizes() != y.sizes())
    throw UsageError("{}: the images are [{}] and [{}]; both must have one shape", kWhere, fmt::join(x.sizes(), ", "),
                     fmt::join(y.sizes(), ", "));
  if (std::min(x.size(2), x.size(3)) < kLeastSide)
    throw UsageError("{}: images are {} x {}, at least {} px a side are needed", kWhere, x.size(3), x.size(2),
                     kLeastSide);
  const auto fx = activations(x), fy = activations(y);
  at::Tensor sum = at::zeros({x.size(0)}, at::kFloat);
  for (size_t i = 0; i < fx.size(); ++i)
    sum += at::conv2d((fx[i] - fy[i]).square(), weights_.at(fmt::format("lin{}.model.1.weight", i))).mean({1, 2, 3});
  return sum;
}

PairDiversity Lpips::diversity(const at::Tensor& images, const std::vector<std::pair<int64_t, int64_t>>& pairs) const {
  return mean_over_pairs(images, pairs, kWhere,
                         [&](const at::Tensor& a, const at::Tensor& b) { return distance(a, b); });
}

}  // namespace derm::metrics
