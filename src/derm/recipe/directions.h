#pragma once
// Latent directions in a bundle: found, measured and named by `explore directions`, heeded by whatever makes images.
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <nlohmann/json.hpp>

#include "derm/data/plan.h"
#include "derm/recipe/recipe.h"

namespace derm::recipe {

inline constexpr const char* kDirectionsFile = "directions.safetensors";  ///< beside the weights of a bundle

/// The directions of a model's latent or style space.
struct Directions {
  at::Tensor vectors;                           ///< [count, W] or [count, Z] fp32, of unit length
  std::vector<data::LatentDirection> named;     ///< one each
  std::vector<double> deviations;               ///< of the space along each: the unit of a request's strengths
  bool style = false;                           ///< they move styles, else the latent
  std::pair<int64_t, int64_t> layers = {0, 0};  ///< of the styles that are moved, both included
  std::string bundle_sha256;                    ///< of the weights that they belong to
  nlohmann::json facts;                         ///< all that the file says of them: how they were found and measured
};

/// @throws DataError: no such file
Directions read_directions(const std::filesystem::path& file);
/// The same, of these weights alone. @throws DataError if they are of others
Directions read_directions(const std::filesystem::path& file, const std::string& bundle_sha256);

/// @throws DataError if they are of another space than the generator's. @param where  the file, for the message
void check_fit(const Directions& directions, const Generator& generator, const Needs& needs, const std::string& where);

/// `points` [N, L, W] or [N, Z] moved by one step each ([N, W] or [N, Z]): styles in the directions' layers alone.
at::Tensor moved(const at::Tensor& points, const at::Tensor& steps, const std::pair<int64_t, int64_t>& layers);

/// Images of a batch, each moved along the directions; without gradients the generator's own where all strengths are 0.
/// @param directions  that fit the generator (check_fit)
/// @param strengths  of each image and direction, in deviations; those that are left out are 0
/// @return           as Generator::generate
at::Tensor generate_along(Generator& generator, const Directions& directions, const tensor::Inputs& inputs,
                          const std::vector<std::vector<double>>& strengths);

}  // namespace derm::recipe
