#include "derm/losses/judges.h"

#include <cmath>

#include <torch/torch.h>

#include "derm/base/error.h"

namespace derm::losses {

at::Tensor soft_dice(const at::Tensor& logits, const at::Tensor& truth) {
  const at::Tensor p = at::sigmoid(logits);
  const at::Tensor both = (p * truth).sum({1, 2, 3}), sizes = p.sum({1, 2, 3}) + truth.sum({1, 2, 3});
  return (1 - (2 * both + 1) / (sizes + 1)).mean();
}

at::Tensor balanced_cross_entropy(const at::Tensor& logits, const at::Tensor& label, const at::Tensor& prior,
                                  double smoothing) {
  const at::Tensor log_p = at::log_softmax(logits + prior.log(), 1);
  const at::Tensor right = log_p.gather(1, label.unsqueeze(1)).squeeze(1);
  return -((1 - smoothing) * right + smoothing * log_p.mean(1)).mean();
}

at::Tensor balanced_focal(const at::Tensor& logits, const at::Tensor& label, const at::Tensor& prior, double gamma) {
  const at::Tensor log_p = at::log_softmax(logits + prior.log(), 1).gather(1, label.unsqueeze(1)).squeeze(1);
  if (gamma == 0) return -log_p.mean();
  // A hair above 0, where a power below 1 has no finite gradient.
  return -((1 - log_p.exp()).clamp_min(1e-6).pow(gamma) * log_p).mean();
}

double balanced_nll(const at::Tensor& logits, const at::Tensor& label) {
  const at::Tensor log_p = at::log_softmax(logits, 1).gather(1, label.unsqueeze(1)).squeeze(1);
  double sum = 0;
  int64_t present = 0;
  for (int64_t k = 0; k < logits.size(1); ++k) {
    const at::Tensor of_class = log_p.masked_select(label == k);
    if (of_class.numel() == 0) continue;
    sum -= of_class.to(at::kDouble).mean().item<double>();
    ++present;
  }
  return sum / static_cast<double>(std::max<int64_t>(present, 1));
}

double fit_temperature(const at::Tensor& logits, const at::Tensor& label) {
  // The loss is convex in 1 / T; a fine search in log T is as exact as the images allow.
  double best = 1, least = balanced_nll(logits, label);
  for (int i = -150; i <= 150; ++i) {
    const double t = std::pow(8.0, i / 150.0);
    const double nll = balanced_nll(logits / t, label);
    if (nll < least) least = nll, best = t;
  }
  return best;
}

VicReg vicreg(const at::Tensor& a, const at::Tensor& b) {
  if (a.dim() != 2 || a.sizes() != b.sizes() || a.size(0) < 1)
    throw UsageError("vicreg takes two views [N, D] of the same images, got [{}] and [{}]", fmt::join(a.sizes(), ", "),
                     fmt::join(b.sizes(), ", "));
  if (a.size(0) == 1)
    return {.invariance = (a - b).square().mean(), .variance = 0 * a.sum(), .covariance = 0 * a.sum()};
  const auto n = static_cast<double>(a.size(0)), d = static_cast<double>(a.size(1));
  const auto variance = [](const at::Tensor& z) { return at::relu(1 - (z.var(0, true) + 1e-4).sqrt()).mean(); };
  const auto covariance = [&](const at::Tensor& z) {
    const at::Tensor centred = z - z.mean(0, true);
    const at::Tensor c = at::matmul(centred.t(), centred) / (n - 1);
    return (c.square().sum() - c.diagonal().square().sum()) / d;
  };
  return {.invariance = (a - b).square().mean(),
          .variance = (variance(a) + variance(b)) / 2,
          .covariance = covariance(a) + covariance(b)};
}

}  // namespace derm::losses
