#pragma once
// The arithmetic of Adam, in a file of its own: vectorised square roots need compiler flags that the rest does without.
#include <cstdint>

namespace derm::training {

/// One pass over part of a parameter w, its moments m and v, and its gradient d.
/// @param rate  step size over the first moment's correction
/// @param root  1 over the square root of the second moment's correction
void adam_update(float* w, float* m, float* v, const float* d, int64_t n, float b1, float b2, float rate, float root,
                 float eps);

}  // namespace derm::training
