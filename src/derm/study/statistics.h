#pragma once
// The figures of a reader study. Each checked against tools/golden/study.py and published examples.
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "derm/base/special.h"

namespace derm::study {

/// A figure with its 95 % interval, or the reason why there is none. Never NaN: what cannot be computed is absent.
struct Estimate {
  std::optional<double> value, low, high;
  std::string reason;  ///< why the value, or else the interval, is missing; "" when both are there
  int64_t count = 0;   ///< answers (or pairs, or images) that it rests on

  static Estimate none(std::string why, int64_t count = 0) { return {{}, {}, {}, std::move(why), count}; }
};

/// Share k / n with the exact interval of Clopper and Pearson (Biometrika 26, 1934), two-sided at `confidence`.
/// No value for n = 0. @throws UsageError unless 0 <= k <= n.
Estimate proportion(int64_t k, int64_t n, double confidence = 0.95);

/// Exact two-sided binomial test: the probability of all outcomes that are no likelier than k of n, under `chance`.
double binomial_test(int64_t k, int64_t n, double chance = 0.5);

/// A point of a ROC curve: answers with a score of at least `threshold` are called positive.
struct RocPoint {
  double false_positive_rate = 0, true_positive_rate = 0, threshold = 0;
};

/// From (0, 0) to (1, 1), one point a distinct score, highest first. Empty unless both classes are there.
std::vector<RocPoint> roc_curve(const std::vector<double>& scores, const std::vector<bool>& positive);

/// Area under the ROC curve: the probability that a positive scores above a negative, ties counted half. The interval
/// is DeLong's (Biometrics 44, 1988) on the logit scale; none when the classes are told apart perfectly or there are
/// fewer than two of one. No value without both classes.
Estimate area_under_curve(const std::vector<double>& scores, const std::vector<bool>& positive);

/// The same value with a weight >= 0 for each answer; absent when a class has no weight.
std::optional<double> weighted_area(const std::vector<double>& scores, const std::vector<bool>& positive,
                                    const std::vector<double>& weights);

enum class Metric { nominal, ordinal, interval };

/// Krippendorff's alpha from the values that each unit (image) was given, by however many readers: missing answers are
/// simply not there ("Computing Krippendorff's alpha-reliability", 2011). Units with one value do not count. The
/// interval resamples units. No value when nothing is pairable or all values are alike.
Estimate krippendorff_alpha(const std::vector<std::vector<double>>& units, Metric metric, uint64_t seed = 0);

/// Fleiss' kappa (Psychological Bulletin 76, 1971) from counts [units][categories]; every unit has the same number of
/// answers, at least two. The interval resamples units. No value when the numbers differ, or all answers are alike.
Estimate fleiss_kappa(const std::vector<std::vector<int64_t>>& counts, uint64_t seed = 0);

/// Cohen's kappa of two answers to the same thing (first, again). No value below two pairs or when chance agreement
/// is 1. The interval resamples pairs.
Estimate cohen_kappa(const std::vector<std::pair<int, int>>& pairs, uint64_t seed = 0);

/// Bootstrap crossed over readers and images (Owen, Annals of Applied Statistics 1, 2007): both are drawn with
/// replacement, independently, images within their strata (so that the number of real and of made images stays), and an
/// answer counts as often as its reader times its image. With one reader only images are drawn.
struct CrossedBootstrap {
  size_t readers = 0;
  std::vector<int> image_stratum;  ///< one an image
  int replicates = 2000;
  uint64_t seed = 0;
};

/// @param of  several figures at once from the weights of readers and images; absent where a draw gives none
/// @return    their 95 % percentile intervals, at the values that `of` gives with all weights 1
std::vector<Estimate> crossed_bootstrap(
    const CrossedBootstrap& plan,
    const std::function<std::vector<std::optional<double>>(const std::vector<double>& reader_weights,
                                                           const std::vector<double>& image_weights)>& of);

/// Linear between order statistics; values must not be empty.
double quantile(std::vector<double> values, double q);

}  // namespace derm::study
