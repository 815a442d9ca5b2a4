#pragma once
// From the answers of an experiment's classifiers to its results.
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "derm/utility/analysis.h"
#include "derm/utility/design.h"

namespace derm::utility {

/// Images that classifiers were asked about, by fold: of a second data set the same in each.
struct Slice {
  std::string name;  ///< "test", "tone light", "external"
  std::vector<std::string> conditions;
  bool same_patients = false;
  /// [regimes][arms][folds][seeds]; a fold without an image of the slice has no answers.
  std::vector<std::vector<std::vector<std::vector<Asked>>>> asked;
};

/// The figures of every arm, and the differences of the design's contrasts: "figures" and "contrasts", lists of
/// objects. Of each figure of a slice the p-values of all contrasts and regimes are adjusted together (Holm). The
/// design's primary figure on the slice "test" decides; all others are exploratory.
nlohmann::json results_of(const Design& design, const std::vector<Slice>& slices);

/// The list as a table: a column a key. "" for an empty list.
std::string csv_of(const nlohmann::json& list);

/// "0.712 [0.690, 0.734]"; "-" where there is no value.
std::string estimate_text(const nlohmann::json& row, bool sign = false);

}  // namespace derm::utility
