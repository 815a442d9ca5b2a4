#pragma once
// What the MelanoGANs share (Baur, Albarqouni, Navab 2018, arXiv:1804.04338): images from vectors, at one level or
// several, and a least-squares discriminator at each.
#include <string>
#include <vector>

#include "derm/nn/augmentation.h"
#include "derm/nn/dcgan.h"
#include "derm/nn/pyramid.h"
#include "derm/recipe/recipe.h"

namespace derm::recipe {

struct LatentOptions {
  int64_t latent = 64;  ///< length of z, as in the paper
  int64_t width = 64;   ///< channels of the generator at half the image's side; doubled below, up to 8 width
  int64_t discriminator_width = 64;  ///< channels after a discriminator's first convolution
  std::string norm = "batch", discriminator_norm = "spectral";
  bool class_conditional = false;  ///< the condition goes into generator and discriminators; the paper has none
  double lr = 2e-4, beta1 = 0.5, beta2 = 0.999;
  nn::AugmentationOptions augmentation;  ///< of what the discriminators see; off, as in the paper
  void bind(Options& o);
  void validate(const ImageSpec& spec) const;
};

/// A generator whose image is seen at every level of a pyramid, smallest first.
class LevelGenerator : public Generator {
 public:
  /// Images [N, 3, s, s] in fp32, not cut to [-1, 1]; `low` where the generator makes residuals.
  virtual std::vector<nn::Level> levels(const tensor::Inputs& inputs) = 0;
};

/// A recipe with players "generator", a LevelGenerator, and "discriminator", a network a level.
class LatentRecipe : public Recipe {
 public:
  void bind(Options& o) override { common_.bind(o); }
  void validate(const ImageSpec& spec) const override { common_.validate(spec); }
  Needs needs() const override { return {.latent = common_.latent, .label = common_.class_conditional}; }
  Players make_players(const ImageSpec& spec, at::Generator& random) const override;
  std::vector<Phase> phases(const Players& players) const override;
  AdamSpec optimiser(const std::string&) const override;

 protected:
  virtual std::shared_ptr<LevelGenerator> make_generator(const ImageSpec& spec) const = 0;
  virtual int64_t levels() const { return 1; }
  virtual bool residuals() const { return false; }  ///< discriminators see residuals, and the image below them

  /// Classes that the networks are told: the conditions, or 0.
  int64_t classes(const ImageSpec& spec) const {
    return common_.class_conditional ? static_cast<int64_t>(spec.conditions.size()) : 0;
  }

  LatentOptions common_;
};

/// z with the class beside it: [N, Z + classes] in z's type.
at::Tensor told(const at::Tensor& z, const at::Tensor& label, int64_t classes);

}  // namespace derm::recipe
