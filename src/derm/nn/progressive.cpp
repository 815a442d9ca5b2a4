#include "derm/nn/progressive.h"

#include <cmath>

#include <torch/torch.h>

#include "derm/nn/activations.h"

namespace derm::nn {

void initialise_equalised(torch::nn::Module& module, at::Generator& random) {
  for (const auto& child : module.modules(/*include_self=*/false))
    if (auto* layer = dynamic_cast<Equalised*>(child.get())) layer->reset(random);
}

EqualConvImpl::EqualConvImpl(const EqualConvOptions& options) : options_(options) {
  TORCH_INTERNAL_ASSERT(options.up == Lowpass::none || options.down == Lowpass::none);
  weight = register_parameter("weight", torch::zeros({options.out, options.in, options.kernel, options.kernel}));
  if (options.bias) bias = register_parameter("bias", torch::zeros({options.out}));
}

void EqualConvImpl::reset(at::Generator& random) {
  torch::NoGradGuard guard;
  weight.normal_(0, 1, random);
  if (bias.defined()) bias.zero_();
}

at::Tensor EqualConvImpl::forward(const at::Tensor& x) {
  const auto fan_in = static_cast<double>(options_.in * options_.kernel * options_.kernel);
  const at::Tensor scaled = weight * (options_.gain / std::sqrt(fan_in));
  if (options_.up == Lowpass::none && options_.down == Lowpass::none)
    return at::conv2d(x, like_activations(scaled, x), like_activations(bias, x), /*stride=*/1,
                      /*padding=*/options_.kernel / 2);
  const at::Tensor y =
      options_.up != Lowpass::none ? up_conv(x, scaled, options_.up) : down_conv(x, scaled, options_.down);
  return bias.defined() ? y + like_activations(bias.reshape({1, -1, 1, 1}), y) : y;
}

EqualLinearImpl::EqualLinearImpl(const EqualLinearOptions& options) : options_(options) {
  weight = register_parameter("weight", torch::zeros({options.out, options.in}));
  if (options.bias) bias = register_parameter("bias", torch::zeros({options.out}));
}

void EqualLinearImpl::reset(at::Generator& random) {
  torch::NoGradGuard guard;
  weight.normal_(0, 1.0 / options_.lr_multiplier, random);
  if (bias.defined()) bias.fill_(options_.bias_start / options_.lr_multiplier);
}

at::Tensor EqualLinearImpl::scaled_weight() const {
  return weight * (options_.gain * options_.lr_multiplier / std::sqrt(static_cast<double>(options_.in)));
}

at::Tensor EqualLinearImpl::forward(const at::Tensor& x) {
  const at::Tensor y = at::matmul(x, like_activations(scaled_weight(), x).t());
  return bias.defined() ? y + like_activations(bias * options_.lr_multiplier, x) : y;
}

ClassVectorsImpl::ClassVectorsImpl(int64_t classes, int64_t length) {
  weight = register_parameter("weight", torch::zeros({classes, length}));
}

void ClassVectorsImpl::reset(at::Generator& random) {
  torch::NoGradGuard guard;
  weight.normal_(0, 1, random);
}

at::Tensor ClassVectorsImpl::forward(const at::Tensor& label) { return weight.index_select(0, label); }

at::Tensor pixel_norm(const at::Tensor& x) { return x * (x.square().mean(1, /*keepdim=*/true) + 1e-8).rsqrt(); }

at::Tensor minibatch_deviation(const at::Tensor& x, int64_t group, int64_t planes) {
  const int64_t n = x.size(0), c = x.size(1), h = x.size(2), w = x.size(3);
  TORCH_INTERNAL_ASSERT(group >= 1 && c % planes == 0);
  int64_t g = std::min(group, n);
  while (n % g != 0) --g;
  // Small next to a convolution, and a deviation of near-equal numbers: in fp32 at least.
  const at::Tensor wide = x.scalar_type() == at::kDouble ? x : x.to(at::kFloat);
  const at::Tensor y = wide.reshape({g, n / g, planes, c / planes, h, w});
  const at::Tensor variance = (y - y.mean(0, /*keepdim=*/true)).square().mean(0);  // [N / g, planes, C / planes, h, w]
  const at::Tensor level = (variance + 1e-8).sqrt().mean({2, 3, 4});               // [N / g, planes]
  const at::Tensor plane = level.reshape({1, n / g, planes, 1, 1}).expand({g, n / g, planes, h, w});
  return at::cat({x, plane.reshape({n, planes, h, w}).to(x.scalar_type())}, 1).contiguous(x.suggest_memory_format());
}

at::Tensor fade_in(const at::Tensor& coarse, const at::Tensor& fine, double alpha) {
  return alpha * fine + (1 - alpha) * upsample(coarse, Lowpass::box);
}

}  // namespace derm::nn
