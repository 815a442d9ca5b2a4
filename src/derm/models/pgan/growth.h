#pragma once
// When a progressively grown pair of networks has which size.
#include <cstdint>
#include <vector>

namespace derm::models {

/// How far the networks have grown, as one number: 0 is 4 px, 1 is 8 px, and what lies between fades the second in.
struct Growth {
  int64_t level = 0;  ///< the largest size that is in use: 4 px << level
  double alpha = 1;   ///< share of its picture in the mix; 1: it stands alone

  double value() const { return static_cast<double>(level) - (1 - alpha); }
  static Growth of(double value);
  int64_t size_px() const { return int64_t{4} << level; }
};

/// Sizes follow the images shown and nothing else, so that a run that goes on finds itself where it was.
struct GrowthPlan {
  int64_t levels = 1;           ///< sizes there are: 4 px << 0 ... 4 px << (levels - 1)
  std::vector<int64_t> stable;  ///< images at each size below the last, before the next joins; levels - 1 numbers
  std::vector<int64_t> fade;    ///< images that it takes to fade the next one in; levels - 1 numbers

  /// @param images  shown so far
  Growth at(int64_t images) const;
};

}  // namespace derm::models
