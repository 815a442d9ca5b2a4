#include "derm/nn/resample.h"

#include <torch/torch.h>

#include "derm/nn/activations.h"

namespace derm::nn {
namespace {

/// Taps that sum to one.
std::vector<double> taps_of(Lowpass lowpass) {
  TORCH_INTERNAL_ASSERT(lowpass != Lowpass::none);
  if (lowpass == Lowpass::box) return {0.5, 0.5};
  return {0.125, 0.375, 0.375, 0.125};
}

/// [rows.., k] on the device and in the type of the weight.
at::Tensor matrix(const std::vector<double>& values, at::IntArrayRef shape, const at::Tensor& weight) {
  return torch::tensor(values, at::kDouble).reshape(shape).to(weight.options());
}

/// [2, 3, k]: what tap t of the kernel, filtered, gives to input i + a - 1 of output 2i + p.
at::Tensor phases_of(Lowpass lowpass, const at::Tensor& weight) {
  const std::vector<double> filter = taps_of(lowpass);
  const int64_t k = weight.size(2), n = static_cast<int64_t>(filter.size());
  std::vector<double> values(static_cast<size_t>(2 * 3 * k), 0.0);
  // Output 2i + p sees the zero-filled grid at 2i + p + (t - k/2) + (j - n/2); pixel i + a - 1 stands at 2i + 2a - 2.
  for (int64_t p = 0; p < 2; ++p)
    for (int64_t a = 0; a < 3; ++a)
      for (int64_t t = 0; t < k; ++t) {
        const int64_t j = 2 * a - 2 - p - (t - k / 2) + n / 2;
        if (j >= 0 && j < n) values[static_cast<size_t>((p * 3 + a) * k + t)] = 2 * filter[static_cast<size_t>(j)];
      }
  return matrix(values, {2, 3, k}, weight);
}

at::Tensor identity(const at::Tensor& x) {
  return torch::eye(x.size(1), x.options()).reshape({x.size(1), x.size(1), 1, 1});
}

}  // namespace

at::Tensor up_conv(const at::Tensor& x, const at::Tensor& weight, Lowpass lowpass) {
  const at::Tensor phases = phases_of(lowpass, weight);
  const int64_t out = weight.size(0), in = weight.size(1), h = x.size(2), w = x.size(3);
  // Four kernels of 3x3 on the small map, one for each output phase.
  const at::Tensor kernels = at::einsum("pat,oits,qbs->pqoiab", {phases, weight, phases}).reshape({4 * out, in, 3, 3});
  const at::Tensor y = at::conv2d(x, like_activations(kernels, x), {}, /*stride=*/1, /*padding=*/1);
  return y
      .permute({0, 2, 3, 1})                  // [N, h, w, 2 2 out]
      .reshape({x.size(0), h, w, 2, 2, out})  //
      .permute({0, 1, 3, 2, 4, 5})            // [N, h, 2, w, 2, out]
      .reshape({x.size(0), 2 * h, 2 * w, out})
      .permute({0, 3, 1, 2});
}

at::Tensor down_conv(const at::Tensor& x, const at::Tensor& weight, Lowpass lowpass) {
  const std::vector<double> filter = taps_of(lowpass);
  const int64_t k = weight.size(2), n = static_cast<int64_t>(filter.size()), taps = k + n - 1;
  std::vector<double> values(static_cast<size_t>(taps * k), 0.0);
  for (int64_t m = 0; m < taps; ++m)
    for (int64_t t = 0; t < k; ++t)
      if (m - t >= 0 && m - t < n) values[static_cast<size_t>(m * k + t)] = filter[static_cast<size_t>(m - t)];
  const at::Tensor folded = matrix(values, {taps, k}, weight);
  const at::Tensor kernel = at::einsum("mt,oits,ns->oimn", {folded, weight, folded});
  return at::conv2d(x, like_activations(kernel, x), {}, /*stride=*/2, /*padding=*/(taps - 2) / 2);
}

at::Tensor upsample(const at::Tensor& x, Lowpass lowpass) { return up_conv(x, identity(x), lowpass); }
at::Tensor downsample(const at::Tensor& x, Lowpass lowpass) { return down_conv(x, identity(x), lowpass); }

}  // namespace derm::nn
