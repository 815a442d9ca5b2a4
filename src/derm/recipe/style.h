#pragma once
// Generators with a style space: a mapping network turns the latent into a style w, and w drives every layer of the
// synthesis (Karras et al. 2019, 2020). What explores such a space knows this interface and no concrete model.
#include <vector>

#include "derm/recipe/recipe.h"

namespace derm::recipe {

class StyleGenerator : public Generator {
 public:
  virtual int64_t style_layers() const = 0;  ///< how many layers take a style: L
  virtual int64_t style_length() const = 0;  ///< length of a style vector: W

  /// The styles of latents, as the mapping network gives them: not truncated.
  /// @param latent  [N, Z] standard normal, any float type
  /// @param label   [N] int64, index of the condition; undefined for a generator without classes
  /// @return        [N, L, W] fp32, the same vector for every layer; differentiable in `latent`
  virtual at::Tensor map(const at::Tensor& latent, const at::Tensor& label) = 0;

  /// The images of styles. Noise is fixed, so that equal styles give equal images.
  /// @param w          [N, L, W] fp32; the layers may differ
  /// @param precision  that the synthesis computes in: kFloat, or kBFloat16 where the device gains from it
  /// @return           [N, 3, S, S] fp32, about [-1, 1] and not clamped, so that its gradient reaches w everywhere
  virtual at::Tensor synthesise(const at::Tensor& w, at::ScalarType precision = at::kFloat) = 0;

  /// The matrices that turn a style into the channel scales of a layer, in the order of the layers: what closed-form
  /// factorisation (Shen and Zhou 2021) takes its directions from. Layer i's scales are w[:, i] A^T + b.
  /// @return  L matrices [channels, W] fp32, detached, as they act (a gain that is applied at run time is in them)
  virtual std::vector<at::Tensor> style_weights() const = 0;

  /// Running mean of the styles seen in training: where truncation leads to.
  /// @param label  [N] int64, or undefined (then N = 1: the mean over the classes)
  /// @return       [N, W] fp32
  virtual at::Tensor average_style(const at::Tensor& label) const = 0;

  /// psi: generate() uses average + psi (w - average). 1 leaves styles as they are, 0 gives the average of the class.
  void set_truncation(double psi) { truncation_ = psi; }
  double truncation() const { return truncation_; }

  /// `w` moved towards `average_style(label)` by `truncation()`. [N, L, W].
  at::Tensor truncated(const at::Tensor& w, const at::Tensor& label) const;

 private:
  double truncation_ = 1;
};

}  // namespace derm::recipe
