#pragma once
// Batches for training, made on other threads so that the trainer never waits.
#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

#include "derm/base/options.h"
#include "derm/data/dataset.h"
#include "derm/data/semantic_map.h"
#include "derm/tensor/batch.h"

namespace derm::loader {

/// Augmentation, applied to image, mask and map alike.
struct AugmentOptions {
  bool flip = true;           ///< mirror, each with probability 1/2
  bool quarter_turns = true;  ///< 0, 90, 180 or 270 degrees
  double crop = 0.12;         ///< the side of the random square crop is drawn from [1 - crop, 1]; 0: no crop
  double colour = 1.0;  ///< strength of the mild shift in CIE Lab (L +-8, a and b +-3 at 1); the skin colour in the map
                        ///< moves with it
  void bind(Options& o);
  void validate() const;
};

struct LoaderOptions {
  int64_t batch = 8;
  uint64_t seed = 0;
  int threads = 2;
  int64_t prefetch = 4;         ///< batches made ahead
  int64_t part = 0, parts = 1;  ///< next() gives this one of so many equal parts of each batch
  data::MapSpec map;
  bool pinned = false;   ///< batches in page-locked memory, from which a GPU copies while the host goes on
  bool with_map = true;  ///< false: no map is drawn, and regions have hard edges
  data::Shape shape = data::Shape::mask;  ///< how a row's region is drawn
  AugmentOptions augment;
  /// Where decoded and resized images are kept for all runs (loader/pixels.h); empty: in memory only.
  std::filesystem::path pixel_file;
  int64_t max_cache_bytes =
      int64_t{4} << 30;  ///< decoded images kept in memory up to this; beyond it they are read again
};

/// An endless stream: every epoch is a fresh permutation, no row twice within one. Sample k of the stream depends on
/// the seed and k alone, so that the batches are the same whatever the number of threads, and seek() resumes exactly.
class Loader {
 public:
  /// @param rows  indices into data.records(); at least one
  /// @throws DataError: an image that cannot be read (at the latest in next(), naming the file)
  Loader(const data::DataSet& data, std::vector<size_t> rows, const LoaderOptions& options);
  ~Loader();
  tensor::Batch next();  ///< on the CPU, float32, contiguous; latent undefined, map too without with_map
  /// The next batch begins with this sample of the stream.
  /// @param batch  images in it and in those that follow; 0: as many as before
  void seek(int64_t sample, int64_t batch = 0);
  double waited_s() const;  ///< how long next() has waited for data in all

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Rows as they are, unaugmented, in order: for validation and sample grids.
tensor::Batch read_rows(const data::DataSet& data, const std::vector<size_t>& rows, const data::MapSpec& map,
                        data::Shape shape, bool with_map = true);

/// The maps and labels of requests.
tensor::Inputs inputs_of(const std::vector<data::Request>& requests, const data::MapSpec& map);

}  // namespace derm::loader
