#pragma once
// How near a synthetic set comes to photographs, and how varied it is: with intervals, and with the floor that another
// half of the photographs reaches.
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "derm/evaluation/features.h"
#include "derm/evaluation/image_set.h"
#include "derm/evaluation/statistics.h"
#include "derm/metrics/extractor.h"

namespace derm::evaluation {

/// One number and what it has to be read with.
struct Figure {
  static constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  std::string metric;                               ///< "KID", "precision", ...
  std::string space;                                ///< the extractor's name, or "pixels"
  double value = kNone, low = kNone, high = kNone;  ///< of all images; 95 % interval
  double floor = kNone;                             ///< photographs of other patients against the reference, at equal N
  double beside = kNone;  ///< as many synthetic images against the same reference: what compares with `floor`
  size_t n_real = 0, n_synthetic = 0, n_floor = 0;  ///< n_floor: images on either side of floor and beside
  std::string note;                                 ///< "biased: ..." where it is; why there is no number
  bool better_low = true;
};

/// All images, or those of a condition or a tone.
struct FigureGroup {
  std::string kind, name;  ///< "all", "condition", "tone"; name "" for all
  size_t n_real = 0, n_synthetic = 0;
  std::string refused;     ///< why there are no numbers; "" if there are
  std::string floor_from;  ///< where the floor's photographs are from
  std::vector<Figure> figures;
  const Figure* find(const std::string& metric, const std::string& space) const;
};

/// Precision and recall over the number of neighbours.
struct NeighbourSweep {
  std::string space;
  std::vector<double> k, precision, recall;
};

struct FidelityOptions {
  std::vector<std::shared_ptr<metrics::Extractor>> extractors;  ///< at least one; the first leads
  std::string lpips;                                            ///< weights file of LPIPS; empty: no LPIPS
  uint64_t seed = 0;
  int draws = 50;                 ///< half-samples behind an interval
  int halvings = 10;              ///< behind a floor
  int64_t pairs = 200;            ///< behind a diversity
  bool swd = true;                ///< the sliced Wasserstein distance, which costs most
  ranks::Group* group = nullptr;  ///< processes that share the extraction; may be missing
};

struct FidelityResult {
  std::vector<FigureGroup> groups;  ///< the first is all images
  std::vector<NeighbourSweep> sweeps;
  nlohmann::json protocol;  ///< how all of it was measured
  nlohmann::json to_json() const;
  std::string to_csv() const;  ///< a row a figure
};

/// Compares `synthetic` with `real`. Both are taken at synthetic.size_px() pixels: larger photographs are reduced as
/// training reduces them.
/// @param others  photographs of the data set's other splits, for the floor where halves of `real` would be too small;
///                may be empty (then such groups have no floor)
/// @return nothing on a rank that does not lead, once the others need it no more
/// @throws UsageError: the photographs are smaller than the synthetic images; DataError: fewer than 64 images on a side
FidelityResult measure_fidelity(ImageSet real, const std::optional<ImageSet>& others, const ImageSet& synthetic,
                                const FidelityOptions& options, const FeatureCache& cache);

inline constexpr size_t kFewestImages = 64;  ///< below it there is no number

}  // namespace derm::evaluation
