#include "derm/training/card.h"

#include <filesystem>
#include <map>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace derm::training {

namespace {

/// Where the training images are from, under which licences, and how many there are of each condition.
struct Learned {
  std::set<std::string> sources, licences;
  std::map<std::string, size_t> counts;

  explicit Learned(const data::DataSet& data) {
    for (const size_t i : data.usable("train")) {
      const auto& record = data.records()[i];
      if (!record.source.empty()) sources.insert(record.source);
      if (!record.license.empty()) licences.insert(record.license);
      ++counts[record.condition];
    }
  }

  std::string text(const nlohmann::json& training) const {
    std::string text = fmt::format(
        "{} images of {} ({}; licence {}), training split only, fingerprint `{}`. Images were cropped, resized and "
        "re-encoded.\n\n",
        training.value("images", size_t{0}), training.value("data", ""),
        sources.empty() ? "source not stated" : fmt::format("{}", fmt::join(sources, ", ")),
        licences.empty() ? "not stated" : fmt::format("{}", fmt::join(licences, ", ")),
        training.value("data_fingerprint", ""));
    text += "| condition | training images |\n|---|---|\n";
    for (const auto& [condition, count] : counts) text += fmt::format("| {} | {} |\n", condition, count);
    return text;
  }
};

std::string judge_card(const recipe::BundleConfig& config, const data::DataSet& data) {
  const auto& training = config.training;
  const char* does = config.kind == recipe::Kind::segmenter    ? "Says where the lesion is in a skin photograph."
                     : config.kind == recipe::Kind::classifier ? "Says which condition a skin photograph shows."
                                                               : "Turns skin photographs into features.";
  std::string text = fmt::format(
      "---\nlibrary_name: dermgan\ntags: [dermatology, {}]\n---\n# {}\n\n{} A judge of images, not of patients: "
      "research software, not a medical device, not for diagnosis.\n\n## Learned from\n\n{}",
      recipe::kind_name(config.kind), config.name, does, Learned(data).text(training));
  if (const std::string from = training.value("init_from", ""); !from.empty())
    text += fmt::format("\nStarted from the weights in `{}`.\n", std::filesystem::path(from).filename().string());
  text += fmt::format(
      "\n## Training\n\n{:.1f} kimg in {} steps of {} images, seed {}, weights averaged (half-life {} kimg), dermgan "
      "{}.\n",
      training.value("kimg", 0.0), training.value("steps", int64_t{0}), training.value("batch", int64_t{0}),
      training.value("seed", int64_t{0}), training.value("ema_kimg", 0.0), training.value("code_version", ""));
  const auto metric = training.value("metric", nlohmann::json());
  if (metric.is_object() && metric.contains("figures")) {
    text +=
        fmt::format("\n## On {} validation images\n\n| figure | value |\n|---|---|\n", metric.value("n", int64_t{0}));
    for (const auto& [name, value] : metric["figures"].items())
      text += fmt::format("| {} | {:.4f} |\n", name, value.get<double>());
    text += "\nThe checkpoint was chosen by them, so they flatter it; measure it on images that it has not seen.\n";
  }
  return text;
}

}  // namespace

std::string model_card(const recipe::BundleConfig& config, const recipe::Needs& needs, const data::DataSet& data) {
  if (recipe::is_judge(config.kind)) return judge_card(config, data);
  const auto& training = config.training;
  std::string text = fmt::format(
      "---\nlibrary_name: dermgan\ntags: [image-generation, dermatology, gan, {}]\n---\n# {} at {} px\n\nMakes "
      "synthetic skin images {}. Research software, not a medical device; not for "
      "diagnosis.\n\n",
      config.recipe, config.recipe, config.size_px,
      needs.map     ? "to order: condition, lesion size and place, skin colour"
      : needs.label ? "of a condition that is asked for; lesion and skin are as they come"
                    : "from noise alone: condition, lesion and skin are as they come");
  text += "## Learned from\n\n";
  text += Learned(data).text(training);
  const char* beyond = needs.map ? "; beyond that it extrapolates, and says so" : "";
  text += fmt::format("\nSkin colours from ITA {:.0f} to {:.0f} degrees (5th to 95th percentile){}.\n",
                      config.offer.locus.low_ita(), config.offer.locus.high_ita(), beyond);
  text += fmt::format("Lesion sizes from {:.2f} to {:.2f} of the image's side (5th to 95th percentile).\n\n",
                      config.offer.low_size, config.offer.high_size);
  text += fmt::format(
      "## Training\n\n{:.1f} kimg in {} steps of {} images, seed {}, weights averaged (half-life {} kimg), dermgan "
      "{}.\n\n",
      training.value("kimg", 0.0), training.value("steps", int64_t{0}), training.value("batch", int64_t{0}),
      training.value("seed", int64_t{0}), training.value("ema_kimg", 0.0), training.value("code_version", ""));
  if (const auto& metric = training.value("metric", nlohmann::json()); metric.is_object() && metric.contains("kid"))
    text += fmt::format(
        "KID on validation {:.4f} +- {:.4f} over {} subsets of {} (extractor {}, {} real, {} generated). Comparable "
        "with no "
        "other extractor's.\n\n",
        metric["kid"].get<double>(), metric["deviation"].get<double>(), metric["subsets"].get<int64_t>(),
        metric["subset_size"].get<int64_t>(), metric["extractor"].get<std::string>(), metric["n_real"].get<int64_t>(),
        metric["n_fake"].get<int64_t>());
  text +=
      "## Limits\n\nFew images of the rare conditions and of dark skin stand behind it. What it makes looks like its "
      "training set, with that "
      "set's faults. Every image is marked as synthetic in its metadata; keep that mark.\n";
  return text;
}

}  // namespace derm::training
