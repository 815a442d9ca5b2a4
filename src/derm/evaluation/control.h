#pragma once
// Does a model do what it is asked? Requested against achieved, measured by the same means that `prepare` uses.
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "derm/generation/engine.h"

namespace derm::evaluation {

/// One generated image: what was asked and what came out.
struct ControlSample {
  data::Request request;
  image::Lab skin;  ///< measured outside the asked region
  double ita_asked = 0, ita_measured = 0;
  double skin_error = 0;  ///< CIEDE2000
  double region_iou = 0;  ///< asked region against the lesion that the finder sees
  double found_quality = 0;
  double area_asked = 0, area_found = 0;  ///< shares of the image
  double centre_error = 0;     ///< distance of the centres over the image's side; NaN where the finder saw nothing
  double lesion_contrast = 0;  ///< CIEDE2000 between the asked region's median colour and the measured skin
};

/// Measures one image against the request that it was made for.
ControlSample measure_sample(const data::Request& request, const image::Image& image);

/// Percentile bootstrap over the images, 95 %.
struct Interval {
  double low = 0, high = 0;
};

/// Figures of a part of the samples.
struct ControlGroup {
  std::string name;
  size_t count = 0;
  double skin_error_median = 0, ita_error_median = 0, region_iou_median = 0;
};

struct ControlResult {
  std::vector<ControlSample> samples;
  double skin_error_median = 0, skin_error_p95 = 0;
  double ita_rank_correlation = 0;  ///< Spearman, asked against measured
  double ita_error_median = 0;      ///< degrees, absolute
  double region_iou_median = 0, area_rank_correlation = 0, centre_error_median = 0;

  Interval skin_error_interval, ita_rank_interval, region_iou_interval, area_rank_interval;
  size_t nothing_found = 0;                         ///< images in which the finder saw no lesion; they count as IoU 0
  std::vector<ControlGroup> by_condition, by_tone;  ///< tone: of the asked colour
  uint64_t seed = 0;
  std::string recipe, bundle_sha256, compute;

  nlohmann::json to_json() const;  ///< figures and how they were measured; without the samples
  std::string to_csv() const;      ///< a row a sample
};

double spearman(const std::vector<double>& a, const std::vector<double>& b);  ///< mean ranks for ties; NaN below 3

/// The figures of samples that are measured already.
ControlResult summarise(std::vector<ControlSample> samples, uint64_t seed);

/// `count` novel requests (balanced over condition, tone and size, within what the model has seen), generated and
/// measured.
ControlResult measure_control(generation::Engine& engine, size_t count, uint64_t seed);

/// measure_control and four sweeps (condition, size, place, skin colour), written to `out` as report.html,
/// control.json, control.csv and the sweeps' pictures. `extra_run` (may be empty) is a run directory whose loss curves
/// and samples join in.
/// @throws UsageError if `out` is there already and not empty
void write_control_report(generation::Engine& engine, size_t count, uint64_t seed, const std::filesystem::path& out,
                          const std::filesystem::path& extra_run = {});

}  // namespace derm::evaluation
