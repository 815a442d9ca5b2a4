#pragma once
// The layers of progressive growing (Karras et al. 2018, arXiv:1710.10196), which StyleGAN2 goes on with.
#include <ATen/core/Generator.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include "derm/nn/resample.h"

namespace derm::nn {

/// Draws the weights of every equalised layer in `module` anew: N(0, 1) over the layer's learning-rate multiplier;
/// biases take their start. Other parameters stay as they are.
void initialise_equalised(torch::nn::Module& module, at::Generator& random);

/// A layer whose weights are N(0, 1) and are scaled when they are used, by gain / sqrt(fan in): under Adam every layer
/// then learns at the same rate.
class Equalised : public torch::nn::Module {
 public:
  virtual void reset(at::Generator& random) = 0;
};

struct EqualConvOptions {
  int64_t in = 0, out = 0, kernel = 3;  ///< kernel 1 or 3; the side stays, but for `up` and `down`
  double gain = 1.4142135623730951;     ///< sqrt 2 for what a leaky ReLU follows, 1 for what none does
  bool bias = true;
  Lowpass up = Lowpass::none;  ///< doubles the side
  Lowpass down = Lowpass::none;
};

/// Equalised 2-D convolution, zero padding. Parameters `weight` [out, in, k, k] and `bias` [out].
class EqualConvImpl : public Equalised {
 public:
  explicit EqualConvImpl(const EqualConvOptions& options);
  void reset(at::Generator& random) override;
  at::Tensor forward(const at::Tensor& x);
  at::Tensor weight, bias;

 private:
  EqualConvOptions options_;
};
TORCH_MODULE(EqualConv);

struct EqualLinearOptions {
  int64_t in = 0, out = 0;
  double gain = 1.0;
  double lr_multiplier = 1.0;  ///< of the learning rate: StyleGAN's mapping network learns at 0.01
  double bias_start = 0.0;
  bool bias = true;
};

/// Equalised linear map on [N, in]. Parameters `weight` [out, in] and `bias` [out].
class EqualLinearImpl : public Equalised {
 public:
  explicit EqualLinearImpl(const EqualLinearOptions& options);
  void reset(at::Generator& random) override;
  at::Tensor forward(const at::Tensor& x);
  /// The matrix that acts: [out, in], scaled.
  at::Tensor scaled_weight() const;
  at::Tensor weight, bias;

 private:
  EqualLinearOptions options_;
};
TORCH_MODULE(EqualLinear);

/// A vector for each class, N(0, 1) at the start. Parameter `weight` [classes, length].
class ClassVectorsImpl : public Equalised {
 public:
  ClassVectorsImpl(int64_t classes, int64_t length);
  void reset(at::Generator& random) override;
  at::Tensor forward(const at::Tensor& label);  ///< [N] int64 to [N, length]
  at::Tensor weight;
};
TORCH_MODULE(ClassVectors);

/// x / sqrt(mean over the channels of x^2 + 1e-8), at each pixel; of [N, C] each row.
at::Tensor pixel_norm(const at::Tensor& x);

/// Appends `planes` constant planes with how much a group of images differs: the deviation over the group, averaged
/// over channels (a share of them for each plane) and pixels. Image n is in a group with n + N/G, n + 2N/G ...
/// @param group  at most this many images a group; the largest that divides N is taken
/// @return       [N, C + planes, H, W]
at::Tensor minibatch_deviation(const at::Tensor& x, int64_t group, int64_t planes = 1);

/// The new layers' picture mixed with the old ones', doubled: alpha of the new.
/// @param coarse  [N, C, h, w]
/// @param fine    [N, C, 2h, 2w]
/// @param alpha   0 to 1
at::Tensor fade_in(const at::Tensor& coarse, const at::Tensor& fine, double alpha);

}  // namespace derm::nn
