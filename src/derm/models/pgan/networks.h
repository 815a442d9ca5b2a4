#pragma once
// PGGAN's two networks at every size that they grow through.
#include <vector>

#include "derm/models/pgan/growth.h"
#include "derm/nn/progressive.h"
#include "derm/recipe/recipe.h"

namespace derm::models {

struct PganShape {
  int64_t size_px = 256;
  int64_t width = 32;        ///< channels at the full size; twice as many at each half
  int64_t width_most = 256;  ///< at most
  int64_t latent = 512;
  int64_t classes = 0;  ///< 0: unconditional
  int64_t levels() const;
  int64_t channels(int64_t level) const;  ///< at 4 px << level
};

/// [N, latent] to pictures. The buffer `growth` says up to which size it has grown, in 2^-20 of a level: bundles and
/// checkpoints carry it, and the average of the weights copies it.
class PganGenerator : public recipe::Generator {
 public:
  explicit PganGenerator(const PganShape& shape);

  /// At the full size whatever it has grown to: nearest-neighbour doubling stands in for the sizes that it lacks.
  at::Tensor generate(const tensor::Inputs& inputs) override;

  /// [N, 3, size, size] fp32 at the size of `growth`, not clamped.
  at::Tensor generate_at(const tensor::Inputs& inputs, const Growth& growth, at::ScalarType precision);

  void set_growth(const Growth& growth);
  Growth growth() const;

 private:
  struct Block {
    nn::EqualConv first{nullptr}, second{nullptr};
  };
  PganShape shape_;
  nn::ClassVectors embed_{nullptr};
  nn::EqualLinear base_{nullptr};
  nn::EqualConv base_conv_{nullptr};
  std::vector<Block> blocks_;  ///< [i] doubles from 4 px << i
  std::vector<nn::EqualConv> to_rgb_;
  at::Tensor growth_;
};

/// Pictures of the size of a growth to scores.
class PganCritic : public torch::nn::Module {
 public:
  explicit PganCritic(const PganShape& shape);
  /// @param images  [N, 3, size, size], size that of `growth`; its type is computed in
  /// @param label   [N] int64; ignored without classes
  /// @return        [N] fp32
  at::Tensor forward(const at::Tensor& images, const at::Tensor& label, const Growth& growth);

 private:
  struct Block {
    nn::EqualConv first{nullptr}, second{nullptr};
  };
  PganShape shape_;
  std::vector<nn::EqualConv> from_rgb_;
  std::vector<Block> blocks_;  ///< [i] halves to 4 px << i
  nn::EqualConv last_conv_{nullptr};
  nn::EqualLinear last_{nullptr}, score_{nullptr};
  nn::ClassVectors embed_{nullptr};
};

}  // namespace derm::models
