#pragma once
// Which images of a set are compared with which, where a diversity is a mean over pairs.
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace derm::metrics {

/// Pairs (a, b), a < b, drawn with the seed from all pairs of images of the same class, each pair at most once; all of
/// them if there are no more than `count`.
/// @param classes  one name an image
/// @throws UsageError if no two images share a class, or count < 1
std::vector<std::pair<int64_t, int64_t>> pairs_within_classes(const std::vector<std::string>& classes, int64_t count,
                                                              uint64_t seed);
/// The same over a set of one class.
std::vector<std::pair<int64_t, int64_t>> pairs_of(int64_t images, int64_t count, uint64_t seed);

/// A mean over pairs.
struct PairDiversity {
  double mean = 0, deviation = 0;  ///< over pairs
  int64_t pairs = 0;
  bool upsampled = false;  ///< the images were too small for the measure and were made larger first
};

}  // namespace derm::metrics
