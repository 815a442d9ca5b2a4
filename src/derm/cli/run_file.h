#pragma once
// A run file with all its layers: defaults < the file < --set < the flags.
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "derm/base/options.h"
#include "derm/recipe/recipe.h"
#include "derm/training/train.h"

namespace derm::cli {

/// The section of a run file that holds the recipe's own options.
inline constexpr const char* kRecipeSection = "model";

struct RunFile {
  training::TrainOptions options;
  std::unique_ptr<recipe::Recipe> recipe;  ///< its options set, not yet validated against a data set
};

/// @param config  a TOML file; "" for none
/// @param sets    "key=value" each
/// @param recipe  as its flag gave it; "" if it was not given
/// @param flags   puts the other flags into the options, last of all
/// @throws UsageError: unknown recipe or key (the nearest known one offered), a value of the wrong type
RunFile read_run_file(const std::string& config, const std::vector<std::string>& sets, const std::string& recipe,
                      const std::function<void(training::TrainOptions&)>& flags, const recipe::Catalogue& catalogue);

}  // namespace derm::cli
