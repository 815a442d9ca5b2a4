#pragma once
#include "derm/nn/augmentation.h"
#include "derm/recipe/recipe.h"

namespace derm::models {

struct DermganOptions {
  int64_t width = 32;            ///< channels of the U-Net's outermost level
  int64_t levels = 0;            ///< halvings; 0: as many as fit, at most 8
  int64_t noise_planes = 1;      ///< white-noise planes beside the map; 0: one image per map, as in the paper
  bool noise_injection = false;  ///< the noise planes are added at every level of the decoder as well
  int64_t discriminator_width = 32;
  int64_t discriminator_layers = 2;  ///< 2: 34x34 patches, smaller than Pix2Pix's 70x70
  std::string upsample = "resize";
  std::string norm = "batch";
  std::string encoding = "planes";
  // Each loss of the paper has its switch and its weight.
  bool adversarial = true, reconstruction = true, condition = true, feature_matching = true, min_patch = true;
  double adversarial_weight = 1, reconstruction_weight = 100, condition_weight = 20, feature_matching_weight = 10,
         min_patch_weight = 1;
  double projected_weight = 0;    ///< of the discriminator over a photograph network's features; 0: none
  std::string feature_weights;    ///< file with SqueezeNet 1.1's weights, for it; read when training starts
  int64_t reconstruction_px = 1;  ///< reconstruction and condition compare means over squares of this side
  double lr = 2e-4, beta1 = 0.5, beta2 = 0.999;
  nn::AugmentationOptions augmentation;  ///< of what the discriminator sees; off, as in the paper
  void bind(Options& o);
};

void register_dermgan(recipe::Catalogue& catalogue);

}  // namespace derm::models
