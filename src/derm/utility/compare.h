#pragma once
// Several experiments in one table: `dermgan compare` of folders that `dermgan utility` wrote.
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace derm::utility {

/// True for a folder with a results.json of an experiment, and for that file.
bool is_experiment(const std::filesystem::path& path);

/// The primary figure of every arm, and every contrast, that all experiments share by name and regime; written to `out`
/// (comparison.json, comparison.csv, report.html), whole or not at all.
/// @param sources  name and path each; an empty name is the folder's
/// @param mixed    go on although data, folds or classifier differ: "marks" then says what
/// @return         comparison.json: "experiments", "figures", "contrasts" (rows of results.json with "experiment"),
/// "marks"
/// @throws UsageError for fewer than two, for two of one name, or what differs; DataError for a file that is no
/// results.json
nlohmann::json compare_experiments(const std::vector<std::pair<std::string, std::filesystem::path>>& sources,
                                   bool mixed, const std::filesystem::path& out);

/// The table as lines for a terminal.
std::string comparison_text(const nlohmann::json& comparison);

}  // namespace derm::utility
