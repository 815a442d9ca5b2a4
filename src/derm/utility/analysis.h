#pragma once
// From figures of single classifiers to differences with intervals. No libtorch.
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "derm/utility/scores.h"

namespace derm::utility {

/// A figure or a difference of two, with its 95 % interval.
struct Estimate {
  static constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  double value = kNone, low = kNone, high = kNone;
  double error = kNone;      ///< standard error
  double patients = kNone;   ///< its part from which patients are asked
  double trainings = kNone;  ///< its part from seed, weights and folds; NaN where it cannot be told apart
  double df = kNone;         ///< degrees of freedom of the interval
  double p = kNone;          ///< of no difference, two-sided
  double smallest = kNone;   ///< difference that this design finds in 8 of 10 times at 5 %
};

/// What is known of one figure: of each fold the classifiers' values (a seed each), and what bootstraps of patients
/// make of the mean over all.
struct Sample {
  std::vector<std::vector<double>> values;  ///< [folds][seeds]; NaN where there is none
  std::vector<double> draws;                ///< the mean over folds of the mean over seeds, in each draw of patients
  bool same_patients = false;               ///< every fold was asked of the same patients (a second data set)
  size_t patients = 0;
};

/// Value: mean over folds of the mean over seeds. Its variance is that of the draws of patients plus that of training:
///  - several seeds a fold: the variance of seeds within folds, over their number;
///  - one seed a fold, patients of their own in each: folds differ by both, so the greater of the two variances stands;
///  - the same patients in each fold: the variance between folds, over their number;
///  - one classifier: training's part is not known, and the interval is of patients alone.
/// Interval and test are Student's, degrees of freedom by Welch and Satterthwaite.
Estimate estimate(const Sample& sample);

/// a - b, paired by fold, seed and draw.
Sample difference(const Sample& a, const Sample& b);

/// Holm's step-down adjustment (Scandinavian Journal of Statistics 6, 1979); NaN stay NaN and do not count.
std::vector<double> holm(const std::vector<double>& p);

/// The difference that is found with probability `power` by a two-sided test at `alpha`, from a standard error.
double smallest_effect(double error, double df, double alpha = 0.05, double power = 0.8);

/// Answers of one classifier and whose images they are.
struct Asked {
  Answers answers;
  std::vector<std::string> patient;  ///< one an image
};

/// All figures (figure_names()) of one arm: point values and draws.
/// @param runs  [folds][seeds]; the images of a fold are the same for every seed
/// @param seed  of the draws: the same patients are drawn for every arm that is given the same seed
/// @return      one sample a figure
std::vector<Sample> samples_of(const std::vector<std::vector<Asked>>& runs, bool same_patients, int64_t draws,
                               uint64_t seed);

}  // namespace derm::utility
