#pragma once
#include "derm/recipe/recipe.h"

namespace derm::recipe {

/// What a recipe is besides when its batch changes over a run.
class Growing {
 public:
  virtual ~Growing() = default;
  /// Images a step.
  /// @param kimg   thousand images shown so far
  /// @param batch  the run's own: what it comes to in the end
  virtual int64_t batch_at(double kimg, int64_t batch) const = 0;
  /// Called before a new run, when its length is known: options left to follow from that are set, so that the run's
  /// files say what they came to and a run that goes on keeps them.
  /// @param kimg  length of the run in thousand images; 0: the clock ends it
  virtual void settle(const ImageSpec& spec, double kimg) = 0;
};

}  // namespace derm::recipe
