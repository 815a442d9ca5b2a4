#include "derm/losses/penalties.h"

#include <cmath>

#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/losses/widen.h"

namespace derm::losses {
namespace {

/// The gradient of `sum` at `at`, in a graph that goes on; `who`, `what` and `of` are for the sentences when it cannot
/// be taken.
at::Tensor gradient_of(const at::Tensor& sum, const at::Tensor& at, const char* who, const char* what, const char* of) {
  if (!at.requires_grad())
    throw UsageError("{}: the {} do not require grad; call requires_grad_() on them before the network", who, what);
  const auto gradients = torch::autograd::grad({sum}, {at}, {}, /*retain_graph=*/true, /*create_graph=*/true,
                                               /*allow_unused=*/true);
  if (!gradients[0].defined()) throw UsageError("{}: the {} were not computed from these {}", who, of, what);
  return widen(gradients[0]);
}

}  // namespace

// In what follows an image's answer depends on that image alone, so the gradient of the sum holds every image's own.

at::Tensor gradient_penalty(const at::Tensor& images, const at::Tensor& scores) {
  const at::Tensor gradient = gradient_of(widen(scores).sum(), images, "gradient_penalty", "images", "scores");
  // At a gradient of 0 the norm has no derivative; the small number gives it one.
  const at::Tensor norms = (gradient.square().flatten(1).sum(1) + 1e-12).sqrt();
  return (norms - 1).square().mean();
}

at::Tensor path_lengths(const at::Tensor& images, const at::Tensor& styles, const at::Tensor& noise) {
  const double pixels = static_cast<double>(images.size(2) * images.size(3));
  const at::Tensor sum = (widen(images) * noise).sum() / std::sqrt(pixels);
  const at::Tensor gradient = gradient_of(sum, styles, "path_lengths", "styles", "images");  // [N, L, W]
  return (gradient.square().sum(2).mean(1) + 1e-12).sqrt();
}

}  // namespace derm::losses
