#include "derm/base/special.h"

#include <cmath>

#include "derm/base/error.h"

namespace derm {
namespace {

constexpr double kAsNormal = 1e6;  // degrees of freedom

double log_beta(double a, double b) { return std::lgamma(a) + std::lgamma(b) - std::lgamma(a + b); }

}  // namespace

double normal_cdf(double z) { return 0.5 * std::erfc(-z / std::sqrt(2.0)); }

double normal_quantile(double p) {
  if (!(p > 0 && p < 1)) throw UsageError("normal_quantile: {} is not between 0 and 1", p);
  double low = -40, high = 40;
  for (int i = 0; i < 200; ++i) {
    const double middle = 0.5 * (low + high);
    (normal_cdf(middle) < p ? low : high) = middle;
  }
  return 0.5 * (low + high);
}

double incomplete_beta(double a, double b, double x) {
  if (!(a > 0 && b > 0)) throw UsageError("incomplete_beta: a and b are {} and {}; both must be above 0", a, b);
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  // The continued fraction converges fast below the mean; above it, by symmetry.
  if (x > (a + 1) / (a + b + 2)) return 1 - incomplete_beta(b, a, 1 - x);
  constexpr double kTiny = 1e-300;
  double c = 1, d = 1 - (a + b) * x / (a + 1);
  d = 1 / (std::fabs(d) < kTiny ? kTiny : d);
  double fraction = d;
  for (int m = 1; m < 10000; ++m) {
    const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    for (const double term : {even, odd}) {
      d = 1 + term * d;
      d = 1 / (std::fabs(d) < kTiny ? kTiny : d);
      c = 1 + term / c;
      if (std::fabs(c) < kTiny) c = kTiny;
      fraction *= c * d;
    }
    if (std::fabs(c * d - 1) < 1e-16) break;
  }
  return std::exp(a * std::log(x) + b * std::log1p(-x) - log_beta(a, b)) * fraction / a;
}

double student_cdf(double t, double df) {
  if (!(df > 0)) throw UsageError("student_cdf: {} degrees of freedom; more than 0 are needed", df);
  if (df >= kAsNormal) return normal_cdf(t);
  const double tail = 0.5 * incomplete_beta(df / 2, 0.5, df / (df + t * t));
  return t > 0 ? 1 - tail : tail;
}

double student_quantile(double p, double df) {
  if (!(p > 0 && p < 1)) throw UsageError("student_quantile: {} is not between 0 and 1", p);
  if (df >= kAsNormal) return normal_quantile(p);
  if (p == 0.5) return 0;
  if (p > 0.5) return -student_quantile(1 - p, df);
  // The tails of few degrees of freedom are long: widen until p lies inside, then halve.
  double low = -2, high = 0;
  while (student_cdf(low, df) > p && low > -1e12) low *= 2;
  for (int i = 0; i < 200; ++i) {
    const double middle = 0.5 * (low + high);
    (student_cdf(middle, df) < p ? low : high) = middle;
  }
  return 0.5 * (low + high);
}

}  // namespace derm
