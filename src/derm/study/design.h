#pragma once
// Who sees which image when. Pure: pools and options in, a design out; the same for the same seed.
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "derm/study/power.h"

namespace derm::study {

/// An image that a study may show.
struct PoolImage {
  std::string file_name;  ///< relative to its data set
  std::string condition, tone;
  std::string subject;  ///< "" if unknown; of one subject at most one image is taken while others are left
};

/// A source of images. The first pool of a design is the real one, each further one a model.
struct Pool {
  std::string name;
  std::vector<PoolImage> images;
};

struct DesignOptions {
  std::vector<std::pair<std::string, int64_t>> groups = {{"readers", 3}};  ///< name, how many
  int64_t images_per_reader = 0;  ///< scored images that each reader sees once; 0: from the power calculation
  double anchor_share = 0.25;     ///< of a reader's images, those that all readers see
  int64_t blocks = 0;             ///< 0: half as many as readers
  int64_t blocks_per_reader = 0;  ///< 0: two, or all there are
  int64_t practice = 4;           ///< images before the study that count for nothing
  int64_t repeats = -1;           ///< images shown twice to each reader; -1: a tenth of theirs, at least 4
  bool by_condition = true, by_tone = true;  ///< strata
  PowerAssumptions assumptions;
  uint64_t seed = 0;
  void validate() const;  ///< throws UsageError naming the flag, its value and what is accepted
  int64_t readers() const;
};

enum class Kind { practice, anchor, block };
std::string kind_name(Kind kind);

/// An image of the study.
struct Item {
  size_t pool = 0;   ///< index into the pools; 0 is real
  size_t image = 0;  ///< index into the pool's images
  Kind kind = Kind::block;
  int64_t block = 0;  ///< which of the rotating blocks; 0 otherwise
};

struct Showing {
  size_t item = 0;
  bool repeat = false;  ///< shown before; tells how far a reader agrees with themselves
};

struct ReaderPlan {
  std::string name, group;  ///< "reader-01"
  std::vector<Showing> showings;
};

/// What the calculation found, to be shown before anybody reads.
struct PowerReport {
  PowerAssumptions assumptions;
  int64_t models = 1, readers = 0;
  int64_t images_per_reader = 0, images_in_all = 0;
  double power = 0;              ///< of finding the assumed accuracy, for one model
  double detectable = 1;         ///< accuracy found with the wanted power
  double detectable_by_one = 1;  ///< by one reader's own exact test
  bool computed_size = false;    ///< the number of images follows from the calculation
};

struct Design {
  std::vector<Item> items;  ///< practice, anchors, blocks
  std::vector<ReaderPlan> readers;
  int64_t units = 0, anchor_units = 0, blocks = 0, blocks_per_reader = 0;
  std::vector<std::pair<std::string, int64_t>> strata;  ///< "nevus, tan", images of each model in it
  PowerReport power;
};

/// Images come in units: one of each model and as many real ones, all of one stratum, so that neither condition nor
/// tone tells the source in any block. Strata are filled evenly, conditions first, as far as every pool can.
/// @throws UsageError when pools are too small (how many there are, how many are needed), or options contradict.
Design make_design(const std::vector<Pool>& pools, const DesignOptions& options);

}  // namespace derm::study
