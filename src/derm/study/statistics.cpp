#include "derm/study/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

#include "derm/base/error.h"
#include "derm/base/random.h"

namespace derm::study {
namespace {

constexpr int kUnitReplicates = 2000;
constexpr double kFewestReplicates = 0.9;  // share of draws that must give a figure

/// Percentile interval of what the draws gave.
void set_interval(Estimate& e, std::vector<double> drawn, int replicates, const char* why) {
  if (static_cast<double>(drawn.size()) < kFewestReplicates * replicates) {
    e.reason = why;
    return;
  }
  std::sort(drawn.begin(), drawn.end());
  const auto at = [&](double q) {
    const double position = q * static_cast<double>(drawn.size() - 1);
    const auto below = static_cast<size_t>(position);
    const size_t above = std::min(below + 1, drawn.size() - 1);
    return drawn[below] + (position - static_cast<double>(below)) * (drawn[above] - drawn[below]);
  };
  if (drawn.front() == drawn.back()) {
    // Every draw gives one value: an interval without width would claim certainty that a few answers do not give.
    e.reason = "no variation among the answers: no interval";
    return;
  }
  e.low = at(0.025);
  e.high = at(0.975);
}

/// Adds the interval of a figure of `units` equal units, by drawing them with replacement.
template <class Of>
void resample_units(Estimate& e, size_t units, uint64_t seed, const Of& of) {
  if (units < 3) {
    e.reason = "fewer than three images: no interval";
    return;
  }
  Rng rng(mix_seed(seed, units));
  std::vector<double> drawn;
  std::vector<size_t> rows(units);
  for (int b = 0; b < kUnitReplicates; ++b) {
    for (size_t& row : rows) row = static_cast<size_t>(rng.integer(0, static_cast<int64_t>(units) - 1));
    if (const std::optional<double> v = of(rows)) drawn.push_back(*v);
  }
  set_interval(e, std::move(drawn), kUnitReplicates, "too little variation for an interval");
}

/// x with I_x(a, b) = p, by bisection: 200 halvings reach the last bit.
double beta_quantile(double a, double b, double p) {
  double low = 0, high = 1;
  for (int i = 0; i < 200 && high - low > 0; ++i) {
    const double middle = 0.5 * (low + high);
    if (middle == low || middle == high) break;
    (incomplete_beta(a, b, middle) < p ? low : high) = middle;
  }
  return 0.5 * (low + high);
}

std::vector<size_t> by_score(const std::vector<double>& scores) {
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return scores[a] > scores[b]; });
  return order;
}

}  // namespace

Estimate proportion(int64_t k, int64_t n, double confidence) {
  if (k < 0 || n < 0 || k > n) throw UsageError("proportion: {} of {} is no share; 0 <= k <= n is expected", k, n);
  if (!(confidence > 0 && confidence < 1))
    throw UsageError("proportion: the confidence is {}, not in (0, 1)", confidence);
  if (n == 0) return Estimate::none("no answers");
  Estimate e;
  e.count = n;
  e.value = static_cast<double>(k) / static_cast<double>(n);
  const double tail = (1 - confidence) / 2, successes = static_cast<double>(k), failures = static_cast<double>(n - k);
  e.low = k == 0 ? 0 : beta_quantile(successes, failures + 1, tail);
  e.high = k == n ? 1 : beta_quantile(successes + 1, failures, 1 - tail);
  return e;
}

double binomial_test(int64_t k, int64_t n, double chance) {
  if (k < 0 || n < 0 || k > n) throw UsageError("binomial_test: {} of {} is no share", k, n);
  if (!(chance > 0 && chance < 1)) throw UsageError("binomial_test: chance is {}, not in (0, 1)", chance);
  const auto log_probability = [&](int64_t i) {
    const double x = static_cast<double>(i), all = static_cast<double>(n);
    return std::lgamma(all + 1) - std::lgamma(x + 1) - std::lgamma(all - x + 1) + x * std::log(chance) +
           (all - x) * std::log1p(-chance);
  };
  // The tolerance keeps the mirror image of k, whose probability differs by rounding alone.
  const double limit = log_probability(k) + 1e-7;
  double p = 0;
  for (int64_t i = 0; i <= n; ++i) {
    if (log_probability(i) <= limit) p += std::exp(log_probability(i));
  }
  return std::min(p, 1.0);
}

