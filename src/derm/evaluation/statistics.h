#pragma once
// What stands behind every interval and test of an evaluation.
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace derm::evaluation {

/// A 95 % interval; NaN where there is none.
struct Interval {
  double low = 0, high = 0;
};

/// Linear between the order statistics, q in [0, 1]; values that are NaN are left out. NaN for no values.
double quantile(std::vector<double> values, double q);
double median(const std::vector<double>& values);
double mean(const std::vector<double>& values);
/// Of a sample (n - 1). NaN below two values.
double deviation(const std::vector<double>& values);

double spearman(const std::vector<double>& a, const std::vector<double>& b);  ///< mean ranks for ties; NaN below 3

/// Percentile bootstrap over `count` images: `of` is given the rows that were drawn. For figures that duplicates do not
/// bias, such as medians and shares.
Interval bootstrap(size_t count, uint64_t seed, const char* figure,
                   const std::function<double(const std::vector<size_t>&)>& of);

/// Rows of whole patients, drawn at random without replacement until they hold `wanted` rows, or as near to it as whole
/// patients come. Sorted.
std::vector<size_t> draw_patients(const std::vector<std::string>& patients, size_t wanted, uint64_t seed);

/// The rows that are not among `rows` (sorted), of `count`.
std::vector<size_t> complement(const std::vector<size_t>& rows, size_t count);

/// Half-sampling without replacement: `of` is computed on halves of the patients of both sets, and its deviation over
/// the draws is that of the whole (the variance of half-samples drawn without replacement equals the variance of the
/// full sample's mean; Politis, Romano and Wolf, "Subsampling", 1999). The bias of the halves does not enter: the
/// interval is value +- 1.96 deviations. `most_rows` caps a draw, and the deviation is scaled by sqrt(m / (n - m))
/// then.
struct HalfSampling {
  std::vector<std::string> real, synthetic;  ///< patient of each row
  int draws = 50;
  size_t most_rows = 1000;
  uint64_t seed = 0;
};
/// @param of  several figures at once from the rows of both sets; always as many
/// @return    one deviation a figure
std::vector<double> half_sample_deviations(
    const HalfSampling& plan,
    const std::function<std::vector<double>(const std::vector<size_t>&, const std::vector<size_t>&)>& of);

/// Probability under the null hypothesis (both samples from one distribution) that `below` or more of `synthetic`
/// values lie under the r-th smallest of `reference` values, r = `rank` from 1: negative hypergeometric, exact.
double share_below_p(size_t below, size_t synthetic, size_t rank, size_t reference);

/// One-sided Mann-Whitney test that `a` tends to be smaller than `b`: normal approximation with ties and continuity
/// corrected.
struct MannWhitney {
  double smaller = 0.5;  ///< probability that a value of `a` lies below one of `b`, ties half
  double p = 1;
};
MannWhitney mann_whitney_less(const std::vector<double>& a, const std::vector<double>& b);

}  // namespace derm::evaluation
