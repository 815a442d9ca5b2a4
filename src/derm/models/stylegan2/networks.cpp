#include "derm/models/stylegan2/networks.h"

#include <cmath>

#include <torch/torch.h>

namespace derm::models {
namespace {

constexpr int64_t kDeviationGroup = 4;
constexpr double kStyleDecay = 0.995;  // of the running mean of the styles, a step
const double kRoot2 = std::sqrt(2.0);

at::Tensor bend(const at::Tensor& x) { return at::leaky_relu(x, 0.2); }

}  // namespace

int64_t StyleGan2Shape::levels() const {
  int64_t n = 1;
  while ((int64_t{4} << (n - 1)) < size_px) ++n;
  return n;
}

int64_t StyleGan2Shape::channels(int64_t level) const {
  return std::min(width * (size_px / (int64_t{4} << level)), width_most);
}

StyledConvImpl::StyledConvImpl(const nn::ModulatedConvOptions& options, int64_t size_px) {
  nn::ModulatedConvOptions with_gain = options;
  with_gain.gain = kRoot2;  // leaky ReLU of a multiple is the multiple of the leaky ReLU
  conv_ = register_module("conv", nn::ModulatedConv(with_gain));
  bias_ = register_parameter("bias", torch::zeros({options.out}));
  noise_strength_ = register_parameter("noise_strength", torch::zeros({1}));
  noise_ = register_buffer("noise", torch::zeros({1, 1, size_px, size_px}));
}

void StyledConvImpl::reset(at::Generator& random) {
  torch::NoGradGuard guard;
  bias_.zero_();
  noise_strength_.zero_();
  noise_.normal_(0, 1, random);
}

at::Tensor StyledConvImpl::forward(const at::Tensor& x, const at::Tensor& w,
                                   const std::optional<at::Generator>& noise) {
  at::Tensor y = conv_(x, w);  // [N, C, S, S]
  const at::Tensor field = noise ? at::randn({y.size(0), 1, y.size(2), y.size(3)}, *noise, w.options()) : noise_;
  // In place: each pass over a large map costs as much as its convolution, and no gradient needs what is overwritten.
  y.add_((kRoot2 * noise_strength_ * field).to(y.scalar_type()));
  y.add_((kRoot2 * bias_).to(y.scalar_type()).reshape({1, -1, 1, 1}));
  return at::leaky_relu_(y, 0.2);
}

StyleGan2Generator::StyleGan2Generator(const StyleGan2Shape& shape) : shape_(shape) {
  if (shape.classes > 0) embed_ = register_module("embed", nn::ClassVectors(shape.classes, shape.latent));
  for (int64_t i = 0; i < shape.mapping_layers; ++i)
    mapping_.push_back(register_module(
        fmt::format("mapping{}", i),
        nn::EqualLinear(nn::EqualLinearOptions{.in = shape.latent * (i == 0 && shape.classes > 0 ? 2 : 1),
                                               .out = shape.latent,
                                               .gain = kRoot2,
                                               .lr_multiplier = shape.mapping_lr})));
  start_ = register_parameter("start", torch::zeros({shape.channels(0), 4, 4}));
  for (int64_t level = 0; level < shape.levels(); ++level) {
    const int64_t size = int64_t{4} << level, c = shape.channels(level);
    const auto options = [&](int64_t in, int64_t out, int64_t kernel, bool demodulate, bool up) {
      return nn::ModulatedConvOptions{
          .in = in, .out = out, .kernel = kernel, .style = shape.latent, .demodulate = demodulate, .up = up};
    };
    Block block;
    if (level > 0)
      block.up = register_module(fmt::format("conv{}_up", size),
                                 StyledConv(options(shape.channels(level - 1), c, 3, true, true), size));
    block.conv = register_module(fmt::format("conv{}", size), StyledConv(options(c, c, 3, true, false), size));
    block.to_rgb = register_module(fmt::format("to_rgb{}", size), nn::ModulatedConv(options(c, 3, 1, false, false)));
    block.rgb_bias = register_parameter(fmt::format("rgb_bias{}", size), torch::zeros({3}));
    blocks_.push_back(block);
  }
  average_style_ = register_buffer("average_style", torch::zeros({std::max<int64_t>(shape.classes, 1), shape.latent}));
  styles_noted_ = register_buffer("styles_noted", torch::zeros({average_style_.size(0)}, torch::kLong));
  path_length_ = register_buffer("path_length", torch::zeros({1}));
}

void StyleGan2Generator::reset(at::Generator& random) {
  nn::initialise_equalised(*this, random);
  torch::NoGradGuard guard;
  start_.normal_(0, 1, random);
}

at::Tensor StyleGan2Generator::map(const at::Tensor& latent, const at::Tensor& label) {
  at::Tensor x = nn::pixel_norm(latent.to(at::kFloat));
  if (shape_.classes > 0) x = at::cat({x, nn::pixel_norm(embed_(label))}, 1);
  for (auto& layer : mapping_) x = bend(layer(x));  // [N, W]
  return x.unsqueeze(1).expand({-1, style_layers(), -1});
}

at::Tensor StyleGan2Generator::draw(const at::Tensor& w, at::ScalarType precision,
                                    const std::optional<at::Generator>& noise) {
  at::Tensor x = start_.unsqueeze(0).expand({w.size(0), -1, -1, -1}).to(precision);
  x = x.contiguous(at::MemoryFormat::ChannelsLast);
  const auto wide = precision == at::kDouble ? at::kDouble : at::kFloat;
  at::Tensor picture;
  int64_t layer = 0;
  for (auto& block : blocks_) {
    if (!block.up.is_empty()) x = block.up(x, w.select(1, layer++), noise);
    x = block.conv(x, w.select(1, layer++), noise);  // [N, C, 4 << level, ...]
    // The style of the layer that comes next, as published.
    const at::Tensor rgb = block.to_rgb(x, w.select(1, layer)).to(wide) + block.rgb_bias.reshape({1, 3, 1, 1});
    picture = picture.defined() ? nn::upsample(picture, nn::Lowpass::smooth) + rgb : rgb;
  }
  return picture;
}

at::Tensor StyleGan2Generator::generate(const tensor::Inputs& inputs) {
  const at::Tensor w = truncated(map(inputs.latent, inputs.label), shape_.classes > 0 ? inputs.label : at::Tensor());
  return synthesise(w, inputs.latent.scalar_type()).clamp(-1, 1);
}

std::vector<at::Tensor> StyleGan2Generator::style_weights() const {
  torch::NoGradGuard guard;
  std::vector<std::vector<at::Tensor>> parts(static_cast<size_t>(style_layers()));
  size_t layer = 0;
  for (Block block : blocks_) {  // holders: a copy shares the layers
    if (!block.up.is_empty()) parts[layer++].push_back(block.up->style_weight());
    parts[layer++].push_back(block.conv->style_weight());
    parts[layer].push_back(block.to_rgb->style_weight());
  }
  std::vector<at::Tensor> weights;
  for (const auto& part : parts) weights.push_back(at::cat(part, 0).detach());
  return weights;
}

at::Tensor StyleGan2Generator::average_style(const at::Tensor& label) const {
  return label.defined() && shape_.classes > 0 ? average_style_.index_select(0, label) : average_style_.mean(0, true);
}

void StyleGan2Generator::note_styles(const at::Tensor& w, const at::Tensor& label) {
  torch::NoGradGuard guard;
  const at::Tensor styles = w.select(1, 0).to(average_style_.scalar_type());
  const int64_t classes = average_style_.size(0);
  // Which style is of which class, as numbers: rows picked by a condition would make a GPU's host wait for their count.
  const at::Tensor of_class =
      shape_.classes > 0 ? (label.unsqueeze(1) == at::arange(classes, label.options())).to(styles.scalar_type())
                         : at::ones({styles.size(0), 1}, styles.options());       // [N, K]
  const at::Tensor count = of_class.sum(0).unsqueeze(1);                          // [K, 1]
  const at::Tensor mean = at::matmul(of_class.t(), styles) / count.clamp_min(1);  // [K, D]
  // The first steps count as in a plain mean, so that the zeros of the start are forgotten.
  const at::Tensor share = (styles_noted_ + 1).to(styles.scalar_type()).reciprocal().clamp_min(1 - kStyleDecay);
  const at::Tensor occurs = count > 0;
  average_style_.lerp_(mean, share.unsqueeze(1) * occurs);
  styles_noted_.add_(occurs.squeeze(1));
}

at::Tensor StyleGan2Generator::note_path_length(const at::Tensor& mean, double share) {
  torch::NoGradGuard guard;
  path_length_.lerp_(mean.reshape({1}), share);
  return path_length_.clone();
}

StyleGan2Discriminator::StyleGan2Discriminator(const StyleGan2Shape& shape) : shape_(shape) {
  const int64_t levels = shape.levels(), c0 = shape.channels(0);
  const auto conv = [&](const std::string& name, const nn::EqualConvOptions& options) {
    return register_module(name, nn::EqualConv(options));
  };
  from_rgb_ = conv("from_rgb", {.in = 3, .out = shape.channels(levels - 1), .kernel = 1});
  for (int64_t level = levels - 1; level > 0; --level) {
    const int64_t size = int64_t{4} << level, c = shape.channels(level), next = shape.channels(level - 1);
    // The two ways are added and divided by sqrt 2; their gains hold that division.
    blocks_.push_back(
        {conv(fmt::format("conv{}", size), {.in = c, .out = c}),
         conv(fmt::format("conv{}_down", size), {.in = c, .out = next, .gain = 1.0, .down = nn::Lowpass::smooth}),
         conv(
             fmt::format("skip{}", size),
             {.in = c, .out = next, .kernel = 1, .gain = std::sqrt(0.5), .bias = false, .down = nn::Lowpass::smooth})});
  }
  last_conv_ = conv("last_conv", {.in = c0 + 1, .out = c0});
  last_ = register_module("last", nn::EqualLinear(nn::EqualLinearOptions{.in = c0 * 16, .out = c0, .gain = kRoot2}));
  logit_ = register_module("logit", nn::EqualLinear(nn::EqualLinearOptions{.in = c0, .out = 1}));
  if (shape.classes > 0) embed_ = register_module("embed", nn::ClassVectors(shape.classes, c0));
}

at::Tensor StyleGan2Discriminator::forward(const at::Tensor& images, const at::Tensor& label) {
  at::Tensor x = bend(from_rgb_(images));
  for (auto& block : blocks_) x = bend(block.down(bend(block.conv(x)))) + block.skip(x);  // [N, C, S / 2, S / 2] ...
  x = bend(last_conv_(nn::minibatch_deviation(x, kDeviationGroup)));                      // [N, C0, 4, 4]
  x = bend(last_(x.to(at::kFloat).flatten(1)));                                           // [N, C0]
  at::Tensor logits = logit_(x).squeeze(1);
  // A class is a direction in the last features (Miyato and Koyama 2018).
  if (shape_.classes > 0) logits = logits + (x * embed_(label)).sum(1) / std::sqrt(static_cast<double>(x.size(1)));
  return logits;
}

}  // namespace derm::models
