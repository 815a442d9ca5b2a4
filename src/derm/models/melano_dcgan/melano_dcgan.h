#pragma once
#include "derm/recipe/latent.h"

namespace derm::models {

/// [N, Z] straight to [N, 3, S, S]: the trunk to half the side, one more doubling, tanh.
class MelanoDcganGenerator : public recipe::LevelGenerator {
 public:
  MelanoDcganGenerator(const recipe::LatentOptions& options, int64_t size_px, int64_t classes);
  at::Tensor generate(const tensor::Inputs& inputs) override;
  std::vector<nn::Level> levels(const tensor::Inputs& inputs) override;

 private:
  int64_t classes_;
  nn::DcganTrunk trunk_{nullptr};
  nn::Up to_rgb_{nullptr};
};

void register_melano_dcgan(recipe::Catalogue& catalogue);

}  // namespace derm::models
