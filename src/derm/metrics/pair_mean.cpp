#include "derm/metrics/pair_mean.h"

#include <algorithm>

#include <torch/torch.h>

#include "derm/base/error.h"

namespace derm::metrics {

PairDiversity mean_over_pairs(const at::Tensor& images, const std::vector<std::pair<int64_t, int64_t>>& pairs,
                              const char* metric,
                              const std::function<at::Tensor(const at::Tensor&, const at::Tensor&)>& measure) {
  const torch::NoGradGuard no_grad;
  constexpr size_t kBatch = 16;
  if (pairs.empty()) throw UsageError("{}: no pairs were given, at least 1 is needed", metric);
  if (!images.defined() || images.dim() != 4) throw UsageError("{}: images must be [N, 3, H, W]", metric);
  for (const auto& [a, b] : pairs) {
    if (std::min(a, b) < 0 || std::max(a, b) >= images.size(0))
      throw UsageError("{}: the pair ({}, {}) names an image outside the set of {}", metric, a, b, images.size(0));
  }
  std::vector<at::Tensor> values;
  for (size_t begin = 0; begin < pairs.size(); begin += kBatch) {
    std::vector<int64_t> first, second;
    for (size_t i = begin; i < std::min(begin + kBatch, pairs.size()); ++i) {
      first.push_back(pairs[i].first);
      second.push_back(pairs[i].second);
    }
    values.push_back(
        measure(images.index_select(0, torch::tensor(first)), images.index_select(0, torch::tensor(second)))
            .to(at::kDouble));
  }
  const at::Tensor all = at::cat(values);
  PairDiversity result;
  result.pairs = all.size(0);
  result.mean = all.mean().item<double>();
  result.deviation = all.std(/*unbiased=*/false).item<double>();
  return result;
}

}  // namespace derm::metrics