std::vector<RocPoint> roc_curve(const std::vector<double>& scores, const std::vector<bool>& positive) {
  const auto positives = static_cast<double>(std::count(positive.begin(), positive.end(), true));
  const double negatives = static_cast<double>(positive.size()) - positives;
  if (positives == 0 || negatives == 0) return {};
  std::vector<RocPoint> curve{{0, 0, std::numeric_limits<double>::infinity()}};
  const std::vector<size_t> order = by_score(scores);
  double hits = 0, alarms = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    (positive[order[i]] ? hits : alarms) += 1;
    if (i + 1 < order.size() && scores[order[i + 1]] == scores[order[i]]) continue;
    curve.push_back({alarms / negatives, hits / positives, scores[order[i]]});
  }
  return curve;
}

std::optional<double> weighted_area(const std::vector<double>& scores, const std::vector<bool>& positive,
                                    const std::vector<double>& weights) {
  const std::vector<size_t> order = by_score(scores);
  double above = 0, negatives = 0, area = 0;
  for (size_t i = 0; i < order.size();) {
    double tied_positive = 0, tied_negative = 0;
    size_t j = i;
    for (; j < order.size() && scores[order[j]] == scores[order[i]]; ++j) {
      (positive[order[j]] ? tied_positive : tied_negative) += weights[order[j]];
    }
    area += tied_negative * (above + 0.5 * tied_positive);
    above += tied_positive;
    negatives += tied_negative;
    i = j;
  }
  if (above <= 0 || negatives <= 0) return std::nullopt;
  return area / (above * negatives);
}

Estimate area_under_curve(const std::vector<double>& scores, const std::vector<bool>& positive) {
  if (scores.size() != positive.size()) {
    throw UsageError("area_under_curve: {} scores and {} labels; as many are expected", scores.size(), positive.size());
  }
  std::vector<double> high, low;
  for (size_t i = 0; i < scores.size(); ++i) (positive[i] ? high : low).push_back(scores[i]);
  const auto count = static_cast<int64_t>(scores.size());
  if (high.empty() || low.empty()) return Estimate::none("needs answers to real and to synthetic images", count);
  std::sort(high.begin(), high.end());
  std::sort(low.begin(), low.end());
  // Structural components: the share of the other class that each answer beats, ties half.
  const auto below = [](const std::vector<double>& sorted, double v) {
    const auto range = std::equal_range(sorted.begin(), sorted.end(), v);
    return (static_cast<double>(range.first - sorted.begin()) + 0.5 * static_cast<double>(range.second - range.first)) /
           static_cast<double>(sorted.size());
  };
  std::vector<double> of_high, of_low;
  for (const double v : high) of_high.push_back(below(low, v));
  for (const double v : low) of_low.push_back(1 - below(high, v));
  const auto mean = [](const std::vector<double>& v) {
    return std::accumulate(v.begin(), v.end(), 0.0) / static_cast<double>(v.size());
  };
  Estimate e;
  e.count = count;
  e.value = mean(of_high);
  if (high.size() < 2 || low.size() < 2) {
    e.reason = "fewer than two answers of one kind: no interval";
    return e;
  }
  const auto variance_of_mean = [](const std::vector<double>& v, double centre) {
    double sum = 0;
    for (const double x : v) sum += (x - centre) * (x - centre);
    return sum / static_cast<double>(v.size() - 1) / static_cast<double>(v.size());
  };
  const double area = *e.value;
  const double deviation = std::sqrt(variance_of_mean(of_high, area) + variance_of_mean(of_low, area));
  if (area <= 0 || area >= 1 || deviation <= 0) {
    e.reason = "told apart without a fault, or no variation: no interval";
    return e;
  }
  const double logit = std::log(area / (1 - area)), step = 1.959963984540054 * deviation / (area * (1 - area));
  e.low = 1 / (1 + std::exp(step - logit));
  e.high = 1 / (1 + std::exp(-step - logit));
  return e;
}

