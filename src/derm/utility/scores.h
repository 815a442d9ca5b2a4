#pragma once
// How good a classifier's answers are. No libtorch.
#include <string>
#include <vector>

namespace derm::utility {

/// Probabilities of labelled images.
struct Answers {
  size_t conditions = 0;
  std::vector<size_t> label;  ///< one an image, below `conditions`
  std::vector<double> p;      ///< [images x conditions], each row sums to 1
  size_t size() const { return label.size(); }
  Answers only(const std::vector<size_t>& rows) const;
};

/// balanced_accuracy, macro_f1, macro_auc, ece.
const std::vector<std::string>& overall_metrics();
/// Those, and f1, recall, auc, of which there is one a condition.
const std::vector<std::string>& metric_names();
/// -1: lower is better (ece), 1: higher.
int better(const std::string& metric);

/// Names of what Scorer gives, in its order: the overall metrics, then "f1:NAME" of each condition, "recall:NAME",
/// "auc:NAME".
std::vector<std::string> figure_names(const std::vector<std::string>& conditions);

/// The figures of one classifier, of any weighting of its images (a bootstrap draws patients by weight).
///   recall, F1   of the condition with the greatest probability (the first of equals)
///   auc          one condition against the rest by its probability, ties half
///   balanced_accuracy, macro_f1, macro_auc   mean over the conditions that have one
///   ece          expected calibration error (Guo et al. 2017, arXiv:1706.04599) of the greatest probability in 15
///   equal
///                bins, every condition of the same weight: probabilities are as if all were equally frequent
/// A figure of a condition without an image is NaN.
class Scorer {
 public:
  explicit Scorer(Answers answers);
  /// @param weight  >= 0, one an image; empty: all 1
  std::vector<double> operator()(const std::vector<double>& weight = {}) const;
  const Answers& answers() const { return answers_; }

 private:
  Answers answers_;
  std::vector<size_t> answer_, bin_;
  std::vector<double> confidence_;
  std::vector<std::vector<size_t>> order_;  ///< of each condition: images by ascending probability
};

}  // namespace derm::utility
