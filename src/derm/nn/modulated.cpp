#include "derm/nn/modulated.h"

#include <cmath>

#include <torch/torch.h>

#include "derm/nn/activations.h"

namespace derm::nn {

ModulatedConvImpl::ModulatedConvImpl(const ModulatedConvOptions& options) : options_(options) {
  weight = register_parameter("weight", torch::zeros({options.out, options.in, options.kernel, options.kernel}));
  affine_ = register_module("affine",
                            EqualLinear(EqualLinearOptions{.in = options.style, .out = options.in, .bias_start = 1.0}));
}

void ModulatedConvImpl::reset(at::Generator& random) {
  torch::NoGradGuard guard;
  weight.normal_(0, 1, random);
}

at::Tensor ModulatedConvImpl::forward(const at::Tensor& x, const at::Tensor& w) {
  const auto fan_in = static_cast<double>(options_.in * options_.kernel * options_.kernel);
  const at::Tensor styles = affine_(w);  // [N, in]
  const at::Tensor scaled = weight * (1.0 / std::sqrt(fan_in));
  const at::Tensor before = x * styles.to(x.scalar_type()).reshape({x.size(0), -1, 1, 1});
  const at::Tensor y =
      options_.up ? up_conv(before, scaled, Lowpass::smooth)
                  : at::conv2d(before, like_activations(scaled, x), {}, /*stride=*/1, /*padding=*/options_.kernel / 2);
  if (!options_.demodulate) return options_.gain == 1 ? y : y * options_.gain;
  // [N, in] x [in, out]: squared norms of the kernels that were never made.
  const at::Tensor norms = at::matmul(styles.square(), scaled.square().sum({2, 3}).t());
  const at::Tensor after = options_.gain * (norms + 1e-8).rsqrt();
  return y * after.to(y.scalar_type()).reshape({x.size(0), -1, 1, 1});
}

}  // namespace derm::nn
