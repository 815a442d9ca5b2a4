#pragma once
// Did the model keep copies of the photographs that it learned from?
#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "derm/evaluation/features.h"
#include "derm/evaluation/image_set.h"
#include "derm/evaluation/statistics.h"

namespace derm::evaluation {

/// An image and the training photograph nearest to it, over the eight mirrored and turned copies of the image.
struct Nearest {
  size_t training = 0;   ///< index into the training set
  int turn = 0;          ///< 0 to 7: quarter turns (turn % 4, counter-clockwise) after a mirroring (turn >= 4)
  double distance = 0;   ///< to it
  double elsewhere = 0;  ///< to the nearest held-out photograph (of another patient)
  /// distance / elsewhere: a copy has a ratio near 0; a soft image, which lies near to everything, has one near 1.
  double ratio() const;
};

/// What one way of looking says.
struct AuditSpace {
  std::string name;
  std::string unit;                          ///< of its distances
  std::vector<Nearest> synthetic, held_out;  ///< one an image
  double first = 0, fifth = 0;               ///< 1st and 5th percentile of the held-out photographs' distances
  double first_ratio = 0;                    ///< 1st percentile of their ratios
  double share_first = 0, share_fifth = 0;   ///< synthetic images below `first`, `fifth`; 0.01 and 0.05 are expected
  double share_first_ratio = 0;
  double first_p = 1, ratio_p = 1;  ///< exact: of so many below the 1st percentile, were they held-out images
  double closest = 0;               ///< smallest distance of a held-out photograph
  std::vector<size_t> copies;       ///< synthetic images that are nearer than any two patients' photographs
  double nearest_is_training = 0;   ///< share of synthetic images whose nearest photograph of all is a training one
  double expected = 0;              ///< of that, if the model had not seen the training photographs
  double permutation_p = 1;
  MannWhitney distances;  ///< synthetic against held-out distances; descriptive, see docs/evaluation.md
};

struct AuditOptions {
  uint64_t seed = 0;
  int permutations = 9999;
  double alpha = 0.001;        ///< level of each test of the verdict
  double least_excess = 0.10;  ///< of nearest_is_training over what is expected, for the second rule
  double copy_factor = 0.5;    ///< of the smallest held-out distance and of a ratio of 1, for the third rule
};

struct AuditResult {
  std::vector<AuditSpace> spaces;
  bool passed = true;
  std::vector<std::string> reasons;  ///< why not, a sentence each
  std::string extractor, extractor_sha256, resize_kernel;
  size_t training = 0, held_out = 0, synthetic = 0, training_patients = 0, held_out_patients = 0;
  AuditOptions options;
  nlohmann::json to_json() const;
};

/// Compares every synthetic image with the training and the held-out photographs, in the extractor's space (features
/// divided by their deviation over the training set, root mean square) and as small pictures (32 px, CIE Lab, each
/// less its own mean colour, root mean square).
///
/// The verdict is no if in either space
///  1. more images than chance allows (p < alpha) lie below the 1st percentile of the held-out photographs' distances,
///     and as well below that of their ratios: so many are near to training, and not because they are soft;
///  2. the nearest photograph of all is a training one more often than if patients had been dealt to training and
///     held-out at random (permutation of patients, p < alpha), by `least_excess` or more; or
///  3. one image is a copy: nearer than `copy_factor` times the smallest held-out distance, at a ratio below
///     `copy_factor`.
/// @throws DataError: fewer than 64 images in one of the sets; a patient in both training and held-out
AuditResult audit(const ImageSet& training, const ImageSet& held_out, const ImageSet& synthetic,
                  metrics::Extractor& extractor, const FeatureCache& cache, const AuditOptions& options = {});

/// The synthetic images nearest to a training photograph, by the smallest share of the 1st percentile over the spaces;
/// indices, at most `count`.
std::vector<size_t> closest_images(const AuditResult& result, size_t count);
/// The same of the held-out photographs, for scale.
std::vector<size_t> closest_held_out(const AuditResult& result, size_t count);

/// The image as `turn` says, see Nearest.
image::Image turned(const image::Image& image, int turn);

}  // namespace derm::evaluation
