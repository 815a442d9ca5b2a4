#pragma once
#include <ATen/core/Generator.h>
#include <torch/nn/module.h>

namespace derm::nn {

/// Pix2Pix's initialisation (Isola et al. 2017): convolutions N(0, 0.02), biases 0, norm scales N(1, 0.02).
void initialise_normal(torch::nn::Module& module, at::Generator& random, double deviation = 0.02);

/// He et al. 2015 (arXiv:1502.01852), fan out: convolutions N(0, sqrt(2 / fan out)), matrices N(0, 0.01), norms 1 and
/// 0, biases 0. As torchvision starts a MobileNetV2.
void initialise_he(torch::nn::Module& module, at::Generator& random);

}  // namespace derm::nn
