#include "derm/nn/pyramid.h"

#include <torch/torch.h>

namespace derm::nn {

at::Tensor doubled(const at::Tensor& x) {
  at::Tensor y = x;
  for (const int64_t d : {2, 3}) {
    const int64_t side = y.size(d);
    const at::Tensor before = at::cat({y.narrow(d, 0, 1), y.narrow(d, 0, side - 1)}, d);
    const at::Tensor after = at::cat({y.narrow(d, 1, side - 1), y.narrow(d, side - 1, 1)}, d);
    y = at::stack({0.75 * y + 0.25 * before, 0.75 * y + 0.25 * after}, d + 1).flatten(d, d + 1);
  }
  return y;
}

at::Tensor halved(const at::Tensor& x) { return at::avg_pool2d(x, {2, 2}); }

std::vector<Level> pyramid_of(const at::Tensor& images, int64_t levels, bool with_low) {
  std::vector<Level> all(static_cast<size_t>(levels));
  all.back().image = images;
  for (size_t i = all.size() - 1; i > 0; --i) {
    all[i - 1].image = halved(all[i].image);
    if (with_low) all[i].low = doubled(all[i - 1].image);
  }
  return all;
}

}  // namespace derm::nn
