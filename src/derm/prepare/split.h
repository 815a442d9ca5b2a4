#pragma once
// Train, validation and test by a hash of the group.
#include <string>
#include <vector>

namespace derm::prepare {

struct SplitItem {
  std::string group;  ///< patient, else lesion, else image; near duplicates have been given one group
  std::string condition;
};

/// The hash of the group id within its condition decides, so that a group keeps its split when images are added. A
/// group with several conditions is placed by the rarest of them.
std::vector<std::string> assign_splits(const std::vector<SplitItem>& items, double train, double validation);

}  // namespace derm::prepare
