#include "derm/utility/design.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "derm/base/csv.h"
#include "derm/base/error.h"
#include "derm/base/suggest.h"
#include "derm/utility/scores.h"

namespace derm::utility {
namespace {

constexpr double kMostTimes = 50;
constexpr int64_t kMostSeeds = 1000;

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts;
  size_t start = 0;
  for (size_t end; (end = text.find(at, start)) != std::string::npos; start = end + 1)
    parts.push_back(text.substr(start, end - start));
  parts.push_back(text.substr(start));
  return parts;
}

void at_least(const char* field, double value, double least) {
  if (!(value >= least) || !std::isfinite(value))
    throw UsageError("{} = {}, expected a number of at least {}", field, value, least);
}

void within(const char* field, double value, double low, double high) {
  if (!(value >= low && value <= high))
    throw UsageError("{} = {}, expected a number from {} to {}", field, value, low, high);
}

void one_of(const char* field, const std::string& value, const std::vector<std::string>& known) {
  if (std::find(known.begin(), known.end(), value) == known.end())
    throw UsageError("{} = \"{}\" is not known{}", field, value, did_you_mean(value, known));
}

void no_repeats(const char* field, const std::vector<std::string>& values) {
  std::set<std::string> seen;
  for (const std::string& value : values)
    if (!seen.insert(value).second) throw UsageError("{}: \"{}\" stands there twice, once is enough", field, value);
}

}  // namespace

Arm parse_arm(const std::string& text) {
  static const std::vector<std::string> known = {"real", "augment", "duplicates", "synthetic", "fill", "filtered"};
  Arm arm;
  arm.text = text;
  std::set<std::string> seen;
  for (const std::string& part : split(text, '+')) {
    const size_t equals = part.find('=');
    const std::string name = part.substr(0, equals);
    if (std::find(known.begin(), known.end(), name) == known.end())
      throw UsageError("arm \"{}\": the part \"{}\" is not known{}", text, part, did_you_mean(name, known));
    if (!seen.insert(name).second) throw UsageError("arm \"{}\": the part \"{}\" stands there twice", text, name);
    const bool takes_value = name == "duplicates" || name == "synthetic" || name == "fill";
    if (takes_value != (equals != std::string::npos)) {
      throw UsageError("arm \"{}\": \"{}\" {}", text, part,
                       name == "fill" ? "expects what fills up, fill=duplicates or fill=synthetic"
                       : takes_value  ? fmt::format("expects how many times the photographs' number, as {}=1", name)
                                      : "takes no value");
    }
    const std::string value = takes_value ? part.substr(equals + 1) : "";
    if (name == "real") arm.real = true;
    if (name == "augment") arm.augment = true;
    if (name == "filtered") arm.filtered = true;
    if (name == "fill") {
      if (value != "duplicates" && value != "synthetic")
        throw UsageError("arm \"{}\": fill=\"{}\" is not known; duplicates and synthetic are", text, value);
      arm.fill = value == "duplicates" ? Arm::Fill::duplicates : Arm::Fill::synthetic;
    }
    if (name == "duplicates" || name == "synthetic") {
      double times = 0;
      try {
        times = parse_number(value, "arm");
      } catch (const DataError&) {
      }
      if (!(times > 0 && times <= kMostTimes))
        throw UsageError("arm \"{}\": {} = \"{}\", expected a number above 0, at most {}", text, name, value,
                         kMostTimes);
      (name == "synthetic" ? arm.synthetic : arm.duplicates) = times;
    }
  }
  const int added = (arm.duplicates > 0) + (arm.synthetic > 0) + (arm.fill != Arm::Fill::none);
  if (!arm.real && arm.synthetic == 0)
    throw UsageError("arm \"{}\": it has neither photographs (real) nor synthetic images alone (synthetic=R)", text);
  if (!arm.real && added > 1) throw UsageError("arm \"{}\": without `real` it is synthetic=R alone", text);
  if (added > 1)
    throw UsageError("arm \"{}\": one of duplicates, synthetic and fill is added, so that a difference has one cause",
                     text);
  if (arm.filtered && !arm.uses_synthetic())
    throw UsageError("arm \"{}\": `filtered` picks synthetic images, and it has none", text);
  return arm;
}

int64_t Regime::limit_of(const std::string& condition) const {
  if (per_condition > 0) return per_condition;
  const auto found = at_most.find(condition);
  return found == at_most.end() ? 0 : found->second;
}

