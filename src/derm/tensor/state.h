#pragma once
// A module's weights under their PyTorch state_dict names, out and in.
#include <string>

#include <torch/nn/module.h>

#include "derm/tensor/safetensors.h"

namespace derm::tensor {

/// Parameters and buffers in PyTorch's order and names. The tensors share storage with the module.
NamedTensors state_of(const torch::nn::Module& module);

/// Copies `state` into the module (converted to its dtype and device). libtorch takes other shapes without a word, so
/// names and shapes are compared first.
/// @param where  the file, for the message
/// @param hint   what built the module, "dermgan(width=32)"
/// @throws DataError listing every missing, unexpected and differently shaped tensor together (the first ten of each)
void load_state(torch::nn::Module& module, const SafeTensors& state, const std::string& where, const std::string& hint,
                const std::string& prefix = "");

/// Copies what fits by name and shape, for transfer between sizes; returns the names that did not.
std::vector<std::string> load_matching(torch::nn::Module& module, const SafeTensors& state,
                                       const std::string& prefix = "");

int64_t parameter_count(const torch::nn::Module& module);

}  // namespace derm::tensor
