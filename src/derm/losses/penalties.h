#pragma once
// Regularisers that are taken of gradients. Both compute in fp32 at least and are differentiable themselves.
#include <ATen/core/Tensor.h>

namespace derm::losses {

/// WGAN-GP (Gulrajani et al. 2017, arXiv:1704.00028): mean squared distance from 1 of the norm of the critic's gradient
/// at images on the way from real ones to made ones. The caller multiplies by lambda.
/// @param images  [N, C, H, W], requires_grad: real + t (made - real), t even in [0, 1] for each image
/// @param scores  [N, ...], computed from `images` in the same graph
/// @return        scalar >= 0, differentiable in the critic's parameters
/// @throws        UsageError if `images` does not require grad
at::Tensor gradient_penalty(const at::Tensor& images, const at::Tensor& scores);

/// Path lengths (Karras et al. 2020, arXiv:1912.04958): how far an image moves, along a random direction, for a step in
/// its styles. The penalty is the mean of (lengths - their running mean)^2.
/// @param images  [N, C, H, W], computed from `styles`
/// @param styles  [N, L, W], requires_grad
/// @param noise   [N, C, H, W] standard normal; it is divided by sqrt(H W) here
/// @return        [N] >= 0: sqrt(mean over L of the squared norm of the gradient of sum(images noise)); differentiable
/// @throws        UsageError if `styles` does not require grad
at::Tensor path_lengths(const at::Tensor& images, const at::Tensor& styles, const at::Tensor& noise);

}  // namespace derm::losses