Regime parse_regime(const std::string& text) {
  Regime regime;
  regime.text = text;
  if (text == "all") return regime;
  const auto count_of = [&](const std::string& number) {
    int64_t count = 0;
    try {
      count = parse_integer(number, "regime");
    } catch (const DataError&) {
    }
    if (count < 2 || count > 1000000)
      throw UsageError(
          "regime \"{}\": expected all, a number of photographs of each condition (2 or more, as 32), or conditions "
          "with "
          "their number, as melanoma=40+nevus=200",
          text);
    return count;
  };
  if (text.find('=') == std::string::npos) {
    regime.per_condition = count_of(text);
    return regime;
  }
  for (const std::string& part : split(text, '+')) {
    const size_t equals = part.find('=');
    if (equals == std::string::npos || equals == 0) count_of("");
    if (!regime.at_most.emplace(part.substr(0, equals), count_of(part.substr(equals + 1))).second)
      throw UsageError("regime \"{}\": \"{}\" stands there twice", text, part.substr(0, equals));
  }
  return regime;
}

void ClassifierOptions::bind(Options& o) {
  o.add("network", network, "mobilenet_v2, resnet50, or small (three convolutions: a stand-in for tests)");
  o.add("weights", weights, "file whose fitting tensors start it (torchvision's names); empty: from scratch");
  o.add("steps", steps, "optimiser steps, the same in every arm");
  o.add("batch", batch, "images a step");
  o.add("validate_every", validate_every, "steps between looks at validation; the best weights are kept");
  o.add("lr", lr, "greatest Adam step size");
  o.add("loss", loss, "balanced or focal");
  o.add("gamma", gamma, "of the focal loss");
  o.add("dropout", dropout, "of the pooled features");
  o.add("precision", precision, "auto (bf16 where the processor gains from it), fp32, bf16");
}

void ClassifierOptions::validate(int64_t size_px) const {
  one_of("classifier.network", network, {"mobilenet_v2", "resnet50", "small"});
  one_of("classifier.loss", loss, {"balanced", "focal"});
  one_of("classifier.precision", precision, {"auto", "fp32", "bf16"});
  if (network == "small" && !weights.empty())
    throw UsageError("classifier.weights: the network \"small\" starts from scratch; leave the file out");
  within("classifier.steps", static_cast<double>(steps), 1, 1e7);
  within("classifier.batch", static_cast<double>(batch), 2, 4096);  // batch norm needs two
  within("classifier.validate_every", static_cast<double>(validate_every), 1, static_cast<double>(steps));
  if (!(lr > 0 && lr <= 1)) throw UsageError("classifier.lr = {}, expected a number above 0, at most 1", lr);
  within("classifier.gamma", gamma, 0, 10);
  within("classifier.dropout", dropout, 0, 0.9);
  if (size_px < 32 || size_px > 512 || size_px % 32 != 0)
    throw UsageError("size_px = {}, expected a multiple of 32 from 32 to 512", size_px);
}

void GeneratorOptions::bind(Options& o) {
  o.add("recipe", recipe, "trained anew on every fold's training photographs; empty: images come from elsewhere");
  o.add("kimg", kimg, "its length in thousand images shown");
  o.add("minutes", minutes, "or by the clock");
  o.add("size_px", size_px, "side of its images; 0: the data set's");
  o.add("conditions", conditions, "it learns from these alone; empty: all");
  o.add("set", set, "further options of a run file, as to `dermgan train --set`");
  o.add("init_from", init_from, "weights that it starts from");
}

Design::Design() {
  augment.least_side = 0.75;
  augment.light = 0.2;
  augment.colour = 0.1;
}

void Design::bind(Options& o) {
  o.add("conditions", conditions, "to be told apart; empty: all of the data set");
  o.add("arms", arms, "what classifiers learn from: docs/utility.md has the parts");
  o.add("controls", controls, "what arms with synthetic images are compared with; empty: all arms without");
  o.add("regimes", regimes, "all, a number of photographs of each condition, or conditions with their number");
  o.add("fill_conditions", fill_conditions, "that `fill` fills up; empty: all");
  o.add("fill_to", fill_to, "up to this part of the most frequent condition's count");
  o.add("size_px", size_px, "side of the images that classifiers see; a multiple of 32");
  o.add("folds", folds, "patient-grouped; 1: the data set's own train, validation and test");
  o.add("validation", validation, "part of what is not test");
  o.add("seeds", seeds, "classifiers of each arm, fold and regime");
  o.add("seed", seed, "of folds, draws, weights and order");
  o.add("pool", pool, "synthetic images made for one needed, where an arm is filtered");
  o.add("primary", primary, "the figure that decides");
  o.add("metrics", metrics, "figures that are reported");
  o.add("bootstrap", bootstrap, "draws of patients");
  o.section("classifier", classifier);
  o.section("augment", augment);
  o.section("generator", generator);
}

