#pragma once
#include "derm/nn/augmentation.h"
#include "derm/recipe/recipe.h"

namespace derm::models {

struct Pix2PixOptions {
  int64_t width = 64;  ///< channels of the U-Net's outermost level
  int64_t levels = 0;  ///< halvings; 0: as many as fit, at most 8
  int64_t discriminator_width = 64;
  int64_t discriminator_layers = 3;  ///< 3: 70x70 patches
  std::string upsample = "transposed";
  std::string norm = "batch";
  std::string encoding = "rgb";
  double l1_weight = 100;
  double lr = 2e-4, beta1 = 0.5, beta2 = 0.999;
  nn::AugmentationOptions augmentation;  ///< of what the discriminator sees; off, as in the paper
  void bind(Options& o);
};

void register_pix2pix(recipe::Catalogue& catalogue);

}  // namespace derm::models
