#pragma once
// A second discriminator that judges what a network trained on photographs sees in the image, instead of its pixels
// (projected GAN: Sauer et al. 2021, arXiv:2111.01007). It learns from few images, and asks for what the patch
// discriminator cannot see.
#include <filesystem>
#include <memory>
#include <vector>

#include "derm/nn/layers.h"
#include "derm/nn/squeezenet.h"
#include "derm/recipe/recipe.h"

namespace derm::models {

/// A small network over each tap of the features, with the map beside it.
class ProjectedHeads : public torch::nn::Module {
 public:
  ProjectedHeads(int64_t map_channels, int64_t width);
  /// @param taps  as SqueezeNetFeatures gives them
  /// @param map   [N, C, S, S]
  /// @return      per tap logits [N, 1, h, w], fp32
  std::vector<at::Tensor> forward(const std::vector<at::Tensor>& taps, const at::Tensor& map);

 private:
  struct Head {
    nn::Conv mix, look, say;
  };
  std::vector<Head> heads_;
};

/// The discriminator's phase (hinge loss) and the generator's term, the mean over the taps.
class Projected {
 public:
  /// @param features  frozen; shared by the phases of a run
  explicit Projected(std::shared_ptr<nn::SqueezeNetFeatures> features) : features_(std::move(features)) {}
  std::vector<recipe::LossTerm> discriminator_losses(recipe::StepContext& context,
                                                     const recipe::Players& players) const;
  at::Tensor generator_loss(recipe::StepContext& context, const recipe::Players& players) const;

 private:
  std::vector<at::Tensor> taps_of_fake(recipe::StepContext& context, const recipe::Players& players) const;
  std::shared_ptr<nn::SqueezeNetFeatures> features_;
};

}  // namespace derm::models
