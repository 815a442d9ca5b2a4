#include "derm/prepare/split.h"

#include <map>

#include "derm/base/error.h"
#include "derm/base/random.h"

namespace derm::prepare {

std::vector<std::string> assign_splits(const std::vector<SplitItem>& items, double train, double validation) {
  if (!(train >= 0 && validation >= 0 && train + validation <= 1 + 1e-9)) {
    throw UsageError("assign_splits: train {} and validation {} must be shares from 0 to 1 that add up to 1 at most",
                     train, validation);
  }
  std::map<std::string, size_t> images;
  for (const SplitItem& item : items) ++images[item.condition];
  // A group counts for its rarest condition, where an uneven share would hurt most.
  std::map<std::string, std::string> placed_by;
  for (const SplitItem& item : items) {
    auto [at, added] = placed_by.try_emplace(item.group, item.condition);
    if (added) continue;
    const size_t here = images[item.condition], there = images[at->second];
    if (here < there || (here == there && item.condition < at->second)) at->second = item.condition;
  }
  std::vector<std::string> splits;
  splits.reserve(items.size());
  for (const SplitItem& item : items) {
    const double u = static_cast<double>(hash_text(placed_by[item.group] + '\n' + item.group) >> 11) * 0x1p-53;
    splits.push_back(u < train ? "train" : u < train + validation ? "validation" : "test");
  }
  return splits;
}

}  // namespace derm::prepare
