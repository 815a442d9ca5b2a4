#include "derm/metrics/prdc.h"

#include <algorithm>
#include <functional>

#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/metrics/checks.h"

namespace derm::metrics {
namespace {

constexpr const char* kWhere = "precision and recall";
constexpr int64_t kBlock = 1024;
/// Of the squared norms: what the products below may be off by, well above rounding and far below any real difference.
constexpr double kTie = 1e-12;

/// Squared distances between rows of a block and all rows of `y`.
at::Tensor squared_distances(const at::Tensor& x, const at::Tensor& y) {
  return at::addmm(x.square().sum(1, true) + y.square().sum(1).unsqueeze(0), x, y.t(), 1.0, -2.0).clamp_min_(0);
}

void for_blocks(const at::Tensor& x, const std::function<void(int64_t, const at::Tensor&)>& body) {
  for (int64_t begin = 0; begin < x.size(0); begin += kBlock)
    body(begin, x.narrow(0, begin, std::min(kBlock, x.size(0) - begin)));
}

/// Squared distance of each row to its k-th nearest other row, for two k. [2][N]
std::pair<at::Tensor, at::Tensor> radii(const at::Tensor& x, int64_t k1, int64_t k2) {
  at::Tensor first = at::empty({x.size(0)}, x.options()), second = at::empty({x.size(0)}, x.options());
  for_blocks(x, [&](int64_t begin, const at::Tensor& block) {
    at::Tensor d = squared_distances(block, x);
    d.diagonal(begin).fill_(0);  // the row itself, exactly
    const at::Tensor nearest = std::get<0>(d.topk(std::max(k1, k2) + 1, 1, /*largest=*/false, /*sorted=*/true));
    first.narrow(0, begin, block.size(0)).copy_(nearest.select(1, k1));
    second.narrow(0, begin, block.size(0)).copy_(nearest.select(1, k2));
  });
  return {first, second};
}

}  // namespace

Prdc precision_recall_density_coverage(const at::Tensor& real, const at::Tensor& fake, int64_t k_manifold,
                                       int64_t k_density) {
  const torch::NoGradGuard no_grad;
  if (k_manifold < 1 || k_density < 1)
    throw UsageError("{}: neighbours are {} and {}, at least 1 is needed", kWhere, k_manifold, k_density);
  const int64_t least = std::max(k_manifold, k_density) + 1;
  at::Tensor x = checked_features(real, kWhere, "real", least), y = checked_features(fake, kWhere, "fake", least);
  check_same_width(x, y, kWhere);
  // About their mean the products lose no digits to a common offset.
  const at::Tensor centre = x.mean(0, true);
  x = x - centre;
  y = y - centre;
  const auto [real_manifold, real_density] = radii(x, k_manifold, k_density);
  const at::Tensor fake_manifold = radii(y, k_manifold, k_manifold).first;

  const at::Tensor y_norm = y.square().sum(1);
  double inside_count = 0;
  int64_t recalled = 0, covered = 0;
  at::Tensor precise = at::zeros({y.size(0)}, at::kBool);
  for_blocks(x, [&](int64_t begin, const at::Tensor& block) {
    const int64_t n = block.size(0);
    const at::Tensor d = squared_distances(block, y);
    const at::Tensor tie = (block.square().sum(1, true) + y_norm.unsqueeze(0)) * kTie;
    precise.logical_or_((d <= real_manifold.narrow(0, begin, n).unsqueeze(1) + tie).any(0));
    recalled += (d <= fake_manifold.unsqueeze(0) + tie).any(1).sum().item<int64_t>();
    const at::Tensor inside = d < real_density.narrow(0, begin, n).unsqueeze(1) - tie;
    inside_count += static_cast<double>(inside.sum().item<int64_t>());
    covered += inside.any(1).sum().item<int64_t>();
  });
  const double n = static_cast<double>(x.size(0)), m = static_cast<double>(y.size(0));
  Prdc result;
  result.precision = static_cast<double>(precise.sum().item<int64_t>()) / m;
  result.recall = static_cast<double>(recalled) / n;
  result.density = inside_count / (static_cast<double>(k_density) * m);
  result.coverage = static_cast<double>(covered) / n;
  return result;
}

}  // namespace derm::metrics
