#pragma once
// What a run shows and measures of itself while it trains.
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "derm/data/dataset.h"
#include "derm/data/plan.h"
#include "derm/image/image.h"
#include "derm/metrics/extractor.h"
#include "derm/recipe/recipe.h"
#include "derm/tensor/policy.h"

namespace derm::training {

/// Images of `inputs` in batches, in evaluation mode and without gradients; the mode is put back. [N, 3, S, S] on the
/// CPU.
at::Tensor sample(recipe::Generator& generator, const tensor::Inputs& inputs, const tensor::ComputePolicy& policy);

/// A sheet of real training images (reals.png).
image::Image reals_sheet(const data::DataSet& data, const std::vector<size_t>& rows, int64_t size_px);

/// What no photograph stands behind, the same through a run: with a map a row a condition, columns over skin and size;
/// without one a row a condition, columns over latents; without labels either, latents alone.
class FixedSamples {
 public:
  FixedSamples(const recipe::Recipe& recipe, const data::Offer& offer, const data::MapSpec& map);
  image::Image sheet(recipe::Generator& generator, const tensor::ComputePolicy& policy) const;

 private:
  std::vector<data::Request> requests_;
  size_t rows_ = 0;
  std::vector<std::string> row_labels_, column_labels_;
  tensor::Inputs inputs_;
};

/// How varied images are, over how varied the real ones are (1: as much). Distances are mean absolute differences of
/// the images at 32 px, so that grain does not count.
struct DiversityFigures {
  double pairs = 0;    ///< mean distance of two images: 0 where all are one
  double nearest = 0;  ///< mean distance of an image from the nearest other: 0 where all are one of a few
  double real_pairs = 0, real_nearest = 0;  ///< of the real ones, of a range of 2
  int64_t count = 0;                        ///< images of each
};

/// @param made, real  [N, 3, S, S] in [-1, 1] on the CPU, of equal N of at least 2
DiversityFigures diversity_of(const at::Tensor& made, const at::Tensor& real);

/// Collapse seen early: images from fixed latents, labels and maps of training rows, against those rows' photographs.
class Diversity {
 public:
  static bool possible(size_t rows) { return rows >= 8; }
  Diversity(const recipe::Recipe& recipe, const data::DataSet& data, std::vector<size_t> rows, const data::MapSpec& map,
            data::Shape shape, uint64_t seed);
  DiversityFigures measure(recipe::Generator& generator, const tensor::ComputePolicy& policy) const;

 private:
  tensor::Inputs inputs_;
  at::Tensor real_;
};

/// KID of generated images against validation images, the generated ones made from the validation rows' maps. Below 64
/// images there is no number.
class ValidationKid {
 public:
  ValidationKid(const recipe::Recipe& recipe, const data::DataSet& data, std::vector<size_t> rows,
                const data::MapSpec& map, data::Shape shape, std::unique_ptr<metrics::Extractor> extractor);
  bool available() const { return available_; }
  nlohmann::json measure(recipe::Generator& generator,
                         const tensor::ComputePolicy& policy);  ///< "kid", "deviation", protocol

 private:
  bool available_ = false;
  std::unique_ptr<metrics::Extractor> extractor_;
  tensor::Inputs inputs_;
  at::Tensor real_features_;
};

/// What a judge's recipe measures of it on the validation images, read once.
class ValidationFigures {
 public:
  ValidationFigures(const recipe::Recipe& recipe, const data::DataSet& data, std::vector<size_t> rows,
                    const data::MapSpec& map, data::Shape shape);
  bool available() const { return !batches_.empty(); }
  /// Calibrates the judge, then measures it, in eval mode and without gradients; the mode is put back.
  /// "figures": names and values; "first": the name of the one that `best` follows; "n", "reference"
  nlohmann::json measure(recipe::Judge& judge, const tensor::ComputePolicy& policy) const;

 private:
  const recipe::Recipe& recipe_;
  std::vector<tensor::Batch> batches_;
};

/// Latents for `count` samples, one seed each; undefined if the recipe needs none.
at::Tensor latents(const recipe::Needs& needs, int64_t size_px, uint64_t first_seed, int64_t count);

}  // namespace derm::training
