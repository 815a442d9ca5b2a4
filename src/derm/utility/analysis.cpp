#include "derm/utility/analysis.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "derm/base/error.h"
#include "derm/base/random.h"
#include "derm/base/special.h"
#include "derm/base/system.h"

namespace derm::utility {
namespace {

constexpr double kNaN = Estimate::kNone;

std::vector<double> known(const std::vector<double>& values) {
  std::vector<double> result;
  for (const double v : values)
    if (!std::isnan(v)) result.push_back(v);
  return result;
}

double mean(const std::vector<double>& values) {
  if (values.empty()) return kNaN;
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double squares_about_mean(const std::vector<double>& values) {
  const double middle = mean(values);
  double sum = 0;
  for (const double v : values) sum += (v - middle) * (v - middle);
  return sum;
}

double variance(const std::vector<double>& values) {
  return values.size() < 2 ? kNaN : squares_about_mean(values) / static_cast<double>(values.size() - 1);
}

}  // namespace

double smallest_effect(double error, double df, double alpha, double power) {
  if (!(error > 0) || !(df > 0)) return kNaN;
  return (student_quantile(1 - alpha / 2, df) + student_quantile(power, df)) * error;
}

Estimate estimate(const Sample& sample) {
  Estimate e;
  std::vector<double> folds;  // means over seeds
  double within = 0, inverse_seeds = 0;
  int64_t within_df = 0;
  bool every_fold_has_seeds = true;
  for (const std::vector<double>& seeds : sample.values) {
    const std::vector<double> values = known(seeds);
    if (values.empty()) continue;
    folds.push_back(mean(values));
    within += squares_about_mean(values);
    within_df += static_cast<int64_t>(values.size()) - 1;
    inverse_seeds += 1 / static_cast<double>(values.size());
    every_fold_has_seeds &= values.size() > 1;
  }
  e.value = mean(folds);
  if (folds.empty()) return e;
  const std::vector<double> draws = known(sample.draws);
  // Draws without a figure (a rare condition that nobody drawn has) may be a few, not most.
  if (sample.patients < 3 || draws.size() * 10 < sample.draws.size() * 9) return e;
  const auto count = static_cast<double>(folds.size());
  const double of_patients = variance(draws), patient_df = static_cast<double>(sample.patients) - 1;
  double of_training = kNaN, training_df = kNaN;
  if (sample.same_patients && folds.size() > 1) {
    of_training = variance(folds) / count;
    training_df = count - 1;
  } else if (every_fold_has_seeds) {
    of_training = within / static_cast<double>(within_df) * inverse_seeds / (count * count);
    training_df = static_cast<double>(within_df);
  }
  double total = of_patients;
  e.df = patient_df;
  if (!std::isnan(of_training)) {
    total = of_patients + of_training;
    if (total > 0)
      e.df = total * total / (of_patients * of_patients / patient_df + of_training * of_training / training_df);
  } else if (folds.size() > 1) {
    const double between = variance(folds) / count;
    if (between > of_patients) total = between, e.df = count - 1;
  }
  e.error = std::sqrt(total);
  e.patients = std::sqrt(of_patients);
  e.trainings = std::sqrt(of_training);
  const double half = total > 0 ? student_quantile(0.975, e.df) * e.error : 0;
  e.low = e.value - half;
  e.high = e.value + half;
  e.p = total > 0 ? 2 * student_cdf(-std::fabs(e.value) / e.error, e.df) : e.value == 0 ? 1 : 0;
  e.smallest = smallest_effect(e.error, e.df);
  return e;
}

Sample difference(const Sample& a, const Sample& b) {
  if (a.values.size() != b.values.size() || a.draws.size() != b.draws.size())
    throw UsageError("difference: {} folds and {} draws against {} and {}; pairs are needed", a.values.size(),
                     a.draws.size(), b.values.size(), b.draws.size());
  Sample d = a;
  for (size_t f = 0; f < d.values.size(); ++f)
    for (size_t s = 0; s < d.values[f].size(); ++s) d.values[f][s] -= b.values[f].at(s);
  for (size_t i = 0; i < d.draws.size(); ++i) d.draws[i] -= b.draws[i];
  return d;
}

std::vector<double> holm(const std::vector<double>& p) {
  std::vector<size_t> order;
  for (size_t i = 0; i < p.size(); ++i)
    if (!std::isnan(p[i])) order.push_back(i);
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return p[a] < p[b]; });
  std::vector<double> adjusted(p.size(), kNaN);
  double least = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    least = std::max(least, std::min(1.0, p[order[i]] * static_cast<double>(order.size() - i)));
    adjusted[order[i]] = least;
  }
  return adjusted;
}

