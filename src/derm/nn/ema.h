#pragma once
#include <torch/nn/module.h>

namespace derm::nn {

/// Exponential moving average of one module in another of the same make: parameters and floating buffers are averaged,
/// others copied. `average` = decay * average + (1 - decay) * current.
void update_average(torch::nn::Module& average, const torch::nn::Module& current, double decay);

/// Copies all parameters and buffers.
void copy_state(torch::nn::Module& target, const torch::nn::Module& source);

}  // namespace derm::nn