void Design::validate() const {
  if (arms.empty()) throw UsageError("arms: none is given; real, and real+synthetic=1, say");
  no_repeats("arms", arms);
  no_repeats("controls", controls);
  no_repeats("regimes", regimes);
  no_repeats("metrics", metrics);
  no_repeats("conditions", conditions);
  if (conditions.size() == 1)
    throw UsageError("conditions: \"{}\" alone is given, a classifier needs two or more", conditions.front());
  const std::vector<Arm> parsed = parsed_arms();
  for (const std::string& control : controls) {
    const auto found = std::find(arms.begin(), arms.end(), control);
    if (found == arms.end())
      throw UsageError("controls: \"{}\" is not one of the arms{}", control, did_you_mean(control, arms));
    if (parsed[static_cast<size_t>(found - arms.begin())].uses_synthetic())
      throw UsageError("controls: \"{}\" has synthetic images; a control has none", control);
  }
  if (needs_synthetic() && contrasts().empty())
    throw UsageError("arms: all have synthetic images, so there is no control; add real, or real+duplicates=1");
  if (std::any_of(parsed.begin(), parsed.end(), [](const Arm& a) { return a.filtered; }) &&
      std::none_of(parsed.begin(), parsed.end(), [](const Arm& a) { return a.only_real(); }))
    throw UsageError(
        "arms: one is filtered, and its judges are the classifiers of the arm `real` or `real+augment`, which is not "
        "there; add it");
  if (regimes.empty()) throw UsageError("regimes: none is given; all, or a number of photographs of each condition");
  for (const Regime& regime : parsed_regimes()) {
    if (conditions.empty()) continue;  // looked at once the data set is open
    for (const auto& [condition, count] : regime.at_most)
      if (std::find(conditions.begin(), conditions.end(), condition) == conditions.end())
        throw UsageError("regime \"{}\": \"{}\" is not one of the conditions{}", regime.text, condition,
                         did_you_mean(condition, conditions));
  }
  one_of("primary", primary, overall_metrics());
  if (metrics.empty()) throw UsageError("metrics: none is given");
  for (const std::string& metric : metrics) one_of("metrics", metric, metric_names());
  if (std::find(metrics.begin(), metrics.end(), primary) == metrics.end())
    throw UsageError("metrics: the primary figure \"{}\" is not among them; add it", primary);
  within("folds", static_cast<double>(folds), 1, 100);
  within("validation", validation, 0.02, 0.5);
  within("seeds", static_cast<double>(seeds), 1, static_cast<double>(kMostSeeds));
  at_least("seed", static_cast<double>(seed), 0);
  within("fill_to", fill_to, 0.01, 1);
  within("pool", pool, 1, 100);
  within("bootstrap", static_cast<double>(bootstrap), 100, 100000);
  classifier.validate(size_px);
  augment.validate();
  if (generator.recipe.empty()) {
    if (generator.kimg != 0 || generator.minutes != 0 || !generator.set.empty() || !generator.init_from.empty() ||
        !generator.conditions.empty() || generator.size_px != 0)
      throw UsageError(
          "generator.recipe is empty, and other options of [generator] are set; name a recipe or drop them");
  } else {
    at_least("generator.kimg", generator.kimg, 0);
    at_least("generator.minutes", generator.minutes, 0);
    if (generator.kimg == 0 && generator.minutes == 0)
      throw UsageError("generator.kimg and generator.minutes are 0; say how long a generator is trained");
    at_least("generator.size_px", static_cast<double>(generator.size_px), 0);
  }
}

std::vector<Arm> Design::parsed_arms() const {
  std::vector<Arm> parsed;
  for (const std::string& arm : arms) parsed.push_back(parse_arm(arm));
  return parsed;
}

bool Design::needs_synthetic() const {
  const std::vector<Arm> parsed = parsed_arms();
  return std::any_of(parsed.begin(), parsed.end(), [](const Arm& a) { return a.uses_synthetic(); });
}

std::vector<Regime> Design::parsed_regimes() const {
  std::vector<Regime> parsed;
  for (const std::string& regime : regimes) parsed.push_back(parse_regime(regime));
  return parsed;
}

std::vector<std::pair<size_t, size_t>> Design::contrasts() const {
  const std::vector<Arm> parsed = parsed_arms();
  std::vector<std::pair<size_t, size_t>> pairs;
  for (size_t a = 0; a < parsed.size(); ++a) {
    if (!parsed[a].uses_synthetic()) continue;
    for (size_t c = 0; c < parsed.size(); ++c) {
      if (parsed[c].uses_synthetic()) continue;
      if (controls.empty() || std::find(controls.begin(), controls.end(), arms[c]) != controls.end())
        pairs.emplace_back(a, c);
    }
  }
  return pairs;
}

nlohmann::json Design::to_json() {
  Options o;
  bind(o);
  return o.to_json();
}

std::string Design::to_toml() {
  Options o;
  bind(o);
  return o.to_toml();
}

}  // namespace derm::utility
