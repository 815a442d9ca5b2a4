#pragma once
// Which colour a skin of a given ITA has: the training set's own locus in Lab, and the phantom's beyond it.
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "derm/image/colour.h"

namespace derm::data {

class SkinLocus {
 public:
  SkinLocus() = default;  ///< the phantom's locus alone; every colour counts as extrapolated

  /// a* and b* as smooth functions of ITA through the colours; L* follows so that the ITA is exact.
  static SkinLocus fit(const std::vector<image::Lab>& colours);

  /// The point at this ITA: the data's between its 5th and 95th percentile, blending into the phantom's within 15
  /// degrees beyond. Always inside the sRGB gamut. @throws UsageError outside -90 .. 90.
  image::Lab at(double ita_deg) const;

  double low_ita() const { return low_; }    ///< 5th percentile of the data
  double high_ita() const { return high_; }  ///< 95th percentile
  double reach() const {
    return reach_;
  }  ///< distance from the locus (CIEDE2000) that 95 % of the data keep, at least 1
  bool known() const { return !knots_.empty(); }

  /// True when the colour lies outside the 5th to 95th percentile of ITA, or further from the locus (CIEDE2000) than 95
  /// % of the data.
  bool extrapolated(const image::Lab& lab) const;

  nlohmann::json to_json() const;
  static SkinLocus from_json(const nlohmann::json& json);

 private:
  struct Knot {
    double ita, a, b;
  };
  std::vector<Knot> knots_;
  double low_ = 0, high_ = 0, reach_ = 0;
};

/// A skin colour as people ask for it: `#rrggbb`, `ita:25`, `monk:6`, `like:photo.jpg` (measured on that photograph's
/// skin).
/// @throws UsageError with the four forms; DataError if the photograph cannot be read.
image::Lab parse_skin(const std::string& text, const SkinLocus& locus);

}  // namespace derm::data
