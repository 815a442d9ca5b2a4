#pragma once
// How many images a study needs: power of the pooled test of readers against chance.
#include <cstdint>
#include <vector>

namespace derm::study {

/// What the calculation assumes. Answers of one reader, and answers to one image, go together: intra-class correlations
/// of being right. The figure tested is a model's balanced accuracy, (TPR + 1 - FPR) / 2, against 1/2, two-sided.
struct PowerAssumptions {
  double accuracy = 0.6;     ///< of the readers, if they can tell: what the study should detect
  double power = 0.8;        ///< wanted probability of detecting it
  double alpha = 0.05;       ///< of all models together; each is tested at alpha / models (Bonferroni)
  double icc_reader = 0.02;  ///< some readers are better than others
  double icc_image = 0.10;   ///< some images are easier than others
  void validate() const;     ///< throws UsageError naming the field, its value and what is accepted
};

/// How often images are answered: one number an image, of one model's images and of the real ones.
struct Exposure {
  std::vector<int64_t> synthetic, real;
  int64_t readers = 0;
};

/// Probability that the test finds readers of this accuracy, by the normal approximation with exchangeable
/// correlations: Var = v/4 (S(synthetic) + S(real)) + v icc_reader / readers, S = sum m (1 + (m - 1) icc_image) / (sum
/// m)^2 over images with m answers each, v = p (1 - p).
/// @param models  how many models share alpha
double power_of_test(const Exposure& exposure, const PowerAssumptions& assumptions, int64_t models);

/// The smallest accuracy above 1/2 that is found with the wanted power; 1 if none is.
double detectable_accuracy(const Exposure& exposure, const PowerAssumptions& assumptions, int64_t models);

/// The smallest accuracy at which one reader's exact binomial test over `images` answers (two-sided, alpha) has the
/// wanted power; 1 if none has.
double detectable_by_one(int64_t images, double power, double alpha);

}  // namespace derm::study
