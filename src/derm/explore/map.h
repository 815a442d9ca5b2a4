#pragma once
// A map of photographs and synthetic images in an extractor's space.
#include <filesystem>
#include <memory>
#include <string>

#include "derm/evaluation/features.h"
#include "derm/evaluation/image_set.h"
#include "derm/explore/tsne.h"
#include "derm/metrics/extractor.h"

namespace derm::explore {

/// Share of images whose nearest other image is of their own kind, leave-one-out (Lopez-Paz and Oquab 2017,
/// arXiv:1610.06545): 0.5 if the two sets cannot be told apart, 1 if they lie apart, below 0.5 if they pair up.
struct Neighbours {
  double accuracy = 0;
  double photographs = 0, synthetic = 0;  ///< of each kind
};
/// @param a, b  features [n, d], as many of each
Neighbours nearest_kinds(const at::Tensor& a, const at::Tensor& b);

/// The first two principal components of rows, scaled so that the first has a deviation of 1e-4: [n, 2].
std::vector<double> principal_start(const at::Tensor& features);

struct MapOptions {
  size_t count = 500;  ///< images of either set, drawn at random where there are more
  uint64_t seed = 0;
  TsneOptions tsne;
  std::string command;
};

struct MapResult {
  TsneMap map;  ///< photographs first
  size_t photographs = 0, synthetic = 0;
  Neighbours neighbours;
  nlohmann::json json;
};

/// Writes report.html, map.csv and map.json to `out`, whole or not at all. The report shows dots, no photograph.
/// @throws UsageError: `out` is there; too few images for the perplexity
MapResult write_map(evaluation::ImageSet real, evaluation::ImageSet synthetic, metrics::Extractor& extractor,
                    const evaluation::FeatureCache& cache, const MapOptions& options, const std::filesystem::path& out);

}  // namespace derm::explore
