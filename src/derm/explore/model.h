#pragma once
// A generator opened to be looked around in: its latent or style space, as points that give images.
#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "derm/generation/engine.h"
#include "derm/image/image.h"
#include "derm/recipe/bundle.h"
#include "derm/recipe/style.h"

namespace derm::explore {

/// Where a model's images vary.
enum class Space {
  style,   ///< w: a point is [L, W], one vector a layer; lines in it are meaningful
  latent,  ///< z: a point is [Z], standard normal; arcs in it are
  map      ///< none: it paints from a semantic map, and varies with what is asked
};

class Model {
 public:
  /// Computes in fp32, so that gradients and directions are exact.
  /// @throws as generation::Engine
  Model(const generation::EngineOptions& options, const recipe::Catalogue& catalogue);

  Space space() const { return space_; }
  std::string space_name() const;  ///< "w", "z" or "map"
  bool has_classes() const { return needs_.label; }
  int size_px() const { return static_cast<int>(loaded_.config.size_px); }
  const data::Offer& offer() const { return loaded_.config.offer; }
  const data::MapSpec& map() const { return loaded_.config.map; }
  const recipe::Needs& needs() const { return needs_; }
  const std::string& recipe_name() const { return loaded_.config.recipe; }
  const std::string& sha256() const { return sha256_; }
  const std::filesystem::path& bundle() const { return bundle_; }
  const nlohmann::json& training_facts() const { return loaded_.config.training; }
  const tensor::ComputePolicy& policy() const { return policy_; }
  recipe::Generator& generator() const { return *generator_; }
  const recipe::StyleGenerator& styles() const;  ///< @throws UsageError if the model has no style space

  /// The condition to use when `asked` was said: the first for "" where the model has classes, "" where it has none.
  /// @throws UsageError for one that it does not know, or for any where it has no classes
  std::string condition(const std::string& asked) const;

  /// The points of seeds: those whose images `generate --seed` gives. [N, L, W] or [N, Z] on the model's device.
  /// @param condition  of a style: what its mapping was told; ignored by a model without classes
  /// @throws UsageError for a model that paints from a map
  at::Tensor points(const std::vector<uint64_t>& seeds, const std::string& condition) const;
  /// The middle of the space: the average style of the condition, or the zero latent. [1, ...]
  at::Tensor middle(const std::string& condition) const;

  /// Images of points, [N, 3, S, S] about [-1, 1], fp32, differentiable in the points.
  at::Tensor render(const at::Tensor& points, const std::string& condition) const;
  /// The same as pictures, each computed alone: a point gives the same image whatever is beside it.
  std::vector<image::Image> images(const at::Tensor& points, const std::string& condition) const;

  /// From a (t = 0) to b (t = 1): along a line in w, along the arc in z, its length going from one's to the other's.
  at::Tensor between(const at::Tensor& a, const at::Tensor& b, double t) const;

 private:
  at::Tensor labels(const std::string& condition, int64_t count) const;
  void require_points() const;

  recipe::LoadedGenerator loaded_;
  recipe::Needs needs_;
  tensor::ComputePolicy policy_;
  std::filesystem::path bundle_;
  std::string sha256_;
  recipe::Generator* generator_ = nullptr;
  recipe::StyleGenerator* style_ = nullptr;
  Space space_ = Space::map;
};

/// Spherical interpolation of two vectors of any shape (Shoemake 1985; of latents: White 2016, arXiv:1609.04468):
/// directions along the arc, lengths along the line. A straight line where the directions are equal or opposite.
at::Tensor slerp(const at::Tensor& a, const at::Tensor& b, double t);

}  // namespace derm::explore
