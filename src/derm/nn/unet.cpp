#include "derm/nn/unet.h"

#include <torch/torch.h>

#include "derm/base/error.h"

namespace derm::nn {

UNetImpl::UNetImpl(const UNetOptions& options) : options_(options) {
  const int64_t size = options.size_px, levels = options.levels;
  if (size < 16 || size > 1024 || (size & (size - 1)) != 0)
    throw UsageError("the U-Net's image size is {} px, expected a power of two from 16 to 1024", size);
  if (levels < 2 || (int64_t{1} << levels) > size)
    throw UsageError("levels = {} halves {} px images too often, expected 2 to {}", levels, size,
                     static_cast<int>(std::log2(size)));
  if (options.width < 1) throw UsageError("width = {}, expected at least 1", options.width);
  if (options.noise_planes < 0 || options.noise_planes >= options.in_channels)
    throw UsageError("noise_planes = {}, expected fewer than the {} channels of the input", options.noise_planes,
                     options.in_channels);
  if (options.upsample != "transposed" && options.upsample != "resize")
    throw UsageError("upsample = \"{}\", expected transposed or resize", options.upsample);

  const auto channels = [&](int64_t level) { return options.width * std::min<int64_t>(int64_t{1} << level, 8); };
  for (int64_t i = 0; i < levels; ++i) {
    const int64_t in = i == 0 ? options.in_channels : channels(i - 1);
    // The outermost and the innermost level have no norm; a bias before a batch norm would be taken out again by it.
    const bool normed = i != 0 && i != levels - 1 && options.norm != "none";
    down_.push_back(register_module(
        fmt::format("down{}", i),
        Conv(ConvOptions{.in = in, .out = channels(i), .kernel = 4, .stride = 2, .padding = 1, .bias = !normed})));
    down_norm_.push_back(
        register_module(fmt::format("down{}_norm", i), Norm(normed ? options.norm : "none", channels(i))));
  }
  for (int64_t i = levels - 1; i >= 0; --i) {
    const int64_t in = i == levels - 1 ? channels(i) : 2 * channels(i);  // with the skip of the same level
    const int64_t out = i == 0 ? options.out_channels : channels(i - 1);
    const bool normed = i != 0 && options.norm != "none";
    const std::string name = fmt::format("up{}", i);
    if (options.upsample == "transposed") {
      up_transposed_.push_back(register_module(name, UpConv(in, out, !normed)));
    } else {
      up_resize_.push_back(register_module(name, ResizeConv(in, out, !normed)));
    }
    up_norm_.push_back(register_module(name + "_norm", Norm(normed ? options.norm : "none", out)));
    if (options.noise_planes > 0 && i != 0) {
      up_noise_.push_back(register_module(
          name + "_noise",
          Conv(ConvOptions{.in = options.noise_planes, .out = out, .kernel = 1, .padding = 0, .bias = false})));
    }
  }
}

at::Tensor UNetImpl::forward(const at::Tensor& map) {
  if (map.dim() != 4 || map.size(1) != options_.in_channels)
    throw UsageError("the U-Net takes a map of {} channels, got {}", options_.in_channels,
                     map.dim() == 4 ? map.size(1) : -1);
  const int64_t levels = options_.levels;
  // Level i: [N, width 2^i, S / 2^(i+1), ...]. What comes back is bent by ReLU, of which the leaky one before it takes
  // nothing away.
  std::vector<at::Tensor> skips;
  at::Tensor x = map;
  for (int64_t i = 0; i < levels; ++i) {
    const bool innermost = i == levels - 1;
    x = down_norm_[i](down_[i](x), innermost ? Activation::relu() : Activation::leaky_relu());
    skips.push_back(x);
  }
  for (int64_t k = 0; k < levels; ++k) {
    const int64_t level = levels - 1 - k;  // from [N, C, S / 2^(level+1)] to [N, C', S / 2^level]
    if (k != 0) x = at::cat({x, at::relu(skips[level])}, 1);
    x = options_.upsample == "transposed" ? up_transposed_[k](x) : up_resize_[k](x);
    const bool noisy = !up_noise_.empty() && level != 0;
    x = up_norm_[k](x, level == 0 || noisy ? Activation::none() : Activation::relu());
    if (noisy) {
      // The mean of white noise over squares of side n, times n, is white noise on the small map.
      const int64_t side = int64_t{1} << level;
      const at::Tensor noise = map.narrow(1, map.size(1) - options_.noise_planes, options_.noise_planes);
      x = at::relu(x + up_noise_[k](at::avg_pool2d(noise, {side, side}) * static_cast<double>(side)));
    }
    if (is_training() && k >= 1 && k <= options_.dropout_levels && level != 0) x = at::dropout(x, 0.5, true);
  }
  return at::tanh(x.to(at::kFloat));  // [N, out, S, S]; in fp32, since bf16 near +-1 is as coarse as 8 bits
}

}  // namespace derm::nn
