#include "derm/training/card.h"

#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace derm::training {

std::string model_card(const recipe::BundleConfig& config, const data::DataSet& data) {
  std::set<std::string> sources, licences;
  std::map<std::string, size_t> counts;
  for (const size_t i : data.usable("train")) {
    const auto& record = data.records()[i];
    if (!record.source.empty()) sources.insert(record.source);
    if (!record.license.empty()) licences.insert(record.license);
    ++counts[record.condition];
  }
  const auto& training = config.training;
  std::string text = fmt::format(
      "---\nlibrary_name: dermgan\ntags: [image-generation, dermatology, gan, {}]\n---\n# {} at {} px\n\nMakes "
      "synthetic skin images to "
      "order: condition, lesion size and place, skin colour. Research software, not a medical device; not for "
      "diagnosis.\n\n",
      config.recipe, config.recipe, config.size_px);
  text += "## Learned from\n\n";
  text += fmt::format(
      "{} images of {} ({}; licence {}), training split only, fingerprint `{}`. Images were cropped, resized and "
      "re-encoded.\n\n",
      training.value("images", size_t{0}), training.value("data", ""),
      sources.empty() ? "source not stated" : fmt::format("{}", fmt::join(sources, ", ")),
      licences.empty() ? "not stated" : fmt::format("{}", fmt::join(licences, ", ")),
      training.value("data_fingerprint", ""));
  text += "| condition | training images |\n|---|---|\n";
  for (const auto& [condition, count] : counts) text += fmt::format("| {} | {} |\n", condition, count);
  text += fmt::format(
      "\nSkin colours from ITA {:.0f} to {:.0f} degrees (5th to 95th percentile); beyond that it extrapolates, and "
      "says so.\n",
      config.offer.locus.low_ita(), config.offer.locus.high_ita());
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
