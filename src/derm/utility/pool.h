#pragma once
// The synthetic images of one fold and regime: made by a generator that is trained here, by a bundle, or read.
#include <filesystem>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "derm/evaluation/image_set.h"
#include "derm/recipe/recipe.h"
#include "derm/utility/design.h"
#include "derm/utility/provenance.h"

namespace derm::utility {

/// Where synthetic images come from; the paths are those of one fold and regime.
struct PoolSource {
  std::filesystem::path bundle, synthetic;  ///< both may be given: the bundle then vouches for the set
  GeneratorOptions generator;               ///< trained here if it has a recipe
  std::string device = "auto";
  int threads = 0;
};

/// Synthetic images by condition, in the order in which arms take them.
struct Pool {
  std::vector<std::vector<at::Tensor>> pixels;  ///< [conditions][images] uint8 [3, S, S]
  std::string name;                             ///< folder of the set
};

/// Training facts of the generator behind a bundle or a generated set, and its name for messages.
/// @throws UsageError if a bundle did not make the set that it vouches for
std::pair<nlohmann::json, std::string> generator_facts(const PoolSource& source);

/// Trains the generator of a fold in `folder` (data/, runs/), goes on with one that was stopped, or finds the one that
/// is done. @return its run directory. @throws Interrupted
std::filesystem::path trained_generator(const GeneratorOptions& options, const PoolSource& source,
                                        const std::filesystem::path& folder, int64_t seed,
                                        const recipe::Catalogue& catalogue, const std::string& command);

/// The synthetic images of a fold: those of `source.synthetic`, or as many as are needed made by `source.bundle` into
/// `folder`/synthetic (once; a later call finds them).
/// @param needed  images of each condition
/// @throws DataError if a set has fewer; UsageError if the generator does not know a condition, or which its images
/// show
Pool open_pool(const PoolSource& source, const std::filesystem::path& folder,
               const std::vector<std::string>& conditions, const std::vector<int64_t>& needed, int size_px,
               uint64_t seed, const recipe::Catalogue& catalogue);

/// All images of a set as pixels, in order, with progress.
std::vector<at::Tensor> decoded(const evaluation::ImageSet& set, const std::string& label);

}  // namespace derm::utility