namespace {

/// Coincidences of the values of units (Krippendorff 2011): alpha = 1 - observed over expected disagreement.
/// @param units  each unit's counts by category
std::optional<double> alpha_of(const std::vector<const std::vector<double>*>& units, const std::vector<double>& levels,
                               Metric metric) {
  const size_t k = levels.size();
  std::vector<double> coincidences(k * k, 0.0), total(k, 0.0);
  double n = 0;
  for (const std::vector<double>* unit : units) {
    double m = 0;
    for (const double c : *unit) m += c;
    if (m < 2) continue;
    for (size_t i = 0; i < k; ++i) {
      const double a = (*unit)[i];
      if (a == 0) continue;
      total[i] += a;
      n += a;
      for (size_t j = 0; j < k; ++j) coincidences[i * k + j] += a * ((*unit)[j] - (i == j ? 1 : 0)) / (m - 1);
    }
  }
  if (n < 2) return std::nullopt;
  const auto difference = [&](size_t i, size_t j) -> double {
    if (i == j) return 0;
    if (metric == Metric::nominal) return 1;
    if (metric == Metric::interval) return (levels[i] - levels[j]) * (levels[i] - levels[j]);
    const size_t from = std::min(i, j), to = std::max(i, j);
    double between = -0.5 * (total[from] + total[to]);
    for (size_t g = from; g <= to; ++g) between += total[g];
    return between * between;
  };
  double observed = 0, expected = 0;
  for (size_t i = 0; i < k; ++i) {
    for (size_t j = 0; j < k; ++j) {
      const double d = difference(i, j);
      observed += coincidences[i * k + j] * d;
      expected += total[i] * total[j] * d;
    }
  }
  if (expected <= 0) return std::nullopt;
  return 1 - (n - 1) * observed / expected;
}

}  // namespace

Estimate krippendorff_alpha(const std::vector<std::vector<double>>& units, Metric metric, uint64_t seed) {
  std::map<double, size_t> level_of;
  for (const auto& unit : units) {
    for (const double v : unit) level_of.emplace(v, 0);
  }
  std::vector<double> levels;
  for (auto& [level, index] : level_of) {
    index = levels.size();
    levels.push_back(level);
  }
  std::vector<std::vector<double>> counts;  // of the units that pair
  for (const auto& unit : units) {
    if (unit.size() < 2) continue;
    counts.emplace_back(levels.size(), 0.0);
    for (const double v : unit) counts.back()[level_of.at(v)] += 1;
  }
  const auto count = static_cast<int64_t>(counts.size());
  if (counts.empty()) return Estimate::none("no image was answered by two readers");
  std::vector<const std::vector<double>*> all;
  for (const auto& c : counts) all.push_back(&c);
  Estimate e;
  e.count = count;
  e.value = alpha_of(all, levels, metric);
  if (!e.value) return Estimate::none("all answers are alike: agreement beyond chance has no meaning", count);
  resample_units(e, counts.size(), seed, [&](const std::vector<size_t>& rows) {
    std::vector<const std::vector<double>*> drawn;
    drawn.reserve(rows.size());
    for (const size_t row : rows) drawn.push_back(&counts[row]);
    return alpha_of(drawn, levels, metric);
  });
  return e;
}

Estimate fleiss_kappa(const std::vector<std::vector<int64_t>>& counts, uint64_t seed) {
  if (counts.empty()) return Estimate::none("no anchor image was answered by all readers");
  const int64_t raters = std::accumulate(counts.front().begin(), counts.front().end(), int64_t{0});
  for (const auto& unit : counts) {
    if (unit.size() != counts.front().size() || std::accumulate(unit.begin(), unit.end(), int64_t{0}) != raters) {
      return Estimate::none("the images were not all answered by the same number of readers",
                            static_cast<int64_t>(counts.size()));
    }
  }
  if (raters < 2) return Estimate::none("one reader: agreement needs two", static_cast<int64_t>(counts.size()));
  const auto kappa = [&](const std::vector<size_t>& rows) -> std::optional<double> {
    const auto n = static_cast<double>(raters);
    std::vector<double> share(counts.front().size(), 0.0);
    double agreement = 0;
    for (const size_t row : rows) {
      double pairs = 0;
      for (size_t j = 0; j < share.size(); ++j) {
        const auto c = static_cast<double>(counts[row][j]);
        share[j] += c;
        pairs += c * (c - 1);
      }
      agreement += pairs / (n * (n - 1));
    }
    agreement /= static_cast<double>(rows.size());
    double chance = 0;
    for (const double s : share) chance += std::pow(s / (n * static_cast<double>(rows.size())), 2);
    if (chance >= 1 - 1e-12) return std::nullopt;
    return (agreement - chance) / (1 - chance);
  };
  std::vector<size_t> all(counts.size());
  std::iota(all.begin(), all.end(), size_t{0});
  Estimate e;
  e.count = static_cast<int64_t>(counts.size());
  e.value = kappa(all);
  if (!e.value) return Estimate::none("all answers are alike: agreement beyond chance has no meaning", e.count);
  resample_units(e, counts.size(), seed, kappa);
  return e;
}

