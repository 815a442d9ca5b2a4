#include "derm/training/adam_update.h"

#include <cmath>

#include "derm/base/vectorised.h"

namespace derm::training {

DERM_VECTORISED void adam_update(float* __restrict w, float* __restrict m, float* __restrict v,
                                 const float* __restrict d, int64_t n, float b1, float b2, float rate, float root,
                                 float eps) {
  for (int64_t k = 0; k < n; ++k) {
    m[k] = b1 * m[k] + (1 - b1) * d[k];
    v[k] = b2 * v[k] + (1 - b2) * d[k] * d[k];
    w[k] -= rate * m[k] / (std::sqrt(v[k]) * root + eps);
  }
}

}  // namespace derm::training
