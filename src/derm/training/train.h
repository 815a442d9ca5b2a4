#pragma once
// The one training loop.
#include <filesystem>
#include <string>

#include "derm/base/options.h"
#include "derm/loader/loader.h"
#include "derm/ranks/group.h"
#include "derm/recipe/recipe.h"
#include "derm/tensor/policy.h"

namespace derm::training {

namespace fs = std::filesystem;

/// What a run measures of itself at each snapshot.
struct MetricsOptions {
  /// Features of the validation KID: auto (the skin encoder where it is there, else the random network), encoder,
  /// random, or the folder of an encoder. A run writes down what auto came to.
  std::string extractor = "auto";
  /// A generator's images are said to collapse when they are less varied than this part of the real ones; 0: never.
  double diversity_threshold = 0.5;
  void bind(Options& o);
};

/// A run file: everything that a run is, beside the recipe's own options.
struct TrainOptions {
  std::string recipe = "dermgan";
  std::string data;          ///< a data set
  std::string out = "runs";  ///< where the run directory is made
  std::string name;          ///< added to the run directory's name; the data set's folder name if empty
  int64_t size_px = 0;       ///< 0: the data set's
  int64_t batch = 0;         ///< 0: the recipe's
  double kimg = 0;           ///< length in thousand images shown; 0 with minutes 0: 200 epochs
  double minutes = 0;        ///< or by the clock; the learning rate's schedule follows whichever ends first
  int64_t seed = 0;
  double ema_kimg = 1.0;              ///< half-life of the weights' average
  std::string region_shape = "mask";  ///< how a row's region is drawn: mask, box, ellipse
  double snapshot_minutes = 10;       ///< checkpoint, sample grid and validation KID; 0: only by kimg
  double snapshot_kimg = 0;           ///< the same by images shown; 0: off
  int64_t keep_checkpoints = 2;
  std::vector<std::string> conditions;  ///< train on the images of these alone; empty: all
  std::string init_from;  ///< a bundle, checkpoint, or safetensors or .pth file whose fitting weights start the run
  bool with_discriminator = false;  ///< keep the discriminator in bundles
  /// Of batch norm over several ranks: synchronised, or rank (each measures its own part of the batch).
  std::string batch_statistics = "synchronised";
  bool pixel_cache = true;  ///< decoded and resized images are kept in the data set's folder, for all runs
  loader::AugmentOptions augment;
  tensor::ComputeOptions compute;
  MetricsOptions metrics;
  void bind(Options& o);
  void validate() const;
};

struct TrainOutcome {
  fs::path run;
  int64_t steps = 0;
  double kimg = 0;
  bool interrupted = false;
};

/// Trains a new run. Everything that can be wrong is checked before the first step.
/// @param options, recipe_options  as resolved by the caller; `recipe` has its options bound and set
/// @param group  ranks that train together, each with its part of every batch; the first writes all files. nullptr:
///               this process alone
TrainOutcome train(const TrainOptions& options, recipe::Recipe& recipe, const recipe::Catalogue& catalogue,
                   const std::string& command_line, ranks::Group* group = nullptr);

/// Goes on with a run from its latest checkpoint, to the bit as if it had not stopped. `set` may change only length
/// (kimg, minutes), snapshots, compute.threads and, among several ranks, how many there are.
TrainOutcome resume(const fs::path& run, const std::vector<std::string>& set, const recipe::Catalogue& catalogue,
                    const std::string& command_line, ranks::Group* group = nullptr);

/// What `--dry-run` prints: steps, seconds for a step (measured on a few), time in all, memory, disk.
std::string dry_run(const TrainOptions& options, recipe::Recipe& recipe);

}  // namespace derm::training
