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
  std::string command;            ///< for the report
  ranks::Group* group = nullptr;  ///< processes that share generation, features and control; rank 0 does the rest
};

struct EvaluateResult {
  FidelityResult fidelity;
  std::optional<ControlResult> control;  ///< of the images that were compared, where what was asked is known
  /// Of a model that heeds the condition and nothing else: how often the classifier sees it.
  std::optional<ConditionAccuracy> condition, condition_real;
  std::optional<ControlResult> study;
  nlohmann::json json;  ///< evaluation.json
};

/// A figure's name for people: its metric, and its space where the metric does not say it.
std::string label_of(const std::string& metric, const std::string& space);
inline std::string label_of(const Figure& f) { return label_of(f.metric, f.space); }
/// A figure for people: three digits of what there is, "-" if it is not finite.
std::string figure_text(double value);
std::string figure_text(const Figure& f);  ///< with its interval: "0.0027 [0.0024, 0.0029]"

/// How `options` measure, without what is measured: two evaluations compare if it is equal. Reference, split, requests,
/// count, seed, extractors, judges, image size, arithmetic.
/// @param photographs  the data set of options.real
/// @param size_px      of the images that are measured
nlohmann::json protocol_of(const EvaluateOptions& options, const data::DataSet& photographs, int size_px);

/// The folder that keeps the evaluation of these weights by this protocol below a cache folder.
std::filesystem::path kept_evaluation(const std::filesystem::path& cache, const std::string& bundle_sha256,
                                      const nlohmann::json& protocol);

/// Measures and writes report.html, evaluation.json, samples.png, fidelity.csv and (where there are requests)
/// control.csv to `out`, whole or not at all. Figures and samples of a bundle are kept in the cache too.
///
/// A generator without a map is asked for as many images as there are maps, each from its own seed: of the photographs'
/// conditions if it has classes. What it does not heed makes no groups and no control figures.
/// @return nothing on a rank that does not lead
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
