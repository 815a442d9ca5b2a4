#include "derm/study/power.h"

#include <cmath>

#include "derm/base/error.h"
#include "derm/study/statistics.h"

namespace derm::study {

void PowerAssumptions::validate() const {
  const auto within = [](const char* name, double v, double low, double high) {
    if (!(v > low && v < high)) throw UsageError("{} is {}; it must lie between {} and {}", name, v, low, high);
  };
  within("--accuracy", accuracy, 0.5, 1);
  within("--power", power, 0, 1);
  within("--alpha", alpha, 0, 0.5);
  if (!(icc_reader >= 0 && icc_reader < 1))
    throw UsageError("--icc-reader is {}; 0 to below 1 is expected", icc_reader);
  if (!(icc_image >= 0 && icc_image < 1)) throw UsageError("--icc-image is {}; 0 to below 1 is expected", icc_image);
}

namespace {

double share_variance(const std::vector<int64_t>& answers, double icc_image) {
  double total = 0, sum = 0;
  for (const int64_t m : answers) {
    const auto x = static_cast<double>(m);
    total += x;
    sum += x * (1 + (x - 1) * icc_image);
  }
  return total > 0 ? sum / (total * total) : 1;
}

double power_at(const Exposure& e, const PowerAssumptions& a, int64_t models, double accuracy) {
  const double images = (share_variance(e.synthetic, a.icc_image) + share_variance(e.real, a.icc_image)) / 4;
  const double per_answer = images + a.icc_reader / static_cast<double>(e.readers);
  const double z = normal_quantile(1 - a.alpha / (2 * static_cast<double>(models)));
  const double distance = accuracy - 0.5, under_chance = std::sqrt(0.25 * per_answer);
  const double under_effect = std::sqrt(accuracy * (1 - accuracy) * per_answer);
  if (under_effect <= 0) return distance > z * under_chance ? 1 : 0;
  return normal_cdf((distance - z * under_chance) / under_effect) +
         normal_cdf((-distance - z * under_chance) / under_effect);
}

/// The smallest accuracy in (1/2, 1] with `power`, where power rises with accuracy.
template <class Power>
double smallest(double wanted, const Power& power) {
  if (power(1.0) < wanted) return 1;
  double low = 0.5, high = 1;
  for (int i = 0; i < 60; ++i) {
    const double middle = 0.5 * (low + high);
    (power(middle) < wanted ? low : high) = middle;
  }
  return high;
}

}  // namespace

double power_of_test(const Exposure& exposure, const PowerAssumptions& assumptions, int64_t models) {
  return power_at(exposure, assumptions, models, assumptions.accuracy);
}

double detectable_accuracy(const Exposure& exposure, const PowerAssumptions& assumptions, int64_t models) {
  return smallest(assumptions.power, [&](double p) { return power_at(exposure, assumptions, models, p); });
}

double detectable_by_one(int64_t images, double power, double alpha) {
  // The test rejects from `most` right answers on (and, by symmetry, up to images - most; never mind from above 1/2).
  int64_t most = images + 1;
  for (int64_t k = images; 2 * k > images && binomial_test(k, images) <= alpha; --k) most = k;
  if (most > images) return 1;
  return smallest(power, [&](double p) {
    // P(X >= most) = I_p(most, images - most + 1).
    return incomplete_beta(static_cast<double>(most), static_cast<double>(images - most + 1), p);
  });
}

}  // namespace derm::study
