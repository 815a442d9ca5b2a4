#include "derm/cli/run_file.h"

#include <toml++/toml.h>

#include "derm/base/files.h"

namespace derm::cli {

namespace {

/// The value of the top-level key "recipe" in a TOML text, "" if there is none. What is wrong with the text is left to
/// the strict reading that follows: which keys it may have is known only once the recipe is.
std::string named_recipe(const std::string& toml_text) {
  try {
    return toml::parse(toml_text)["recipe"].value_or(std::string());
  } catch (const toml::parse_error&) {
    return "";
  }
}

}  // namespace

RunFile read_run_file(const std::string& config, const std::vector<std::string>& sets, const std::string& recipe,
                      const std::function<void(training::TrainOptions&)>& flags, const recipe::Catalogue& catalogue) {
  RunFile run;
  std::string name = run.options.recipe;
  {
    // The same layers, for the one key that has to be known first.
    training::TrainOptions scratch;
    Options known;
    scratch.bind(known);
    if (!config.empty()) {
      // A file that is missing or no TOML is refused here, before its recipe is looked for.
      if (!fs::exists(config)) known.read_toml_file(config);
      const std::string in_file = named_recipe(read_file(config, uint64_t{4} << 20));
      if (!in_file.empty()) name = in_file;
    }
    for (const std::string& set : sets) {
      if (set.substr(0, set.find('=')) != "recipe") continue;
      known.set(set);
      name = scratch.recipe;
    }
  }
  if (!recipe.empty()) name = recipe;

  run.recipe = catalogue.make(name);
  Options all;
  run.options.bind(all);
  all.section(kRecipeSection, *run.recipe);
  if (!config.empty()) all.read_toml_file(config);
  for (const std::string& set : sets) all.set(set);
  flags(run.options);
  run.options.recipe = name;
  return run;
}

}  // namespace derm::cli
