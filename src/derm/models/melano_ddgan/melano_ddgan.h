#pragma once
#include "derm/recipe/latent.h"

namespace derm::models {

/// One noise through one trunk of features; at every level from base to full side they add to the doubled image of the
/// level below. Doubling is fixed ("resize") or learnt ("deconv"), for features and images alike.
class MelanoDdganGenerator : public recipe::LevelGenerator {
 public:
  MelanoDdganGenerator(const recipe::LatentOptions& options, int64_t levels, const std::string& upsample,
                       int64_t size_px, int64_t classes);
  at::Tensor generate(const tensor::Inputs& inputs) override;  ///< the last level, cut to [-1, 1]
  std::vector<nn::Level> levels(const tensor::Inputs& inputs) override;

 private:
  int64_t classes_;
  nn::DcganTrunk trunk_{nullptr};
  std::vector<nn::Up> ups_;
  std::vector<nn::Norm> norms_;
  std::vector<nn::Conv> to_rgb_;           ///< of every level
  std::vector<nn::UpConv> image_deconvs_;  ///< learnt doubling of images; empty where it is fixed
};

void register_melano_ddgan(recipe::Catalogue& catalogue);

}  // namespace derm::models
