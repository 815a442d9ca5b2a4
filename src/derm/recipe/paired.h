#pragma once
// What the recipes that turn a map into an image share: pix2pix and its descendants.
#include "derm/nn/augmentation.h"
#include "derm/nn/patch_discriminator.h"
#include "derm/nn/unet.h"
#include "derm/recipe/recipe.h"

namespace derm::recipe {

/// A U-Net over the semantic map, with white-noise planes beside it where `noise_planes` > 0.
class UNetGenerator : public Generator {
 public:
  /// @param inject  the noise is added at every level of the decoder as well
  UNetGenerator(nn::UNetOptions options, int64_t noise_planes, bool inject = false);
  at::Tensor generate(const tensor::Inputs& inputs) override;

 private:
  int64_t noise_planes_;
  nn::UNet unet_{nullptr};
};

/// The generator's image for this step's batch: made once, shared by the discriminator's and the generator's phase.
at::Tensor fake_of(StepContext& context, const Players& players);

/// The conditional discriminator on (map, image), both after `changes`; `image` may be fp32. The discriminator has a
/// child "augmentation".
nn::PatchOutput judge(const Players& players, const at::Tensor& map, const at::Tensor& image,
                      const nn::AugmentationDraw& changes);

/// Changes for the images of this step, as the discriminator's augmentation draws them.
nn::AugmentationDraw draw_changes(StepContext& context, const Players& players, const at::Tensor& images);

/// Half of BCE towards real on real images plus half of BCE towards fake on generated ones, as Pix2Pix weighs them.
/// Real and generated images are changed alike, each by draws of its own.
std::vector<LossTerm> discriminator_bce(StepContext& context, const Players& players);

/// As many halvings as asked, or as the size allows when `levels` is 0 (at most 8).
int64_t resolve_levels(int64_t levels, int64_t size_px);

}  // namespace derm::recipe
