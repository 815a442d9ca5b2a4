#pragma once
// Everything that a report says in numbers, as JSON (report.json) that the page is drawn from.
#include <cstdint>

#include <nlohmann/json.hpp>

#include "derm/study/results.h"
#include "derm/study/statistics.h"

namespace derm::study {

struct AnalysisOptions {
  uint64_t seed = 0;      ///< of the bootstrap
  int replicates = 2000;  ///< at least 100
  void validate() const;
};

/// An estimate as {"value", "low", "high", "n", "reason"}: null where there is none.
nlohmann::ordered_json to_json(const Estimate& estimate);

/// Positive is "called real", as in DermGAN's paper: TPR is the share of real images called real, FPR that of synthetic
/// ones. Figures over readers rest on answers that are scored (Row::scored); their intervals are of the bootstrap
/// crossed over readers and images. Those of one reader are exact (Clopper-Pearson).
nlohmann::ordered_json analyse(const Results& results, const AnalysisOptions& options);

}  // namespace derm::study
