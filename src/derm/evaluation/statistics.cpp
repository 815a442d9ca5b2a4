#include "derm/evaluation/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

#include "derm/base/error.h"
#include "derm/base/random.h"

namespace derm::evaluation {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr int kResamples = 1000;  // of the bootstrap

/// Ranks from 1, ties share their mean.
std::vector<double> ranks(const std::vector<double>& values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return values[a] < values[b]; });
  std::vector<double> result(values.size());
  for (size_t i = 0; i < order.size();) {
    size_t j = i;
    while (j < order.size() && values[order[j]] == values[order[i]]) ++j;
    for (size_t k = i; k < j; ++k) result[order[k]] = (static_cast<double>(i + j) + 1) / 2;
    i = j;
  }
  return result;
}

/// ln C(n, k)
double log_choose(double n, double k) { return std::lgamma(n + 1) - std::lgamma(k + 1) - std::lgamma(n - k + 1); }

}  // namespace

double quantile(std::vector<double> values, double q) {
  std::erase_if(values, [](double v) { return std::isnan(v); });
  if (values.empty()) return kNaN;
  std::sort(values.begin(), values.end());
  const double at = q * static_cast<double>(values.size() - 1);
  const size_t i = static_cast<size_t>(at);
  const double next = values[std::min(i + 1, values.size() - 1)];
  return values[i] + (at - static_cast<double>(i)) * (next - values[i]);
}

double median(const std::vector<double>& values) { return quantile(values, 0.5); }

double mean(const std::vector<double>& values) {
  if (values.empty()) return kNaN;
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double deviation(const std::vector<double>& values) {
  if (values.size() < 2) return kNaN;
  const double middle = mean(values);
  double sum = 0;
  for (const double v : values) sum += (v - middle) * (v - middle);
  return std::sqrt(sum / static_cast<double>(values.size() - 1));
}

double spearman(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.size() != b.size())
    throw UsageError("spearman: {} and {} values were given, as many of both are needed", a.size(), b.size());
  if (a.size() < 3) return kNaN;
  const std::vector<double> x = ranks(a), y = ranks(b);
  const double middle = (static_cast<double>(a.size()) + 1) / 2;
  double xy = 0, xx = 0, yy = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    xy += (x[i] - middle) * (y[i] - middle);
    xx += (x[i] - middle) * (x[i] - middle);
    yy += (y[i] - middle) * (y[i] - middle);
  }
  return xx > 0 && yy > 0 ? xy / std::sqrt(xx * yy) : kNaN;  // all equal: no order
}

Interval bootstrap(size_t count, uint64_t seed, const char* figure,
                   const std::function<double(const std::vector<size_t>&)>& of) {
  if (count < 3) return {kNaN, kNaN};
  Rng rng(mix_seed(seed, hash_text(figure)));
  std::vector<double> values;
  std::vector<size_t> rows(count);
  for (int i = 0; i < kResamples; ++i) {
    for (size_t& row : rows) row = static_cast<size_t>(rng.integer(0, static_cast<int64_t>(count) - 1));
    values.push_back(of(rows));
  }
  return {quantile(values, 0.025), quantile(values, 0.975)};
}

std::vector<size_t> draw_patients(const std::vector<std::string>& patients, size_t wanted, uint64_t seed) {
  std::map<std::string, std::vector<size_t>> rows_of;  // sorted by name: the draw does not depend on the rows' order
  for (size_t i = 0; i < patients.size(); ++i) rows_of[patients[i]].push_back(i);
  std::vector<const std::vector<size_t>*> order;
  for (const auto& [name, rows] : rows_of) order.push_back(&rows);
  Rng(seed).shuffle(order);
  std::vector<size_t> result;
  for (const std::vector<size_t>* rows : order) {
    if (result.size() >= wanted) break;
    // The last patient comes in only if that brings the count nearer.
    const size_t with = result.size() + rows->size();
    if (!result.empty() && with > wanted && with - wanted > wanted - result.size()) break;
    result.insert(result.end(), rows->begin(), rows->end());
  }
  std::sort(result.begin(), result.end());
  return result;
}

