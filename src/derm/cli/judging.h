#pragma once
// Judges and extractors for `evaluate` and `audit`, from their flags.
#include <memory>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "derm/evaluation/control.h"
#include "derm/metrics/extractor.h"

namespace derm::cli {

struct JudgingFlags {
  std::string judges;              ///< a folder; "" looks where the program was installed or built
  std::string extractor = "auto";  ///< auto, encoder, random
  std::string inception, lpips, convention = "clean", cache;
  std::vector<int64_t> taps;
  bool fast = false, no_cache = false;

  void add(CLI::App& app);       ///< those that both verbs have
  void add_more(CLI::App& app);  ///< Inception and LPIPS
  /// Segmenter and classifier, as far as they are there; what is missing is said once.
  evaluation::Judges open_judges(const std::string& device, int threads) const;
  /// The classifier alone; where it is missing nothing is said, unless a folder was named.
  evaluation::Judges open_classifier(const std::string& device, int threads) const;
  /// The Inception's taps, if a file is named, then the skin encoder; the random network where neither is there, which
  /// is said.
  std::vector<std::shared_ptr<metrics::Extractor>> open_extractors(const std::string& device, int threads) const;
  std::filesystem::path cache_folder() const;
};

}  // namespace derm::cli
