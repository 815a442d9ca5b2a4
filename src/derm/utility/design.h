#pragma once
// What is fixed before the first classifier is trained.
#include <map>
#include <string>
#include <vector>

#include "derm/base/options.h"
#include "derm/nn/views.h"

namespace derm::utility {

/// Which images a classifier learns from, written as parts joined by '+':
///   real            the training photographs
///   augment         every image is seen in a random view (flips, turns, crops, light, colour)
///   duplicates=R    the photographs again, R times as many
///   synthetic=R     synthetic images, R times as many as photographs, the conditions in the same shares
///   fill=duplicates, fill=synthetic   rare conditions alone are filled up (Design::fill_conditions, fill_to)
///   filtered        only synthetic images whose condition the judges see: the classifiers that learned from this
///   fold's
///                   photographs alone
/// Without `real` only synthetic images are learned from, R times as many as there are photographs.
struct Arm {
  enum class Fill { none, duplicates, synthetic };
  std::string text;
  bool real = false, augment = false, filtered = false;
  double duplicates = 0, synthetic = 0;
  Fill fill = Fill::none;

  bool uses_synthetic() const { return synthetic > 0 || fill == Fill::synthetic; }
  /// Photographs alone, each once: what judges of a filter learn from.
  bool only_real() const { return real && !uses_synthetic() && duplicates == 0 && fill == Fill::none; }
};
/// @throws UsageError naming the arm, the part and what is accepted
Arm parse_arm(const std::string& text);

/// How many training photographs there are: "all"; "32", at most so many of each condition; or "melanoma=40+nevus=200",
/// at most so many of those named.
struct Regime {
  std::string text;
  int64_t per_condition = 0;                             ///< 0: no limit
  std::map<std::string, int64_t> at_most;                ///< by condition
  int64_t limit_of(const std::string& condition) const;  ///< 0: none
};
/// @throws UsageError naming the regime and what is accepted
Regime parse_regime(const std::string& text);

/// How a classifier is trained: alike in every arm.
struct ClassifierOptions {
  std::string network = "mobilenet_v2";  ///< mobilenet_v2, resnet50, or small (three convolutions: a stand-in)
  std::string weights;          ///< a file whose fitting tensors start it (torchvision's names); "": from scratch
  int64_t steps = 600;          ///< optimiser steps, the same in every arm
  int64_t batch = 32;           ///< images a step
  int64_t validate_every = 50;  ///< steps; the weights that do best on validation are kept
  double lr = 1e-4;             ///< greatest Adam step size; grows over the first 5 % of the steps, then half a cosine
  std::string loss = "balanced";   ///< balanced (cross-entropy without the shares of the conditions) or focal
  double gamma = 2.0;              ///< of the focal loss
  double dropout = 0.2;            ///< of the pooled features
  std::string precision = "auto";  ///< auto, fp32, bf16
  void bind(Options& o);
  void validate(int64_t size_px) const;  ///< throws UsageError naming field, value and what is accepted
};

/// A generator that is trained anew on the training photographs of every fold and regime.
struct GeneratorOptions {
  std::string recipe;  ///< "": none is trained, images come from --bundle or --synthetic
  double kimg = 0, minutes = 0;
  int64_t size_px = 0;                  ///< 0: the data set's
  std::vector<std::string> conditions;  ///< it learns from these alone; empty: all of the experiment's
  std::vector<std::string> set;         ///< further options of a run file, as to `dermgan train --set`
  std::string init_from;                ///< weights that it starts from; their own training data must be known too
  void bind(Options& o);
};

/// Pre-registration: everything that could be chosen afterwards to please.
struct Design {
  std::vector<std::string> conditions;  ///< to be told apart; empty: all of the data set
  std::vector<std::string> arms = {"real", "real+augment", "real+augment+duplicates=1", "real+augment+synthetic=1",
                                   "synthetic=1+augment"};
  std::vector<std::string> controls;  ///< arms that those with synthetic images are compared with; empty: all without
  std::vector<std::string> regimes = {"all"};
  std::vector<std::string> fill_conditions;   ///< that `fill` fills up; empty: all
  double fill_to = 1.0;                       ///< up to this part of the most frequent condition's count
  int64_t size_px = 128;                      ///< side of the images that classifiers see
  int64_t folds = 5;                          ///< patient-grouped; 1: the data set's own train, validation and test
  double validation = 0.15;                   ///< part of what is not test; for early stopping and calibration
  int64_t seeds = 1;                          ///< classifiers of each arm, fold and regime
  int64_t seed = 0;                           ///< of folds, draws, weights and order
  double pool = 2.0;                          ///< synthetic images made for one needed, where an arm is filtered
  std::string primary = "balanced_accuracy";  ///< the figure that decides; all others are said to be exploratory
  std::vector<std::string> metrics = {"balanced_accuracy", "macro_f1", "macro_auc", "ece", "f1", "recall", "auc"};
  int64_t bootstrap = 1000;  ///< draws of patients
  ClassifierOptions classifier;
  nn::ViewOptions augment;  ///< what `augment` does
  GeneratorOptions generator;

  Design();
  void bind(Options& o);
  void validate() const;  ///< throws UsageError, one sentence for each mistake
  std::vector<Arm> parsed_arms() const;
  std::vector<Regime> parsed_regimes() const;
  bool needs_synthetic() const;  ///< false: photographs alone, a baseline that compares nothing
  /// The arms with synthetic images against each control: pairs of positions in `arms`.
  std::vector<std::pair<size_t, size_t>> contrasts() const;
  nlohmann::json to_json();
  std::string to_toml();
};

}  // namespace derm::utility
