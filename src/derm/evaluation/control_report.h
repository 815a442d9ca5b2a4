#pragma once
// The parts of a report that show what the controls do; control_report.cpp.
#include <filesystem>
#include <optional>

#include "derm/evaluation/control.h"
#include "derm/report/report.h"

namespace derm::evaluation {

struct ControlReportOptions {
  size_t count = 200;  ///< novel requests that are measured
  uint64_t seed = 0;
  Judges judges;
  size_t drift_sweeps = 12, drift_steps = 5;     ///< of each control; 0 sweeps: no drift
  std::filesystem::path run;                     ///< a run directory whose curves and samples join in; may be empty
  std::optional<ConditionAccuracy> photographs;  ///< the classifier's accuracy on photographs, if it was measured
  std::string photographs_of;
  ranks::Group* group = nullptr;  ///< processes that share the images out; rank 0 writes, the others have no result
};

/// Generates and measures novel requests and the sweeps, writes control.json, control.csv, drift.json and the sweeps'
/// pictures below `root`, and adds the sections on the controls to `page`.
ControlResult add_control_study(report::Page& page, generation::Engine& engine, const std::filesystem::path& root,
                                const ControlReportOptions& options);

/// Figures and plots of samples that are measured: asked against achieved.
void add_control_figures(report::Page& page, const ControlResult& control);

/// Curves and sample sheets of a training run.
void add_run(report::Page& page, const std::filesystem::path& run);

/// @throws UsageError if the model paints from noise alone, so that nothing can be asked of it
void require_map(const generation::Engine& engine);

/// A report of its own on the controls alone: the study above, and what the model is.
/// @throws UsageError if `out` is there already and not empty
ControlResult write_control_report(generation::Engine& engine, const ControlReportOptions& options,
                                   const std::filesystem::path& out);

/// The same of a generated set that says what was asked for: its figures, without sweeps.
/// @throws DataError if it does not say
ControlResult write_control_report(const ImageSet& set, const ControlReportOptions& options,
                                   const std::filesystem::path& out);

/// "0.12 [0.10, 0.14]"; "-" for what is not finite.
std::string number(double value, int digits = 2);
std::string with_interval(double value, const Interval& interval, int digits = 2);

/// What the bundle is, where it came from, and what it was computed with, as rows of a table.
std::vector<std::vector<std::string>> model_facts(const generation::Engine& engine);

}  // namespace derm::evaluation
