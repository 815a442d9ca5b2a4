#include "derm/metrics/inception_score.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/metrics/checks.h"

namespace derm::metrics {

InceptionScore inception_score(const at::Tensor& logits, int64_t splits) {
  constexpr const char* kWhere = "Inception Score";
  const torch::NoGradGuard no_grad;
  if (splits < 1) throw UsageError("{}: {} splits were asked for, at least 1 is needed", kWhere, splits);
  const at::Tensor log_p = torch::log_softmax(checked_features(logits, kWhere, "fake", 2 * splits), 1);
  const int64_t count = log_p.size(0);
  InceptionScore result;
  result.splits = splits;
  std::vector<double> scores;
  for (int64_t i = 0; i < splits; ++i) {
    const int64_t begin = i * count / splits, end = (i + 1) * count / splits;
    const at::Tensor part = log_p.narrow(0, begin, end - begin);
    // The logarithm of the mean of p, without leaving the logarithms: no class is too improbable.
    const at::Tensor log_mean = torch::logsumexp(part, 0, true) - std::log(static_cast<double>(end - begin));
    scores.push_back(std::exp((part.exp() * (part - log_mean)).sum(1).mean().item<double>()));
  }
  for (const double s : scores) result.mean += s / static_cast<double>(splits);
  double squares = 0;
  for (const double s : scores) squares += (s - result.mean) * (s - result.mean);
  result.deviation = std::sqrt(squares / static_cast<double>(splits));
  return result;
}

}  // namespace derm::metrics
