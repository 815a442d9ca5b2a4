#pragma once
// Which picture stands at which place of a set.
#include <cstdint>
#include <vector>

#include "derm/phantom/lesion.h"
#include "derm/phantom/parameters.h"
#include "derm/phantom/phantom.h"

namespace derm::phantom {

/// Balanced over condition, tone and size: conditions alternate, and within a condition tones and sizes do. All other
/// parameters are drawn at random around them, then what the options hold fast or sweep takes its value. Sweeps go
/// through all their combinations, the first the fastest, before the next subject; the pictures of one subject share
/// their seed and differ in what is swept alone.
class Plan {
 public:
  explicit Plan(const PhantomOptions& options);  ///< throws UsageError as PhantomOptions::validate()

  struct Place {
    Scene scene;
    int64_t subject;    ///< number of the subject; counts up
    const char* split;  ///< train, validation or test: 14, 3 and 3 of every twenty subjects of a condition
  };
  Place at(int64_t index) const;

 private:
  const Setting* setting(const char* name) const;
  PhantomOptions options_;
  std::vector<Setting> fixed_, swept_;
  std::vector<int> conditions_;
  int64_t combinations_ = 1;
};

}  // namespace derm::phantom
