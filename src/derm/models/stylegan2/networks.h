#pragma once
// StyleGAN2's networks: mapping, skip generator, residual discriminator.
#include <optional>
#include <vector>

#include "derm/nn/modulated.h"
#include "derm/recipe/style.h"

namespace derm::models {

struct StyleGan2Shape {
  int64_t size_px = 256;
  int64_t width = 32;        ///< channels at the full size; twice as many at each half
  int64_t width_most = 256;  ///< at most
  int64_t latent = 512;      ///< of z and of w
  int64_t mapping_layers = 2;
  double mapping_lr = 0.01;  ///< of the learning rate
  int64_t classes = 0;       ///< 0: unconditional
  int64_t levels() const;    ///< sizes from 4 px to size_px
  int64_t channels(int64_t level) const;
};

/// Modulated convolution, noise, bias, leaky ReLU with a gain of sqrt 2.
class StyledConvImpl : public nn::Equalised {
 public:
  StyledConvImpl(const nn::ModulatedConvOptions& options, int64_t size_px);
  void reset(at::Generator& random) override;
  /// @param noise  a generator to draw fresh noise from; none: the layer's own, always the same
  at::Tensor forward(const at::Tensor& x, const at::Tensor& w, const std::optional<at::Generator>& noise);
  at::Tensor style_weight() { return conv_->style_weight(); }

 private:
  nn::ModulatedConv conv_{nullptr};
  at::Tensor bias_, noise_strength_, noise_;
};
TORCH_MODULE(StyledConv);

class StyleGan2Generator : public recipe::StyleGenerator {
 public:
  explicit StyleGan2Generator(const StyleGan2Shape& shape);
  void reset(at::Generator& random);  ///< draws all weights and the fixed noise

  /// Truncated by truncation(), fixed noise, clamped.
  at::Tensor generate(const tensor::Inputs& inputs) override;

  int64_t style_layers() const override { return 2 * shape_.levels(); }
  int64_t style_length() const override { return shape_.latent; }
  at::Tensor map(const at::Tensor& latent, const at::Tensor& label) override;
  at::Tensor synthesise(const at::Tensor& w, at::ScalarType precision) override { return draw(w, precision, {}); }
  std::vector<at::Tensor> style_weights() const override;
  at::Tensor average_style(const at::Tensor& label) const override;

  /// As synthesise(), with fresh noise where a generator is given.
  at::Tensor draw(const at::Tensor& w, at::ScalarType precision, const std::optional<at::Generator>& noise);

  /// Takes the styles of a batch into their running means, a mean a class.
  void note_styles(const at::Tensor& w, const at::Tensor& label);

  /// Running mean of the path lengths, [1]; moved towards `mean` by `share`, and returned.
  at::Tensor note_path_length(const at::Tensor& mean, double share);

 private:
  struct Block {
    StyledConv up{nullptr}, conv{nullptr};  ///< no `up` at 4 px
    nn::ModulatedConv to_rgb{nullptr};
    at::Tensor rgb_bias;
  };
  StyleGan2Shape shape_;
  nn::ClassVectors embed_{nullptr};
  std::vector<nn::EqualLinear> mapping_;
  at::Tensor start_;
  std::vector<Block> blocks_;
  at::Tensor average_style_, styles_noted_, path_length_;
};

class StyleGan2Discriminator : public torch::nn::Module {
 public:
  explicit StyleGan2Discriminator(const StyleGan2Shape& shape);
  /// @param images  [N, 3, S, S]; its type is computed in
  /// @param label   [N] int64; ignored without classes
  /// @return        [N] logits, fp32
  at::Tensor forward(const at::Tensor& images, const at::Tensor& label);

 private:
  struct Block {
    nn::EqualConv conv{nullptr}, down{nullptr}, skip{nullptr};
  };
  StyleGan2Shape shape_;
  nn::EqualConv from_rgb_{nullptr}, last_conv_{nullptr};
  std::vector<Block> blocks_;
  nn::EqualLinear last_{nullptr}, logit_{nullptr};
  nn::ClassVectors embed_{nullptr};
};

}  // namespace derm::models
