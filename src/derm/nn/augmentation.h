#pragma once
// Augmentation of what a discriminator sees, so that a GAN can learn from few images: real and generated images go
// through the same random changes, and gradients go back through them to the generator.
//
//   discriminator->register_module("augmentation", Augmentation(options));       // in make_players
//   auto& augment = augmentation_of(*players.at("discriminator"));               // in a phase
//   logits = net(augment.apply(images, step.random));                            // real and generated alike
//   augment.update(real_logits);                                                 // in the discriminator's phase
#include <string>
#include <vector>

#include <ATen/core/Generator.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include "derm/base/options.h"

namespace derm::nn {

/// "diffaugment": Zhao et al. 2020 (arXiv:2006.10738), every image, strengths as published.
/// "ada": Karras et al. 2020 (arXiv:2006.06676), each change with a probability that follows the discriminator.
struct AugmentationOptions {
  std::string kind = "none";  ///< none, diffaugment, ada
  std::vector<std::string>
      parts;            ///< diffaugment: colour, translation, cutout; ada: blit, geometry, colour. Empty: all
  double start = 0;     ///< ada: probability at the start, 0 to 1
  double target = 0.6;  ///< ada: mean sign of the discriminator's logits at real images that the probability aims at
  double kimg = 500;  ///< ada: images, in thousands, in which the probability can go from 0 to 1; 0: it stays at start
  void bind(Options& o);  ///< under the names "augmentation", "augmentation_parts", "augmentation_start" ...
  void validate() const;  ///< throws UsageError naming the field, its value and what is accepted
};

/// The changes of one batch, drawn once so that several tensors can go through the same; parts that are switched off
/// are undefined.
struct AugmentationDraw {
  at::Tensor affine;  ///< [N, 2, 3] on (x, y, 1): place in the output to place in the input, both from -1 to 1 over the
                      ///< image; beyond it the image is continued by its mirror image
  at::Tensor colour;  ///< [N, 3, 4]: matrix on (red, green, blue, 1), images in [-1, 1]
  at::Tensor contrast;  ///< [N]: factor on the distance from the image's own mean, after `colour`
  at::Tensor shift;     ///< [N, 2] int64: rows and columns by which the picture moves; zeros (grey) come in
  at::Tensor hole;      ///< [N, 2] int64: first row and column of a grey square of half the side; may start outside
};

/// A module without parameters, so that it can be a child of the player whose images it changes. "ada" keeps its
/// probability in buffers: checkpoints hold it, and it stays on the device.
class AugmentationImpl : public torch::nn::Module {
 public:
  explicit AugmentationImpl(const AugmentationOptions& options);
  bool active() const { return options_.kind != "none"; }
  bool adapts() const { return options_.kind == "ada" && options_.kimg > 0; }  ///< its probability moves

  /// What a batch shall go through. Depends on `random` (of the images' device) and the probability alone; draws
  /// nothing when not active.
  /// @param images  [N, 3, S, S]; only its shape and device count
  AugmentationDraw draw(const at::Tensor& images, at::Generator& random) const;

  /// The images after `changes`; the same tensor when not active. Differentiable twice, for gradient penalties.
  /// @param images  [N, 3, S, S] in [-1, 1], any float type
  /// @return        [N, 3, S, S] in fp32; colour may leave [-1, 1]
  at::Tensor apply(const at::Tensor& images, const AugmentationDraw& changes) const;
  at::Tensor apply(const at::Tensor& images, at::Generator& random) const {
    return apply(images, draw(images, random));
  }

  /// A semantic map moved as the images are: shift and geometry, no colour and no hole.
  /// @param map  [N, C, S, S]; its type and memory format are kept
  at::Tensor apply_to_map(const at::Tensor& map, const AugmentationDraw& changes) const;

  /// "ada": notes the discriminator's answer to (augmented) real images; every fourth time moves the probability by
  /// images seen / kimg towards the target. Does nothing for the others. No value leaves the device.
  /// @param real_logits  [N, ...], positive where the discriminator says real: for least squares subtract 0.5
  void update(const at::Tensor& real_logits);

  /// A scalar in fp32, a copy: 0 without "ada".
  at::Tensor probability() const;

 private:
  AugmentationOptions options_;
  at::Tensor probability_, signs_, batches_, images_;  ///< [1] each; undefined unless "ada"
};
TORCH_MODULE(Augmentation);

/// The child "augmentation" of a player.
AugmentationImpl& augmentation_of(torch::nn::Module& player);

}  // namespace derm::nn
