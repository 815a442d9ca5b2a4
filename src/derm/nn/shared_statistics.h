#pragma once
// Statistics of a batch that several processes hold a part of each.
#include <functional>
#include <vector>

namespace derm::nn {

/// Adds up numbers over all processes, in place.
using SumOverRanks = std::function<void(std::vector<double>&)>;

/// While it lives, what layers measure of a batch in training on this thread is measured over all processes: batch
/// norm, and adaptive augmentation's reading of the discriminator.
class SharedStatistics {
 public:
  explicit SharedStatistics(SumOverRanks sum);
  ~SharedStatistics();
  SharedStatistics(const SharedStatistics&) = delete;
  SharedStatistics& operator=(const SharedStatistics&) = delete;
};

bool statistics_are_shared();
/// Nothing happens where they are not shared.
void sum_over_ranks(std::vector<double>& values);

}  // namespace derm::nn
