#include "derm/metrics/extractor.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "derm/base/error.h"
#include "derm/base/random.h"

namespace derm::metrics {
namespace {

constexpr int64_t kSide = 64;
constexpr int64_t kBatch = 64;
constexpr uint64_t kSeed = 20200902;

/// Three 4x4 convolutions of stride 2 with ReLU. Mean and deviation of every channel at every level: 2 x (32 + 64 +
/// 160) = 512. The levels together see colour, fine and coarse texture; the weights come from our own generator, so
/// that they are the same with every libtorch.
class RandomExtractor : public Extractor {
 public:
  RandomExtractor() {
    const std::vector<int64_t> channels = {3, 32, 64, 160};
    Rng rng(kSeed);
    for (size_t level = 1; level < channels.size(); ++level) {
      at::Tensor weight = at::empty({channels[level], channels[level - 1], 4, 4}, at::kFloat);
      const double deviation = std::sqrt(2.0 / static_cast<double>(channels[level - 1] * 16));  // He et al. 2015
      float* values = weight.data_ptr<float>();
      for (int64_t i = 0; i < weight.numel(); ++i) values[i] = static_cast<float>(deviation * rng.normal());
      weights_.push_back(weight);
      dimension_ += 2 * channels[level];
    }
  }

  std::string name() const override { return "random-conv-512"; }
  int64_t dimension() const override { return dimension_; }
  std::string resize_kernel() const override { return "averages of areas to 64 px"; }

  at::Tensor features(const at::Tensor& images) override {
    const torch::NoGradGuard no_grad;
    if (!images.defined() || images.dim() != 4 || images.size(1) != 3) {
      throw UsageError("{}: images must be [N, 3, H, W] in [-1, 1]", name());
    }
    std::vector<at::Tensor> parts;
    for (int64_t start = 0; start < images.size(0); start += kBatch) {
      const int64_t count = std::min(kBatch, images.size(0) - start);
      parts.push_back(batch_features(images.narrow(0, start, count).to(at::kCPU, at::kFloat).contiguous()));
    }
    return parts.empty() ? at::empty({0, dimension_}, at::kFloat) : at::cat(parts);
  }

 private:
  at::Tensor batch_features(const at::Tensor& images) const {
    std::vector<at::Tensor> pooled;
    at::Tensor x = at::adaptive_avg_pool2d(images, {kSide, kSide});  // what torch calls mode "area"
    for (const at::Tensor& weight : weights_) {
      x = at::relu(at::conv2d(x, weight, {}, 2, 1));  // 32, 16, 8 px
      const at::Tensor mean = x.mean({2, 3});
      pooled.push_back(mean);
      pooled.push_back((x - mean.unsqueeze(2).unsqueeze(3)).square().mean({2, 3}).sqrt());
    }
    return at::cat(pooled, 1);
  }

  std::vector<at::Tensor> weights_;
  int64_t dimension_ = 0;
};

}  // namespace

std::unique_ptr<Extractor> random_extractor() { return std::make_unique<RandomExtractor>(); }

}  // namespace derm::metrics