std::vector<size_t> complement(const std::vector<size_t>& rows, size_t count) {
  std::vector<size_t> result;
  size_t at = 0;
  for (size_t i = 0; i < count; ++i) {
    if (at < rows.size() && rows[at] == i)
      ++at;
    else
      result.push_back(i);
  }
  return result;
}

std::vector<double> half_sample_deviations(
    const HalfSampling& plan,
    const std::function<std::vector<double>(const std::vector<size_t>&, const std::vector<size_t>&)>& of) {
  const size_t real = std::min(plan.real.size() / 2, plan.most_rows),
               synthetic = std::min(plan.synthetic.size() / 2, plan.most_rows);
  std::vector<std::vector<double>> values;  // by figure
  double ratio = 0;
  for (int i = 0; i < plan.draws; ++i) {
    const uint64_t seed = mix_seed(plan.seed, static_cast<uint64_t>(i));
    const std::vector<size_t> a = draw_patients(plan.real, real, mix_seed(seed, 1));
    const std::vector<size_t> b = draw_patients(plan.synthetic, synthetic, mix_seed(seed, 2));
    const std::vector<double> figures = of(a, b);
    values.resize(figures.size());
    for (size_t f = 0; f < figures.size(); ++f) values[f].push_back(figures[f]);
    // Both sets lose about the same share; where a cap bites one more, the one that kept more decides (wider).
    const auto odds = [](size_t m, size_t n) {
      return n > m ? static_cast<double>(m) / static_cast<double>(n - m) : kNaN;
    };
    ratio += std::max(odds(a.size(), plan.real.size()), odds(b.size(), plan.synthetic.size())) / plan.draws;
  }
  std::vector<double> result;
  for (const std::vector<double>& list : values) result.push_back(deviation(list) * std::sqrt(ratio));
  return result;
}

double share_below_p(size_t below, size_t synthetic, size_t rank, size_t reference) {
  if (rank < 1 || rank > reference || below > synthetic) {
    throw UsageError("share below: {} of {} synthetic values, rank {} of {} are asked for, which cannot be", below,
                     synthetic, rank, reference);
  }
  // All orders of the pooled values are equally likely. P(exactly j below the rank-th reference value) =
  // C(j + r - 1, j) C(n - j + m - r, n - j) / C(n + m, n).
  const double n = static_cast<double>(synthetic), m = static_cast<double>(reference), r = static_cast<double>(rank);
  const double all = log_choose(n + m, n);
  double p = 0;
  for (size_t j = below; j <= synthetic; ++j) {
    const double k = static_cast<double>(j);
    p += std::exp(log_choose(k + r - 1, k) + log_choose(n - k + m - r, n - k) - all);
  }
  return std::min(1.0, p);
}

MannWhitney mann_whitney_less(const std::vector<double>& a, const std::vector<double>& b) {
  MannWhitney result;
  if (a.empty() || b.empty()) return {kNaN, kNaN};
  std::vector<double> pooled = a;
  pooled.insert(pooled.end(), b.begin(), b.end());
  const std::vector<double> rank = ranks(pooled);
  const double n = static_cast<double>(a.size()), m = static_cast<double>(b.size()), all = n + m;
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += rank[i];
  const double u = sum - n * (n + 1) / 2;  // pairs in which a is the larger, ties half
  result.smaller = 1 - u / (n * m);
  std::sort(pooled.begin(), pooled.end());
  double ties = 0;
  for (size_t i = 0; i < pooled.size();) {
    size_t j = i;
    while (j < pooled.size() && pooled[j] == pooled[i]) ++j;
    const double t = static_cast<double>(j - i);
    ties += t * t * t - t;
    i = j;
  }
  const double variance = n * m / 12 * (all + 1 - ties / (all * (all - 1)));
  if (!(variance > 0)) return {0.5, 1};  // all values are equal
  const double z = (u - n * m / 2 + 0.5) / std::sqrt(variance);
  result.p = std::min(1.0, 0.5 * std::erfc(-z / std::sqrt(2.0)));
  return result;
}

}  // namespace derm::evaluation