std::vector<Sample> samples_of(const std::vector<std::vector<Asked>>& runs, bool same_patients, int64_t draws,
                               uint64_t seed) {
  struct FoldPatients {
    std::vector<size_t> of_image;  // which patient
    size_t count = 0;
  };
  std::vector<FoldPatients> patients;
  std::vector<std::vector<Scorer>> scorers;
  size_t figures = 0, conditions = 0;
  Sample empty{
      .values = {}, .draws = std::vector<double>(static_cast<size_t>(draws), kNaN), .same_patients = same_patients};
  for (const std::vector<Asked>& seeds : runs) {
    FoldPatients& fold = patients.emplace_back();
    std::map<std::string, size_t> number;  // by name: draws do not depend on the order of the images
    for (const std::string& patient : seeds.front().patient) number.emplace(patient, 0);
    for (auto& [name, n] : number) n = fold.count++;
    for (const std::string& patient : seeds.front().patient) fold.of_image.push_back(number.at(patient));
    auto& list = scorers.emplace_back();
    for (const Asked& run : seeds) {
      list.emplace_back(run.answers);
      conditions = run.answers.conditions;
    }
    empty.patients = same_patients ? std::max(empty.patients, fold.count) : empty.patients + fold.count;
  }
  figures = overall_metrics().size() + 3 * conditions;
  std::vector<Sample> samples(figures, empty);
  for (const auto& fold : scorers) {
    for (Sample& sample : samples) sample.values.emplace_back();
    for (const Scorer& scorer : fold) {
      const std::vector<double> values = scorer();
      for (size_t i = 0; i < figures; ++i) samples[i].values.back().push_back(values[i]);
    }
  }
  parallel_for(static_cast<size_t>(draws), [&](size_t draw) {
    std::vector<double> sum(figures, 0);
    std::vector<int> count(figures, 0);
    for (size_t f = 0; f < scorers.size(); ++f) {
      // Of a second data set the same patients are drawn in every fold.
      Rng rng(mix_seed(mix_seed(seed, same_patients ? 0 : f), draw));
      std::vector<double> times(patients[f].count, 0);
      for (size_t i = 0; i < times.size(); ++i)
        times[static_cast<size_t>(rng.integer(0, static_cast<int64_t>(times.size()) - 1))] += 1;
      std::vector<double> weight(patients[f].of_image.size());
      for (size_t i = 0; i < weight.size(); ++i) weight[i] = times[patients[f].of_image[i]];
      std::vector<double> fold_sum(figures, 0);
      std::vector<int> fold_count(figures, 0);
      for (const Scorer& scorer : scorers[f]) {
        const std::vector<double> values = scorer(weight);
        for (size_t i = 0; i < figures; ++i)
          if (!std::isnan(values[i])) fold_sum[i] += values[i], ++fold_count[i];
      }
      for (size_t i = 0; i < figures; ++i)
        if (fold_count[i] > 0) sum[i] += fold_sum[i] / fold_count[i], ++count[i];
    }
    for (size_t i = 0; i < figures; ++i)
      if (count[i] > 0) samples[i].draws[draw] = sum[i] / count[i];
  });
  return samples;
}

}  // namespace derm::utility
