#pragma once
// Sliced Wasserstein distance between patches of a Laplacian pyramid (Karras et al. 2018, arXiv:1710.10196, section 5).
#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

namespace derm::metrics {

struct SwdOptions {
  int64_t smallest_px = 16;  ///< the pyramid's last level
  int64_t patch_px = 7;
  int64_t patches = 128;  ///< of each image and level
  int64_t repeats = 4;    ///< times...
  int64_t directions = 128;
  uint64_t seed = 0;
  void validate() const;  ///< throws UsageError naming field and value
};

/// Patches of one set, gathered a batch at a time. Where an image's patches lie depends on the seed, the set's number
/// and the image's place in it, not on the batches. Memory: patches x 3 x patch_px^2 floats (75 kB) an image and level.
class PatchDescriptors {
 public:
  /// @param set  0 for the real set, 1 for the fake one: other places, as published
  PatchDescriptors(const SwdOptions& options, uint64_t set);
  /// @param images  [N, 3, S, S] in [-1, 1], S a power of two times smallest_px's odd part, the same in each call
  /// @throws UsageError for another shape; DataError for values that are not finite
  void add(const at::Tensor& images);
  /// The patches of some of the images, cut where they were.
  /// @param rows  each below images()
  PatchDescriptors subset(const std::vector<size_t>& rows) const;
  int64_t images() const { return images_; }
  int64_t levels() const { return static_cast<int64_t>(parts_.size()); }
  int64_t level_px(int64_t level) const { return sizes_.at(static_cast<size_t>(level)); }  ///< largest first
  at::Tensor level(int64_t level) const;  ///< [images * patches, 3, patch_px, patch_px], not normalised
  const SwdOptions& options() const { return options_; }

 private:
  SwdOptions options_;
  uint64_t set_;
  int64_t images_ = 0;
  std::vector<int64_t> sizes_;
  std::vector<std::vector<at::Tensor>> parts_;  // of each level
};

struct SwdLevel {
  int64_t size_px = 0;
  double distance = 0;  ///< times 1000, as published
};
struct Swd {
  std::vector<SwdLevel> levels;  ///< largest first
  double mean = 0;               ///< over levels, times 1000
};

/// Per level: patches of each set normalised per channel to mean 0 and deviation 1, projected onto random directions,
/// sorted, mean absolute difference.
/// @param repeats  the first so many of the options' repeats; 0: all. One gives much the same figure in a quarter of
/// the
///                 time, which is enough to see how it varies.
/// @throws UsageError if the sets have not the same number of images (the distance depends on it), size or options
Swd sliced_wasserstein(const PatchDescriptors& real, const PatchDescriptors& fake, int64_t repeats = 0);
Swd sliced_wasserstein(const at::Tensor& real, const at::Tensor& fake, const SwdOptions& options = {});

/// Upper left corners of an image's patches at a level of `size_px`: [patches, 2] int64 (row, column).
at::Tensor patch_places(const SwdOptions& options, uint64_t set, int64_t image, int64_t size_px);
/// Unit vectors in the columns, [3 patch_px^2, directions] float.
at::Tensor patch_directions(const SwdOptions& options, int64_t size_px, int64_t repeat);
/// Pyramid of [N, 3, S, S]: differences from the next level, largest first, the last level as it is.
std::vector<at::Tensor> laplacian_pyramid(const at::Tensor& images, int64_t smallest_px = 16);

}  // namespace derm::metrics
