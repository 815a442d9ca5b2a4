#pragma once
// The verbs `evaluate` and `audit`: sets from data sets and bundles, figures, and a report.
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "derm/evaluation/audit.h"
#include "derm/evaluation/control_report.h"
#include "derm/evaluation/fidelity.h"
#include "derm/generation/engine.h"

namespace derm::evaluation {

/// Which requests a bundle is asked for.
enum class Requests {
  maps,  ///< those that the reference's photographs stand for: their regions, conditions and skin colours
  novel  ///< drawn at random within what the model has seen, balanced over condition, tone and size
};

struct EvaluateOptions {
  std::filesystem::path real;            ///< a data set of photographs
  std::string split = "validation";      ///< its reference
  std::filesystem::path synthetic;       ///< a generated data set; or:
  generation::Engine* engine = nullptr;  ///< a bundle, asked here
  Requests requests = Requests::maps;
  size_t count = 0;              ///< images of a bundle; 0: one a map, 1000 novel ones
  bool keep_images = false;      ///< the bundle's images stay in `synthetic` beside the report
  bool study = false;            ///< the bundle's own sweeps and novel requests too (`--control`)
  ControlReportOptions control;  ///< judges, the study's size, a run to show
  FidelityOptions fidelity;
  std::filesystem::path cache;  ///< of photographs' features; empty: none
  uint64_t seed = 0;
  std::string command;  ///< for the report
};

struct EvaluateResult {
  FidelityResult fidelity;
  std::optional<ControlResult> control;  ///< of the images that were compared, where what was asked is known
  std::optional<ControlResult> study;
  nlohmann::json json;  ///< evaluation.json
};

/// Measures and writes report.html, evaluation.json, fidelity.csv and (where there are requests) control.csv to `out`,
/// whole or not at all.
/// @throws UsageError if `out` is there and not empty, or for what cannot be compared; DataError for what the files
/// hold
EvaluateResult evaluate(const EvaluateOptions& options, const std::filesystem::path& out);

/// The main figures as lines for a terminal.
std::string summary_text(const EvaluateResult& result);

struct AuditRunOptions {
  std::filesystem::path real, synthetic;
  generation::Engine* engine = nullptr;
  size_t count = 500;  ///< novel images of a bundle
  bool keep_images = false;
  std::shared_ptr<metrics::Extractor> extractor;
  std::filesystem::path cache;
  AuditOptions audit;
  size_t pairs = 20;  ///< closest pairs shown
  std::string command;
};

/// Audits and writes report.html, audit.json, audit.csv to `out`. The report shows training photographs: it is the
/// user's own file, and says so.
AuditResult run_audit(const AuditRunOptions& options, const std::filesystem::path& out);

/// The verdict and its figures as lines for a terminal.
std::string summary_text(const AuditResult& result);

}  // namespace derm::evaluation
