#pragma once
// Colour histograms and two distances between them (Baur, Albarqouni and Navab 2018, arXiv:1804.04338). They see colour
// alone: never to choose a model by.
#include <ATen/core/Tensor.h>

namespace derm::metrics {

/// Counts of the 256 values of each channel over all pixels of a set, gathered a batch at a time.
class ColourHistogram {
 public:
  /// @param images  [N, 3, H, W] in [-1, 1], rounded to 8 bits
  /// @throws UsageError for another shape; DataError for values that are not finite
  void add(const at::Tensor& images);
  /// [3, 256] double, each row sums to 1. @throws UsageError without an image
  at::Tensor shares() const;

 private:
  at::Tensor counts_;  // [3, 256] int64
};

/// Mean over R, G, B. Both are 0 for equal histograms.
struct HistogramDistance {
  double jensen_shannon = 0;  ///< divergence, natural logarithm: 0 to ln 2
  double wasserstein = 0;     ///< earth mover's distance, intensities as 0..1: 0 to 1
};
/// @param real, fake  [3, 256] double, as ColourHistogram::shares() gives them
HistogramDistance distance_of_shares(const at::Tensor& real, const at::Tensor& fake);
HistogramDistance histogram_distance(const ColourHistogram& real, const ColourHistogram& fake);
HistogramDistance histogram_distance(const at::Tensor& real_images, const at::Tensor& fake_images);

}  // namespace derm::metrics
