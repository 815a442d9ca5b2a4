#pragma once
// The point of a model's space whose image comes nearest to a photograph.
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "derm/explore/model.h"

namespace derm::explore {

/// How far images [N, 3, S, S] are from the photograph that it was made with: [N] >= 0, differentiable.
struct Distance {
  std::string name;  ///< "LPIPS (SqueezeNet, 0.1)"
  std::function<at::Tensor(const at::Tensor&)> of;
};
/// LPIPS. @param weights  its file @param target  [1, 3, S, S] in [-1, 1], S at least 32
Distance lpips_distance(const std::filesystem::path& weights, const at::Tensor& target);
/// By a bundle of the kind encoder: squared distance of its features over the photograph's squared length, plus the
/// mean absolute difference of the pixels. (Encoders are trained not to see mirroring and cropping: pixels hold the
/// place.)
Distance encoder_distance(const std::filesystem::path& bundle, const recipe::Catalogue& catalogue,
                          const at::Tensor& target);

struct ProjectOptions {
  int64_t steps = 300;
  double rate = 0.05;       ///< Adam step in deviations of the space
  bool each_layer = false;  ///< of styles: a vector for each layer ("W+") instead of one for all
  int64_t starts = 32;      ///< points among which the first is chosen: the middle and random ones
  uint64_t seed = 0;
  std::string condition;
};

struct Projection {
  at::Tensor point;               ///< [1, L, W] or [1, Z]: the nearest that was met
  std::vector<double> distances;  ///< of each step's image, without noise
  double start = 0, end = 0;      ///< distance of the chosen start and of `point`
  double random = 0;              ///< median distance of the random starts: what no search gives
  image::Image start_image, image;
};

/// Adam (beta 0.9, 0.999) on the point from the best of some starts; the rate rises over the first 5 % of the steps and
/// falls along a cosine over the last quarter; styles get noise that dies out at three quarters (Karras et al. 2020,
/// appendix D). The same options give the same point.
/// @throws UsageError: a model that paints from a map, options out of range
Projection project(const Model& model, const Distance& distance, const ProjectOptions& options);

/// A photograph as a model's image would be: its largest middle square, size_px wide, [1, 3, S, S] in [-1, 1].
at::Tensor photograph_tensor(const std::filesystem::path& file, int size_px);

/// Projects and writes projected.png, side-by-side.png (photograph, start, projection), point.safetensors and
/// projection.json to `out`, whole or not at all.
Projection write_projection(const Model& model, const std::filesystem::path& photograph, const Distance& distance,
                            const ProjectOptions& options, const std::string& command,
                            const std::filesystem::path& out);

}  // namespace derm::explore
