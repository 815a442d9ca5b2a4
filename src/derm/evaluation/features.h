#pragma once
// Features of a set of images, and a cache for those of photographs.
#include <filesystem>
#include <optional>
#include <string>

#include <ATen/core/Tensor.h>

#include "derm/evaluation/image_set.h"
#include "derm/metrics/extractor.h"
#include "derm/ranks/group.h"

namespace derm::evaluation {

/// [set.size(), extractor.dimension()] float on the CPU, in the order of the set; memory beyond that does not grow with
/// the set. Shows progress under `label`.
/// @param group  processes that share the images out; all of them call, and have all features then
/// @throws DataError as ImageSet::image(), and for features that are not finite
at::Tensor extract(const ImageSet& set, metrics::Extractor& extractor, const std::string& label,
                   ranks::Group* group = nullptr);

/// Features of photographs, kept from one evaluation to the next. A file's name is a SHA-256 over the data set's
/// fingerprint, the name, size and time of every image, the split, the side length, and the extractor's name, SHA-256
/// and resize kernel: whatever changes gives another file. Files appear whole; one that cannot be read, or does not
/// hold what it should, is made again.
class FeatureCache {
 public:
  /// @param folder  made when first needed; empty: nothing is kept
  explicit FeatureCache(std::filesystem::path folder) : folder_(std::move(folder)) {}
  /// @param group  as for extract(); what rank 0 has kept is not extracted, and the others get nothing then
  at::Tensor features(const ImageSet& set, metrics::Extractor& extractor, const std::string& label,
                      ranks::Group* group = nullptr) const;
  std::filesystem::path file_of(const ImageSet& set, const metrics::Extractor& extractor) const;

 private:
  std::optional<at::Tensor> kept(const std::filesystem::path& file, int64_t count, int64_t dimension) const;
  std::filesystem::path folder_;
};

/// $XDG_CACHE_HOME/dermgan, else ~/.cache/dermgan; empty if the process has neither.
std::filesystem::path user_cache_folder();

}  // namespace derm::evaluation
