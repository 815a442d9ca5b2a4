#pragma once
#include <ATen/core/Generator.h>
#include <torch/nn/module.h>

namespace derm::nn {

/// Pix2Pix's initialisation (Isola et al. 2017): convolutions N(0, 0.02), biases 0, norm scales N(1, 0.02).
void initialise_normal(torch::nn::Module& module, at::Generator& random, double deviation = 0.02);

}  // namespace derm::nn
