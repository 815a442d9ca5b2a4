#pragma once
// The losses of DermGAN (Ghorbani et al. 2019, arXiv:1911.08716) beside the adversarial one.
#include <vector>

#include <ATen/core/Tensor.h>

namespace derm::losses {

/// Reconstruction: mean |real - fake|. Both [N, 3, H, W].
at::Tensor l1(const at::Tensor& real, const at::Tensor& fake);

/// Condition: sum(m |real - fake|) / (3 sum(m) + eps), so that a small lesion is not drowned by the skin around it.
/// @param region  [N, 1, H, W], m in [0, 1]
at::Tensor condition_l1(const at::Tensor& real, const at::Tensor& fake, const at::Tensor& region, double eps = 1e-6);

/// Feature matching: sum over layers of mean |D^l(real) - D^l(fake)|; the real side is a constant.
at::Tensor feature_matching(const std::vector<at::Tensor>& real, const std::vector<at::Tensor>& fake);

/// Min-patch: the generator is driven by its least realistic patch. For each image the smallest logit; mean BCE towards
/// real.
/// @param logits  [N, 1, h, w]
at::Tensor min_patch(const at::Tensor& logits);

}  // namespace derm::losses
