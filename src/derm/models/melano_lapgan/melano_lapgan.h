#pragma once
#include "derm/recipe/latent.h"

namespace derm::models {

/// A residual for a doubled picture: a plane of noise of its own beside it, down to half the side, back up.
class ResidualGeneratorImpl : public torch::nn::Module {
 public:
  /// @param in        length of the noise, with the class
  /// @param size_px   side of the picture and the residual
  /// @param channels  within
  ResidualGeneratorImpl(int64_t in, int64_t size_px, int64_t channels, const std::string& norm);
  /// @param low     [N, 3, s, s] fp32
  /// @param vector  [N, in]; its type is the one that is computed in
  /// @return        [N, 3, s, s] fp32
  at::Tensor forward(const at::Tensor& low, const at::Tensor& vector);

 private:
  int64_t size_px_;
  nn::Dense plane_{nullptr};
  nn::Conv down_{nullptr}, middle_{nullptr};
  nn::Norm down_norm_{nullptr}, middle_norm_{nullptr};
  nn::Up up_{nullptr};
};
TORCH_MODULE(ResidualGenerator);

/// A Laplacian pyramid: a small picture from noise, then residuals, each from the doubled picture below and noise of
/// its own. The result is the sum of all of them, each doubled as often as there are levels above.
class MelanoLapganGenerator : public recipe::LevelGenerator {
 public:
  MelanoLapganGenerator(const recipe::LatentOptions& options, int64_t levels, int64_t size_px, int64_t classes);
  at::Tensor generate(const tensor::Inputs& inputs) override;  ///< the last level, cut to [-1, 1]
  /// @param inputs  latent [N, levels Z], the smallest level's first
  std::vector<nn::Level> levels(const tensor::Inputs& inputs) override;

 private:
  int64_t latent_, classes_;
  nn::DcganTrunk trunk_{nullptr};
  nn::Up to_rgb_{nullptr};
  std::vector<ResidualGenerator> residuals_;
};

void register_melano_lapgan(recipe::Catalogue& catalogue);

}  // namespace derm::models
