#pragma once
// The verb `compare`: several models on one data set, one table.
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "derm/evaluation/evaluate.h"
#include "derm/image/image.h"

namespace derm::evaluation {

/// A run, a bundle, or what `evaluate` wrote (its folder, or the evaluation.json in it).
struct CompareSource {
  std::string name;  ///< in the table; "" takes it from the path
  std::filesystem::path path;
};

struct CompareOptions {
  std::vector<CompareSource> sources;  ///< at least two
  /// How bundles are measured; `engine` and `synthetic` are left alone. `real` may be empty where all are evaluations.
  EvaluateOptions evaluate;
  generation::EngineOptions engine;  ///< how bundles are opened; `bundle` is left alone
  bool mixed = false;  ///< compare although data or protocol differ: the report says so above everything else
};

/// One number of one model.
struct ComparedFigure {
  static constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  std::string metric, space;                        ///< as evaluate names them
  double value = kNone, low = kNone, high = kNone;  ///< 95 % interval
  double floor = kNone, beside = kNone;             ///< photographs; synthetic at equal N
  size_t n_real = 0, n_synthetic = 0, n_floor = 0;
  int better = 0;  ///< -1: lower, 1: higher, 0: neither
  std::string note;
};

/// What a model cost.
struct TrainingCost {
  double kimg = ComparedFigure::kNone;
  double minutes = ComparedFigure::kNone;     ///< on the clock, snapshots and their measurements in it
  double s_per_kimg = ComparedFigure::kNone;  ///< median over the lines of stats.jsonl; without them minutes / kimg
  double s_per_kimg_low = ComparedFigure::kNone, s_per_kimg_high = ComparedFigure::kNone;  ///< quartiles of the lines
  double memory_bytes = ComparedFigure::kNone;  ///< largest that stats.jsonl holds
  int64_t parameters = 0;                       ///< of the generator
  std::string from;                             ///< where the seconds are from
};

struct ComparedModel {
  std::string name, recipe, bundle_sha256, data_fingerprint, data;
  std::filesystem::path path;  ///< as it was given
  bool evaluated_now = false;  ///< or read
  int64_t size_px = 0, training_seed = 0;
  TrainingCost cost;
  nlohmann::json protocol;  ///< see protocol_of()
  nlohmann::json measured;  ///< the protocol as measured: N, extractors, floor
  std::vector<ComparedFigure> figures;
  image::Image samples;  ///< empty if the evaluation has none
};

struct Comparison {
  std::vector<ComparedModel> models;
  std::vector<std::string> marks;  ///< what differs between them, a sentence each: empty unless CompareOptions::mixed
  nlohmann::json to_json() const;
  std::string to_csv() const;   ///< a row a figure and model, with N, seed, interval and protocol
  std::string to_text() const;  ///< figures down, models across
};

/// Measures what is not measured yet, and writes report.html, comparison.json, comparison.csv and each evaluation
/// (evaluations/NAME/) to `out`, whole or not at all. A bundle is not measured again if its weights were by the same
/// protocol: in an evaluation that is named among the sources (which then is no model of its own), or in the cache.
/// @throws UsageError: fewer than two models; models that learned from, or were measured on, different data, or by
///         another protocol (unless mixed); a bundle without `evaluate.real`; an evaluation of a version that did not
///         say what it measured. DataError for what the files hold.
Comparison compare(const CompareOptions& options, const recipe::Catalogue& catalogue, const std::filesystem::path& out);

/// Seconds, memory and length of a run from its stats.jsonl; of a bundle alone from what its config.json says.
/// @param run       a run directory, or "" for a bundle alone
/// @param training  the bundle's training facts
TrainingCost training_cost(const std::filesystem::path& run, const nlohmann::json& training);

/// The figures that an evaluation.json holds: fidelity of all images, then control.
std::vector<ComparedFigure> figures_of(const nlohmann::json& evaluation, const std::string& where);

}  // namespace derm::evaluation
