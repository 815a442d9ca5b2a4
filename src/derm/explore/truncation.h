#pragma once
// What truncation costs and gives: fidelity and variety over psi.
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "derm/evaluation/fidelity.h"
#include "derm/explore/model.h"

namespace derm::explore {

struct TruncationOptions {
  std::vector<double> psis;  ///< 1 leaves styles as they are, 0 gives the average alone
  int64_t shown = 8;         ///< seeds of the sheet, from `seed` on
  uint64_t seed = 0;
  std::string condition;  ///< of the sheet, and of all measured images if it was given
  size_t count = 0;       ///< images measured at each psi; 0: as many as photographs
  std::string command;
};

struct TruncationStep {
  double psi = 1;
  evaluation::FigureGroup figures;  ///< of all images; none without photographs
};

/// Writes truncation.png (a row a seed, a column a psi), report.html and truncation.json to `out`, whole or not at all;
/// with photographs also what `evaluate` measures of fidelity and diversity at each psi (SWD left out), and
/// truncation.csv.
/// @param real  photographs to compare with, if any
/// @throws UsageError: a model without styles, psi outside [0, 2], fewer than two of them
std::vector<TruncationStep> write_truncation(const Model& model, const TruncationOptions& options,
                                             const std::optional<evaluation::ImageSet>& real,
                                             const evaluation::FidelityOptions& fidelity,
                                             const evaluation::FeatureCache& cache, const std::filesystem::path& out);

/// "0..1:6" (six numbers from 0 to 1) or "0.3,0.7,1". @throws UsageError
std::vector<double> parse_numbers(const std::string& text, const std::string& flag);

}  // namespace derm::explore
