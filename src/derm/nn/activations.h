#pragma once
// Parameters are fp32; a layer computes in the type and memory format of what flows through it.
#include <ATen/core/Tensor.h>

namespace derm::nn {

/// A parameter in the type and memory format of the activations. Differentiable: the gradient comes back in fp32.
/// @param parameter  may be undefined, and stays so
at::Tensor like_activations(const at::Tensor& parameter, const at::Tensor& x);

}  // namespace derm::nn
