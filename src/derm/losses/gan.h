#pragma once
// Adversarial losses: pure functions of logits.
#include <ATen/core/Tensor.h>

namespace derm::losses {

/// Binary cross-entropy with logits against a constant target: mean over all elements.
/// @param logits  any shape, any float type (computed in fp32)
at::Tensor bce_real(const at::Tensor& logits);  ///< -log sigmoid(logits)
at::Tensor bce_fake(const at::Tensor& logits);  ///< -log(1 - sigmoid(logits))

/// Least squares (arXiv:1611.04076): mean (logits - 1)^2, mean logits^2.
at::Tensor least_squares_real(const at::Tensor& logits);
at::Tensor least_squares_fake(const at::Tensor& logits);

/// Hinge (arXiv:1705.02894) for the discriminator; its generator loss is -mean(logits).
at::Tensor hinge_real(const at::Tensor& logits);  ///< mean relu(1 - logits)
at::Tensor hinge_fake(const at::Tensor& logits);  ///< mean relu(1 + logits)

/// R1 penalty: mean squared norm of the discriminator's gradient at real images (arXiv:1801.04406).
/// The caller multiplies by gamma / 2.
/// @param images  [N, C, H, W], requires_grad
/// @param logits  [N, ...], computed from `images` in the same graph
/// @return        scalar >= 0, differentiable in the discriminator's parameters
/// @throws        UsageError if `images` does not require grad
at::Tensor r1_penalty(const at::Tensor& images, const at::Tensor& logits);

}  // namespace derm::losses
