#pragma once
// Does a model do what it is asked? Requested against achieved, measured by the same means that `prepare` uses.
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "derm/evaluation/image_set.h"
#include "derm/evaluation/statistics.h"
#include "derm/generation/engine.h"
#include "derm/ranks/group.h"

namespace derm::evaluation {

/// Trained networks that look at images independently of what `prepare` does. Either may be missing.
struct Judges {
  std::function<std::vector<image::Mask>(const std::vector<image::Image>&)> segment;  ///< the lesion; empty if none
  std::string segmenter, segmenter_sha256;
  /// Probabilities in the order of `conditions`.
  std::function<std::vector<std::vector<double>>(const std::vector<image::Image>&)> classify;
  std::string classifier, classifier_sha256;
  std::vector<std::string> conditions;
};

/// The lesion that someone sees, against the asked region.
struct Seen {
  double iou = 0;           ///< 0 where nothing was seen
  double area = 0;          ///< share of the image; 0: nothing was seen
  double x = 0, y = 0;      ///< centre of mass over the image's side; NaN where nothing was seen
  double centre_error = 0;  ///< distance of the centres over the side; NaN where nothing was seen
};

/// One generated image: what was asked and what came out.
struct ControlSample {
  data::Request request;
  image::Lab skin;  ///< measured outside the asked region
  double ita_asked = 0, ita_measured = 0;
  double skin_error = 0;  ///< CIEDE2000
  double region_iou = 0;  ///< asked region against the lesion that the finder sees
  double found_quality = 0;
  double area_asked = 0, area_found = 0;  ///< shares of the image
  double centre_error = 0;          ///< distance of the centres over the image's side; NaN where the finder saw nothing
  double found_x = 0, found_y = 0;  ///< centre that the finder saw; NaN where it saw nothing
  double lesion_contrast = 0;       ///< CIEDE2000 between the asked region's median colour and the measured skin
  std::optional<Seen> judged;       ///< by the segmenter
  std::string condition_seen;       ///< by the classifier; "" without one, or for a condition that it does not know
};

/// Measures one image against the request that it was made for; without judges.
ControlSample measure_sample(const data::Request& request, const image::Image& image);
/// The same of many, side by side, and by the judges.
std::vector<ControlSample> measure_samples(const std::vector<data::Request>& requests,
                                           const std::vector<image::Image>& images, const Judges& judges);

/// Figures of a part of the samples.
struct ControlGroup {
  std::string name;
  size_t count = 0;
  double skin_error_median = 0, ita_error_median = 0, region_iou_median = 0;
  double judged_iou_median = 0, condition_accuracy = 0;  ///< NaN without the judge
};

/// How often the classifier sees the condition that was asked for, or that a photograph is of.
struct ConditionAccuracy {
  size_t count = 0;     ///< images whose condition the classifier knows
  double accuracy = 0;  ///< share that is right
  double balanced = 0;  ///< mean of the conditions' shares: what compares between sets of another mix
  double chance = 0;    ///< of `balanced`: one over the conditions that occur
  Interval accuracy_interval, balanced_interval;  ///< bootstrap over images, or patients
  std::vector<std::string> conditions;            ///< rows of `confusion`: those that occur
  std::vector<std::vector<size_t>> confusion;     ///< [asked][seen, in the classifier's order]
};
nlohmann::json to_json(const ConditionAccuracy& accuracy);
/// @param patients  whose each image is; images of one are drawn together
ConditionAccuracy condition_accuracy(const std::vector<std::string>& asked, const std::vector<std::string>& seen,
                                     const std::vector<std::string>& patients, const std::vector<std::string>& classes,
                                     uint64_t seed);

struct ControlResult {
  std::vector<ControlSample> samples;
  double skin_error_median = 0, skin_error_p95 = 0;
  double ita_rank_correlation = 0;  ///< Spearman, asked against measured
  double ita_error_median = 0;      ///< degrees, absolute
  double region_iou_median = 0, area_rank_correlation = 0, centre_error_median = 0;

  Interval skin_error_interval, ita_rank_interval, ita_error_interval, region_iou_interval, area_rank_interval,
      centre_error_interval;
  size_t nothing_found = 0;                         ///< images in which the finder saw no lesion; they count as IoU 0
  std::vector<ControlGroup> by_condition, by_tone;  ///< tone: of the asked colour
  uint64_t seed = 0;
  std::string requests;  ///< which they were, for the record
  std::string recipe, bundle_sha256, compute;

  /// By the segmenter, if there was one.
  struct Judged {
    double iou_median = 0, area_rank_correlation = 0, area_error_median = 0, centre_error_median = 0;
    Interval iou_interval, area_rank_interval, area_error_interval, centre_error_interval;
    size_t nothing_seen = 0;
  };
  std::optional<Judged> judged;
  std::optional<ConditionAccuracy> condition;       ///< of the samples, by the classifier
  std::optional<ConditionAccuracy> condition_real;  ///< of photographs, beside it
  std::string condition_real_of;                    ///< which photographs
  std::string segmenter, segmenter_sha256, classifier, classifier_sha256;
  std::vector<std::string> classes;  ///< columns of the confusions: what the classifier can see

  nlohmann::json to_json() const;  ///< figures and how they were measured; without the samples
  std::string to_csv() const;      ///< a row a sample
};

/// The figures of samples that are measured already.
ControlResult summarise(std::vector<ControlSample> samples, uint64_t seed, const Judges& judges = {});

/// `count` novel requests (balanced over condition, tone and size, within what the model has seen), generated and
/// measured.
/// @param group  processes that share the images out; all of them call, and have the result
ControlResult measure_control(generation::Engine& engine, size_t count, uint64_t seed, const Judges& judges = {},
                              ranks::Group* group = nullptr);

/// Images that are there already, with what was asked of them.
/// @throws DataError if the set does not say what was asked
ControlResult measure_control(const ImageSet& set, uint64_t seed, const Judges& judges = {},
                              ranks::Group* group = nullptr);

/// The classifier's answers for photographs of known condition: what the accuracy on synthetic images stands beside.
ConditionAccuracy accuracy_on(const ImageSet& photographs, const Judges& judges, uint64_t seed);

/// What else moves when one control is moved and all others are held.
struct Drift {
  std::vector<std::string> controls;    ///< moved: condition, size, x, y, skin
  std::vector<std::string> quantities;  ///< measured: ITA, skin colour, area, x, y, condition seen
  std::vector<std::string> units;
  /// [controls][quantities]: mean over the sweeps of (largest - smallest measured) within one; NaN where nothing could
  /// be measured. For skin colour the largest CIEDE2000 between two of a sweep, for the condition seen the share of
  /// sweeps in which it changes.
  std::vector<std::vector<double>> range;
  std::vector<std::vector<Interval>> interval;  ///< bootstrap over the sweeps
  size_t sweeps = 0, steps = 0;                 ///< of each control; images in a sweep
  std::string region_by;                        ///< who saw area and place
  nlohmann::json to_json() const;
};

/// `sweeps` random requests, and of each control `steps` values over what the model has seen.
Drift measure_drift(generation::Engine& engine, size_t sweeps, size_t steps, uint64_t seed, const Judges& judges = {});

}  // namespace derm::evaluation