Estimate cohen_kappa(const std::vector<std::pair<int, int>>& pairs, uint64_t seed) {
  const auto count = static_cast<int64_t>(pairs.size());
  if (pairs.empty()) return Estimate::none("no image was answered twice");
  if (pairs.size() < 2) return Estimate::none("one image answered twice is too few", count);
  const auto kappa = [&](const std::vector<size_t>& rows) -> std::optional<double> {
    std::map<int, double> first, second;
    double same = 0;
    for (const size_t row : rows) {
      first[pairs[row].first] += 1;
      second[pairs[row].second] += 1;
      same += pairs[row].first == pairs[row].second ? 1 : 0;
    }
    const auto n = static_cast<double>(rows.size());
    double chance = 0;
    for (const auto& [value, c] : first) {
      if (const auto other = second.find(value); other != second.end()) chance += c / n * other->second / n;
    }
    if (chance >= 1 - 1e-12) return std::nullopt;
    return (same / n - chance) / (1 - chance);
  };
  std::vector<size_t> all(pairs.size());
  std::iota(all.begin(), all.end(), size_t{0});
  Estimate e;
  e.count = count;
  e.value = kappa(all);
  if (!e.value) return Estimate::none("all answers are alike: agreement beyond chance has no meaning", count);
  resample_units(e, pairs.size(), seed, kappa);
  return e;
}

std::vector<Estimate> crossed_bootstrap(
    const CrossedBootstrap& plan,
    const std::function<std::vector<std::optional<double>>(const std::vector<double>&, const std::vector<double>&)>&
        of) {
  std::vector<double> readers(plan.readers, 1.0), images(plan.image_stratum.size(), 1.0);
  std::vector<Estimate> result;
  for (const std::optional<double>& v : of(readers, images)) {
    result.emplace_back();
    result.back().value = v;
    if (!v) result.back().reason = "no answers";
  }
  std::map<int, std::vector<size_t>> strata;
  for (size_t i = 0; i < plan.image_stratum.size(); ++i) strata[plan.image_stratum[i]].push_back(i);
  std::vector<std::vector<double>> drawn(result.size());
  Rng rng(mix_seed(plan.seed, hash_text("crossed bootstrap")));
  const auto below = [&](size_t n) { return static_cast<size_t>(rng.integer(0, static_cast<int64_t>(n) - 1)); };
  for (int b = 0; b < plan.replicates; ++b) {
    if (plan.readers > 1) {
      std::fill(readers.begin(), readers.end(), 0.0);
      for (size_t i = 0; i < plan.readers; ++i) readers[below(plan.readers)] += 1;
    }
    std::fill(images.begin(), images.end(), 0.0);
    for (const auto& [stratum, members] : strata) {
      for (size_t i = 0; i < members.size(); ++i) images[members[below(members.size())]] += 1;
    }
    const std::vector<std::optional<double>> values = of(readers, images);
    for (size_t f = 0; f < result.size(); ++f) {
      if (values[f]) drawn[f].push_back(*values[f]);
    }
  }
  for (size_t f = 0; f < result.size(); ++f) {
    if (result[f].value)
      set_interval(result[f], std::move(drawn[f]), plan.replicates, "too few answers for an interval");
  }
  return result;
}

double quantile(std::vector<double> values, double q) {
  if (values.empty()) throw UsageError("quantile: there are no values");
  std::sort(values.begin(), values.end());
  const double position = q * static_cast<double>(values.size() - 1);
  const auto below = static_cast<size_t>(position);
  const size_t above = std::min(below + 1, values.size() - 1);
  return values[below] + (position - static_cast<double>(below)) * (values[above] - values[below]);
}

}  // namespace derm::study
