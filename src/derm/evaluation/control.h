#pragma once
// Does a model do what it is asked? Requested against achieved, measured by the same means that `prepare` uses.
#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "derm/generation/engine.h"

namespace derm::evaluation {

/// One generated image: what was asked and what came out.
struct ControlSample {
  data::Request request;
  image::Lab skin;             ///< measured outside the asked region
  double ita_asked = 0, ita_measured = 0;
  double skin_error = 0;       ///< CIEDE2000
  double region_iou = 0;       ///< asked region against the lesion that the finder sees
  double found_quality = 0;
  double area_asked = 0, area_found = 0;  ///< shares of the image
  double centre_error = 0;     ///< distance of the centres over the image's side
};

struct ControlResult {
  std::vector<ControlSample> samples;
  double skin_error_median = 0, skin_error_p95 = 0;
  double ita_rank_correlation = 0;    ///< Spearman, asked against measured
  double ita_error_median = 0;        ///< degrees, absolute
  double region_iou_median = 0, area_rank_correlation = 0, centre_error_median = 0;
  nlohmann::json to_json() const;
};

double spearman(const std::vector<double>& a, const std::vector<double>& b);  ///< mean ranks for ties; NaN below 3

/// `count` novel requests (balanced over condition, tone and size, within what the model has seen), generated and measured.
ControlResult measure_control(generation::Engine& engine, size_t count, uint64_t seed);

/// measure_control and four sweeps (condition, size, place, skin colour), written to `out` as report.html, control.json,
/// control.csv and the sweeps' pictures. `extra_run` (may be empty) is a run directory whose loss curves and samples join in.
void write_control_report(generation::Engine& engine, size_t count, uint64_t seed, const std::filesystem::path& out,
                          const std::filesystem::path& extra_run = {});

}  // namespace derm::evaluation
