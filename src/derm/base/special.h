#pragma once
// Distribution functions that intervals and tests rest on. No libtorch.

namespace derm {

double normal_cdf(double z);
double normal_quantile(double p);  ///< p in (0, 1); throws UsageError outside

/// Regularised incomplete beta function I_x(a, b), a, b > 0, x in [0, 1]; continued fraction (Lentz), to about 1e-14.
double incomplete_beta(double a, double b, double x);

/// Student's t with `df` > 0 degrees of freedom (not necessarily whole); from 1e6 on it is the normal distribution.
double student_cdf(double t, double df);
double student_quantile(double p, double df);  ///< p in (0, 1); throws UsageError outside

}  // namespace derm
