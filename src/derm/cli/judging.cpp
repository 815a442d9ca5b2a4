#include "derm/cli/judging.h"

#include "derm/base/error.h"
#include "derm/base/log.h"
#include "derm/evaluation/features.h"
#include "derm/judges/classifier.h"
#include "derm/judges/segmenter.h"
#include "derm/judges/skin_encoder.h"
#include "derm/models/catalogue.h"

namespace derm::cli {
namespace {

namespace fs = std::filesystem;

judges::JudgeOptions options_of(const fs::path& bundle, const std::string& device, int threads, bool fast) {
  judges::JudgeOptions options;
  options.bundle = bundle;
  options.device = device;
  options.threads = threads;
  if (fast) options.precision = "auto";
  return options;
}

void add_classifier(evaluation::Judges& result, const judges::JudgeOptions& options) {
  const auto classifier = std::make_shared<judges::Classifier>(options, models::catalogue());
  result.classifier = classifier->name();
  result.classifier_sha256 = classifier->sha256();
  result.conditions = classifier->conditions();
  result.classify = [classifier](const std::vector<image::Image>& images) { return classifier->probabilities(images); };
}

}  // namespace

void JudgingFlags::add(CLI::App& app) {
  app.add_option("--judges", judges, "Folder of the judges (segmenter, classifier-clinical, skin-encoder)");
  app.add_option("--extractor", extractor, "Features by: auto (the skin encoder where it is there), encoder, random")
      ->capture_default_str();
  app.add_option("--cache", cache, "Folder for the photographs' features (default: in the user's cache folder)");
  app.add_flag("--no-cache", no_cache, "Keep no features");
  app.add_flag("--fast", fast, "bf16 where the processor gains from it; off by some hundredths of a percent");
}

void JudgingFlags::add_more(CLI::App& app) {
  app.add_option("--inception", inception,
                 "Weights of the FID Inception (.pth or .safetensors): FID, KID, IS by it too");
  app.add_option("--taps", taps, "Its features: 2048, 768, 192, 64 (default: the deepest that the file serves)")
      ->delimiter(',');
  app.add_option("--convention", convention, "clean (clean-fid) or legacy (pytorch-fid): how images are resized for it")
      ->capture_default_str();
  app.add_option("--lpips", lpips, "Weights of LPIPS (SqueezeNet, version 0.1): diversity by it too");
}

evaluation::Judges JudgingFlags::open_judges(const std::string& device, int threads) const {
  evaluation::Judges result;
  std::vector<std::string> missing;
  if (const fs::path bundle = judges::find_judge_or_none(judges::kSegmenter, judges); !bundle.empty()) {
    const auto segmenter =
        std::make_shared<judges::Segmenter>(options_of(bundle, device, threads, fast), models::catalogue());
    result.segmenter = segmenter->name();
    result.segmenter_sha256 = segmenter->sha256();
    result.segment = [segmenter](const std::vector<image::Image>& images) {
      std::vector<image::Mask> masks;
      for (judges::Segmentation& one : segmenter->segment(images)) masks.push_back(std::move(one.mask));
      return masks;
    };
  } else {
    missing.emplace_back("segmenter");
  }
  if (const fs::path bundle = judges::find_judge_or_none(judges::kClassifierClinical, judges); !bundle.empty()) {
    add_classifier(result, options_of(bundle, device, threads, fast));
  } else {
    missing.emplace_back("classifier");
  }
  if (!missing.empty()) {
    if (!judges.empty()) {  // a folder that was named must hold them
      judges::find_judge(missing.front() == "segmenter" ? judges::kSegmenter : judges::kClassifierClinical, judges);
    }
    log_warning("no {} was found; what it measures is left out (--judges names their folder)",
                fmt::join(missing, " and no "));
  }
  return result;
}

evaluation::Judges JudgingFlags::open_classifier(const std::string& device, int threads) const {
  evaluation::Judges result;
  const fs::path bundle = judges.empty() ? judges::find_judge_or_none(judges::kClassifierClinical)
                                         : judges::find_judge(judges::kClassifierClinical, judges);
  if (!bundle.empty()) add_classifier(result, options_of(bundle, device, threads, fast));
  return result;
}

std::vector<std::shared_ptr<metrics::Extractor>> JudgingFlags::open_extractors(const std::string& device,
                                                                               int threads) const {
  std::vector<std::shared_ptr<metrics::Extractor>> result;
  if (convention != "clean" && convention != "legacy")
    throw UsageError("--convention {}: it is not known; clean and legacy are", convention);
  if (extractor != "auto" && extractor != "encoder" && extractor != "random")
    throw UsageError("--extractor {}: it is not known; auto, encoder and random are", extractor);
  if (!taps.empty() && inception.empty())
    throw UsageError("--taps says which features of the Inception are taken; name its file with --inception");
  if (!inception.empty()) {
    metrics::InceptionOptions options;
    options.path = inception;
    options.convention = convention == "clean" ? metrics::Convention::clean : metrics::Convention::legacy;
    options.fast = fast;
    std::vector<int64_t> wanted = taps;
    if (wanted.empty()) {
      options.tap = 768;
      const std::shared_ptr<metrics::Inception> probe = metrics::inception_extractor(options);
      if (probe->has_classifier())
        wanted = {2048};
      else
        result.push_back(probe);
    }
    for (const int64_t tap : wanted) {
      options.tap = tap;
      result.push_back(metrics::inception_extractor(options));
    }
  }
  if (extractor != "random") {
    const fs::path bundle = extractor == "encoder" ? judges::find_judge(judges::kSkinEncoder, judges)
                                                   : judges::find_judge_or_none(judges::kSkinEncoder, judges);
    if (!bundle.empty())
      result.push_back(
          std::make_shared<judges::SkinEncoder>(options_of(bundle, device, threads, fast), models::catalogue()));
  }
  if (result.empty()) {
    if (extractor == "auto")
      log_warning("no skin encoder was found; features are those of a random network (--judges names its folder)");
    result.push_back(metrics::random_extractor());
  }
  return result;
}

fs::path JudgingFlags::cache_folder() const {
  if (no_cache) return {};
  return cache.empty() ? evaluation::user_cache_folder() : fs::path(cache);
}

}  // namespace derm::cli
