#pragma once
// The classifiers that arms are compared by, and how one is trained.
//
// This is a loop of its own beside derm::training: an experiment trains hundreds of classifiers for a minute each on
// images that stay decoded in memory, needs neither run directory nor checkpoints nor bundles, and keeps the weights
// that did best on validation. A generator of an arm is trained by derm::training.
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include "derm/image/image.h"
#include "derm/tensor/policy.h"
#include "derm/tensor/pth.h"
#include "derm/utility/design.h"

namespace derm::utility {

/// A network that tells conditions apart.
class Network {
 public:
  virtual ~Network() = default;
  /// @param x  [N, 3, S, S] as nn::imagenet_normalised() gives it, in the type and format to compute in
  /// @return   [N, conditions] fp32
  virtual at::Tensor logits(const at::Tensor& x) = 0;
  virtual torch::nn::Module& module() = 0;
};

/// @param start   weights by torchvision's names (of MobileNetV2 also with Gluon's expanding block 1); what fits by
/// name and
///                shape is taken over, the head only if it has as many conditions
/// @param random  draws the other weights
/// @throws DataError if tensors of the backbone are missing from `start`
std::unique_ptr<Network> make_network(const ClassifierOptions& options, int64_t conditions, at::Generator& random,
                                      const tensor::WeightsFile* start = nullptr);

/// Decoded images and what they show. Images are views into common storage as often as they are repeated.
struct Pictures {
  std::vector<at::Tensor> pixels;  ///< uint8 [3, S, S] each, one S
  std::vector<int64_t> label;
  int64_t size() const { return static_cast<int64_t>(pixels.size()); }
};

/// uint8 [3, H, W] of an RGB picture.
at::Tensor pixels_of(const image::Image& picture);

/// A trained classifier.
struct Trained {
  std::unique_ptr<Network> network;  ///< with its best weights, in eval mode
  double temperature = 1;            ///< fitted on validation; logits are divided by it
  int64_t best_step = 0;
  double validation_nll = 0;                           ///< balanced, calibrated, at the best step
  std::vector<std::pair<int64_t, double>> validation;  ///< step and balanced, calibrated negative log-likelihood
};

/// Trains for exactly `options.steps` steps, whatever the number of images, and keeps the weights with the least
/// balanced negative log-likelihood on validation, each calibrated by its own temperature. What happens depends on the
/// seed and the step alone.
/// @param conditions  how many
/// @param view        what happens to each image; none: it is seen as it is
/// @param what        names this training in messages
/// @param progress    told after each step which part of them is done
/// @throws DataError if the loss is no longer finite; Interrupted
Trained train_classifier(const Pictures& train, const Pictures& validation, int64_t conditions,
                         const std::optional<nn::ViewOptions>& view, const ClassifierOptions& options, uint64_t seed,
                         const tensor::WeightsFile* start, const tensor::ComputePolicy& policy, const std::string& what,
                         const std::function<void(double)>& progress = {});

/// Calibrated probabilities, [images x conditions] in rows.
std::vector<double> probabilities(Trained& classifier, const std::vector<at::Tensor>& pixels,
                                  const tensor::ComputePolicy& policy);

}  // namespace derm::utility
