#include "derm/utility/scores.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace derm::utility {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr size_t kBins = 15;

double mean_of_known(const std::vector<double>& values) {
  double sum = 0;
  int n = 0;
  for (const double v : values)
    if (!std::isnan(v)) sum += v, ++n;
  return n > 0 ? sum / n : kNaN;
}

}  // namespace

Answers Answers::only(const std::vector<size_t>& rows) const {
  Answers part{.conditions = conditions, .label = {}, .p = {}};
  for (const size_t row : rows) {
    part.label.push_back(label[row]);
    part.p.insert(part.p.end(), p.begin() + static_cast<std::ptrdiff_t>(row * conditions),
                  p.begin() + static_cast<std::ptrdiff_t>((row + 1) * conditions));
  }
  return part;
}

const std::vector<std::string>& overall_metrics() {
  static const std::vector<std::string> names = {"balanced_accuracy", "macro_f1", "macro_auc", "ece"};
  return names;
}

const std::vector<std::string>& metric_names() {
  static const std::vector<std::string> names = {
      "balanced_accuracy", "macro_f1", "macro_auc", "ece", "f1", "recall", "auc"};
  return names;
}

int better(const std::string& metric) { return metric == "ece" ? -1 : 1; }

std::vector<std::string> figure_names(const std::vector<std::string>& conditions) {
  std::vector<std::string> names = overall_metrics();
  for (const char* metric : {"f1", "recall", "auc"})
    for (const std::string& condition : conditions) names.push_back(std::string(metric) + ":" + condition);
  return names;
}

Scorer::Scorer(Answers answers) : answers_(std::move(answers)) {
  const size_t n = answers_.size(), k = answers_.conditions;
  answer_.resize(n);
  bin_.resize(n);
  confidence_.resize(n);
  for (size_t i = 0; i < n; ++i) {
    const auto row = answers_.p.begin() + static_cast<std::ptrdiff_t>(i * k);
    const auto most = std::max_element(row, row + static_cast<std::ptrdiff_t>(k));
    answer_[i] = static_cast<size_t>(most - row);
    confidence_[i] = *most;
    bin_[i] = std::min(kBins - 1, static_cast<size_t>(*most * kBins));
  }
  for (size_t c = 0; c < k; ++c) {
    std::vector<size_t>& order = order_.emplace_back(n);
    std::iota(order.begin(), order.end(), size_t{0});
    std::sort(order.begin(), order.end(),
              [&](size_t a, size_t b) { return answers_.p[a * k + c] < answers_.p[b * k + c]; });
  }
}

std::vector<double> Scorer::operator()(const std::vector<double>& weight) const {
  const size_t n = answers_.size(), k = answers_.conditions;
  const auto w = [&](size_t i) { return weight.empty() ? 1.0 : weight[i]; };
  std::vector<double> of_class(k, 0), answered(k, 0), right(k, 0);
  double all = 0;
  for (size_t i = 0; i < n; ++i) {
    of_class[answers_.label[i]] += w(i);
    answered[answer_[i]] += w(i);
    if (answer_[i] == answers_.label[i]) right[answer_[i]] += w(i);
    all += w(i);
  }
  std::vector<double> f1(k, kNaN), recall(k, kNaN), auc(k, kNaN);
  size_t present = 0;
  for (size_t c = 0; c < k; ++c) {
    if (!(of_class[c] > 0)) continue;
    ++present;
    recall[c] = right[c] / of_class[c];
    f1[c] = 2 * right[c] / (of_class[c] + answered[c]);
    const double rest = all - of_class[c];
    if (!(rest > 0)) continue;
    double below = 0, wins = 0;  // weight of the rest that was passed; of pairs in which the condition's image wins
    const std::vector<size_t>& order = order_[c];
    for (size_t i = 0; i < n;) {
      double own = 0, others = 0;
      const double p = answers_.p[order[i] * k + c];
      for (; i < n && answers_.p[order[i] * k + c] == p; ++i)
        (answers_.label[order[i]] == c ? own : others) += w(order[i]);
      wins += own * (below + others / 2);
      below += others;
    }
    auc[c] = wins / (of_class[c] * rest);
  }
  double ece = kNaN;
  if (present > 0) {
    std::vector<double> confidence(kBins, 0), correct(kBins, 0);
    for (size_t i = 0; i < n; ++i) {
      const double own = of_class[answers_.label[i]];
      if (!(own > 0)) continue;
      const double share = w(i) / own / static_cast<double>(present);
      confidence[bin_[i]] += share * confidence_[i];
      if (answer_[i] == answers_.label[i]) correct[bin_[i]] += share;
    }
    ece = 0;
    for (size_t b = 0; b < kBins; ++b) ece += std::fabs(confidence[b] - correct[b]);
  }
  std::vector<double> figures = {mean_of_known(recall), mean_of_known(f1), mean_of_known(auc), ece};
  for (const auto* list : {&f1, &recall, &auc}) figures.insert(figures.end(), list->begin(), list->end());
  return figures;
}

}  // namespace derm::utility
