#pragma once
// The verb `utility`: does it help a classifier?
#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "derm/recipe/recipe.h"
#include "derm/utility/design.h"

namespace derm::utility {

struct UtilityOptions {
  Design design;
  std::filesystem::path real;  ///< a data set of photographs
  /// Where synthetic images come from, if the design trains no generator. "{fold}" and "{regime}" in a path stand for
  /// those. Both: the bundle vouches for a set that does not say where it is from.
  std::string bundle, synthetic;
  std::filesystem::path external;  ///< a second data set, never trained on; may be empty
  std::vector<std::filesystem::path>
      trained_on;              ///< data sets that generators learned from, to know what they have seen
  bool allow_unknown = false;  ///< go on with a generator whose training data are not known: the report is marked
  std::string device = "auto";
  int threads = 0;
  size_t part = 1, parts = 1;  ///< of several processes that share the work by fold and regime
  std::string command;
};

struct UtilityOutcome {
  bool complete = false;   ///< false: other parts still have classifiers to train, and there is no report yet
  size_t cells = 0;        ///< classifiers in all
  nlohmann::json results;  ///< results.json
};

/// Trains every classifier of the design that `out` does not hold yet, and writes the report once all are there.
///
/// `out` gets registration.json (the design, fingerprints of all data; written before the first training, and its
/// SHA-256 stands in every file), design.toml, cells/ (one classifier a file, whole or not at all), generators/ (fold
/// sets, runs and images of generators trained here), and at the end results.json, figures.csv, contrasts.csv and
/// report.html. Started again it goes on where it was.
/// @throws UsageError: a design that cannot be, an `out` that holds another design; DataError: a generator that has
/// seen
///         test patients, or of unknown provenance; Interrupted
UtilityOutcome run_utility(const UtilityOptions& options, const recipe::Catalogue& catalogue,
                           const std::filesystem::path& out);

/// The primary figure's contrasts as lines for a terminal.
std::string summary_text(const nlohmann::json& results);

}  // namespace derm::utility
