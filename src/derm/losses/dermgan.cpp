#include "derm/losses/dermgan.h"

#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/losses/widen.h"

namespace derm::losses {
namespace {

std::string shape_text(const at::Tensor& t) { return fmt::format("[{}]", fmt::join(t.sizes().vec(), ", ")); }

void check_same(const char* who, const at::Tensor& real, const at::Tensor& fake) {
  if (real.sizes() != fake.sizes())
    throw UsageError("{}: real is {} and fake {}; they must have the same shape", who, shape_text(real),
                     shape_text(fake));
}

}  // namespace

at::Tensor l1(const at::Tensor& real, const at::Tensor& fake) {
  check_same("l1", real, fake);
  return (widen(real) - widen(fake)).abs().mean();
}

at::Tensor condition_l1(const at::Tensor& real, const at::Tensor& fake, const at::Tensor& region, double eps) {
  check_same("condition_l1", real, fake);
  if (region.dim() != 4 || real.dim() != 4 || region.size(0) != real.size(0) || region.size(1) != 1 ||
      region.size(2) != real.size(2) || region.size(3) != real.size(3))
    throw UsageError("condition_l1: the region is {}, images {} need [N, 1, H, W]", shape_text(region),
                     shape_text(real));
  const at::Tensor m = widen(region);
  const at::Tensor inside = (m * (widen(real) - widen(fake)).abs()).sum();  // [N, 3, H, W] -> []
  return inside / (static_cast<double>(real.size(1)) * m.sum() + eps);
}

at::Tensor feature_matching(const std::vector<at::Tensor>& real, const std::vector<at::Tensor>& fake) {
  if (real.empty() || real.size() != fake.size())
    throw UsageError("feature_matching: {} layers of real and {} of fake; they must be equally many, at least one",
                     real.size(), fake.size());
  at::Tensor total;
  for (size_t i = 0; i < real.size(); ++i) {
    check_same("feature_matching", real[i], fake[i]);
    const at::Tensor term = (widen(real[i]).detach() - widen(fake[i])).abs().mean();
    total = total.defined() ? total + term : term;
  }
  return total;
}

at::Tensor min_patch(const at::Tensor& logits) {
  if (logits.dim() < 2) throw UsageError("min_patch: the logits are {}, [N, 1, h, w] is needed", shape_text(logits));
  return at::log_sigmoid(widen(logits).flatten(1).amin(1)).mean().neg();
}

}  // namespace derm::losses
