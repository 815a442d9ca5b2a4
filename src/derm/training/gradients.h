#pragma once
// Gradients of a loss, over all ranks where there are several.
#include <vector>

#include <ATen/core/Tensor.h>

#include "derm/ranks/group.h"

namespace derm::training {

/// By the parameters, in their order; undefined where the loss does not depend on one. No gradient reaches another
/// tensor. Over several ranks the mean of theirs: they are summed in buckets of some MB while the way back goes on.
/// @param group  nullptr: this process alone
std::vector<at::Tensor> gradients_of(const at::Tensor& loss, const std::vector<at::Tensor>& parameters,
                                     ranks::Group* group);

}  // namespace derm::training
