#include "derm/models/pgan/growth.h"

#include <cmath>

namespace derm::models {

Growth Growth::of(double value) {
  const double level = std::ceil(value);
  return {.level = static_cast<int64_t>(level), .alpha = 1 - (level - value)};
}

Growth GrowthPlan::at(int64_t images) const {
  for (int64_t level = 0; level + 1 < levels; ++level) {
    const auto i = static_cast<size_t>(level);
    if (images <= stable[i]) return {.level = level, .alpha = 1};
    images -= stable[i];
    if (images < fade[i])
      return {.level = level + 1, .alpha = static_cast<double>(images) / static_cast<double>(fade[i])};
    images -= fade[i];
  }
  return {.level = levels - 1, .alpha = 1};
}

}  // namespace derm::models
