#include "derm/losses/gan.h"

#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/losses/widen.h"

namespace derm::losses {

at::Tensor bce_real(const at::Tensor& logits) { return at::log_sigmoid(widen(logits)).mean().neg(); }
at::Tensor bce_fake(const at::Tensor& logits) { return at::log_sigmoid(widen(logits).neg()).mean().neg(); }

at::Tensor least_squares_real(const at::Tensor& logits) { return (widen(logits) - 1).square().mean(); }
at::Tensor least_squares_fake(const at::Tensor& logits) { return widen(logits).square().mean(); }

at::Tensor hinge_real(const at::Tensor& logits) { return (1 - widen(logits)).relu().mean(); }
at::Tensor hinge_fake(const at::Tensor& logits) { return (1 + widen(logits)).relu().mean(); }

at::Tensor r1_penalty(const at::Tensor& images, const at::Tensor& logits) {
  if (!images.requires_grad())
    throw UsageError(
        "r1_penalty: the images do not require grad; call requires_grad_() on them before the discriminator");
  // An image's logits depend on that image alone, so the gradient of the sum holds every image's own gradient.
  const auto gradients =
      torch::autograd::grad({widen(logits).sum()}, {images}, {}, /*retain_graph=*/true, /*create_graph=*/true,
                            /*allow_unused=*/true);
  if (!gradients[0].defined()) throw UsageError("r1_penalty: the logits were not computed from these images");
  return widen(gradients[0]).square().flatten(1).sum(1).mean();
}

}  // namespace derm::losses
