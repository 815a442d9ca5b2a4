#include "derm/models/pgan/networks.h"

#include <cmath>

#include <torch/torch.h>

namespace derm::models {
namespace {

constexpr double kGrowthUnit = 1 << 20;
constexpr int64_t kDeviationGroup = 4;

at::Tensor bend(const at::Tensor& x) { return at::leaky_relu(x, 0.2); }

nn::EqualConv rgb_conv(int64_t in, int64_t out, double gain) {
  return nn::EqualConv(nn::EqualConvOptions{.in = in, .out = out, .kernel = 1, .gain = gain});
}

}  // namespace

int64_t PganShape::levels() const {
  int64_t n = 1;
  while ((int64_t{4} << (n - 1)) < size_px) ++n;
  return n;
}

int64_t PganShape::channels(int64_t level) const {
  return std::min(width * (size_px / (int64_t{4} << level)), width_most);
}

PganGenerator::PganGenerator(const PganShape& shape) : shape_(shape) {
  const int64_t levels = shape.levels(), c0 = shape.channels(0);
  if (shape.classes > 0) embed_ = register_module("embed", nn::ClassVectors(shape.classes, shape.latent));
  base_ = register_module("base",
                          nn::EqualLinear(nn::EqualLinearOptions{.in = shape.latent * (shape.classes > 0 ? 2 : 1),
                                                                 .out = c0 * 16,
                                                                 .gain = std::sqrt(2.0) / 4}));  // the published gain
  base_conv_ = register_module("base_conv", nn::EqualConv(nn::EqualConvOptions{.in = c0, .out = c0}));
  for (int64_t level = 0; level < levels; ++level) {
    const int64_t size = int64_t{4} << level, c = shape.channels(level);
    to_rgb_.push_back(register_module(fmt::format("to_rgb{}", size), rgb_conv(c, 3, 1.0)));
    if (level == 0) continue;
    blocks_.push_back(
        {register_module(
             fmt::format("conv{}_up", size),
             nn::EqualConv(nn::EqualConvOptions{.in = shape.channels(level - 1), .out = c, .up = nn::Lowpass::box})),
         register_module(fmt::format("conv{}", size), nn::EqualConv(nn::EqualConvOptions{.in = c, .out = c}))});
  }
  growth_ = register_buffer("growth", torch::zeros({1}, torch::kLong));
  set_growth({.level = levels - 1, .alpha = 1});
}

void PganGenerator::set_growth(const Growth& growth) {
  growth_.fill_(static_cast<int64_t>(std::llround(growth.value() * kGrowthUnit)));
}

Growth PganGenerator::growth() const { return Growth::of(static_cast<double>(growth_.item<int64_t>()) / kGrowthUnit); }

at::Tensor PganGenerator::generate_at(const tensor::Inputs& inputs, const Growth& growth, at::ScalarType precision) {
  at::Tensor z = nn::pixel_norm(inputs.latent.to(at::kFloat));  // [N, Z]
  if (shape_.classes > 0) z = at::cat({z, nn::pixel_norm(embed_(inputs.label))}, 1);
  at::Tensor x = base_(z).reshape({z.size(0), -1, 4, 4});  // [N, C0, 4, 4]
  x = x.to(precision).contiguous(at::MemoryFormat::ChannelsLast);
  x = nn::pixel_norm(bend(x));
  x = nn::pixel_norm(bend(base_conv_(x)));
  at::Tensor before;
  for (int64_t level = 1; level <= growth.level; ++level) {
    before = x;
    auto& block = blocks_[static_cast<size_t>(level - 1)];
    x = nn::pixel_norm(bend(block.first(x)));  // [N, C, 4 << level, 4 << level]
    x = nn::pixel_norm(bend(block.second(x)));
  }
  const auto picture = [&](int64_t level, const at::Tensor& features) {
    return to_rgb_[static_cast<size_t>(level)](features).to(at::kFloat);
  };
  const at::Tensor fine = picture(growth.level, x);
  return growth.alpha < 1 ? nn::fade_in(picture(growth.level - 1, before), fine, growth.alpha) : fine;
}

at::Tensor PganGenerator::generate(const tensor::Inputs& inputs) {
  const at::Tensor made = generate_at(inputs, growth(), inputs.latent.scalar_type()).clamp(-1, 1);
  return made.size(2) == shape_.size_px ? made : at::upsample_nearest2d(made, {shape_.size_px, shape_.size_px});
}

PganCritic::PganCritic(const PganShape& shape) : shape_(shape) {
  const int64_t levels = shape.levels(), c0 = shape.channels(0);
  for (int64_t level = 0; level < levels; ++level) {
    const int64_t size = int64_t{4} << level, c = shape.channels(level);
    from_rgb_.push_back(register_module(fmt::format("from_rgb{}", size), rgb_conv(3, c, std::sqrt(2.0))));
    if (level == 0) continue;
    blocks_.push_back(
        {register_module(fmt::format("conv{}", size), nn::EqualConv(nn::EqualConvOptions{.in = c, .out = c})),
         register_module(fmt::format("conv{}_down", size),
                         nn::EqualConv(nn::EqualConvOptions{
                             .in = c, .out = shape.channels(level - 1), .down = nn::Lowpass::box}))});
  }
  last_conv_ = register_module("last_conv", nn::EqualConv(nn::EqualConvOptions{.in = c0 + 1, .out = c0}));
  last_ = register_module("last",
                          nn::EqualLinear(nn::EqualLinearOptions{.in = c0 * 16, .out = c0, .gain = std::sqrt(2.0)}));
  score_ = register_module("score", nn::EqualLinear(nn::EqualLinearOptions{.in = c0, .out = 1}));
  if (shape.classes > 0) embed_ = register_module("embed", nn::ClassVectors(shape.classes, c0));
}

at::Tensor PganCritic::forward(const at::Tensor& images, const at::Tensor& label, const Growth& growth) {
  at::Tensor x = bend(from_rgb_[static_cast<size_t>(growth.level)](images));
  for (int64_t level = growth.level; level > 0; --level) {
    auto& block = blocks_[static_cast<size_t>(level - 1)];
    x = bend(block.first(x));
    x = bend(block.second(x));  // [N, C, 4 << (level - 1), ...]
    if (level == growth.level && growth.alpha < 1) {
      const at::Tensor old = bend(from_rgb_[static_cast<size_t>(level - 1)](at::avg_pool2d(images, {2, 2})));
      x = growth.alpha * x + (1 - growth.alpha) * old;
    }
  }
  x = bend(last_conv_(nn::minibatch_deviation(x, kDeviationGroup)));  // [N, C0, 4, 4]
  x = bend(last_(x.to(at::kFloat).flatten(1)));                       // [N, C0]
  at::Tensor score = score_(x).squeeze(1);
  // A class is a direction in the last features (Miyato and Koyama 2018).
  if (shape_.classes > 0) score = score + (x * embed_(label)).sum(1) / std::sqrt(static_cast<double>(x.size(1)));
  return score;
}

}  // namespace derm::models
