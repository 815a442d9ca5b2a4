#include "derm/nn/ema.h"

#include <torch/torch.h>

namespace derm::nn {
namespace {

template <class Apply>
void pairwise(torch::nn::Module& target, const torch::nn::Module& source, Apply apply) {
  torch::NoGradGuard guard;
  auto pair = [&](auto&& ours, auto&& theirs) {
    TORCH_INTERNAL_ASSERT(ours.size() == theirs.size());
    for (size_t i = 0; i < ours.size(); ++i) {
      TORCH_INTERNAL_ASSERT(ours[i].sizes() == theirs[i].sizes());
      apply(ours[i], theirs[i]);
    }
  };
  pair(target.parameters(), source.parameters());
  pair(target.buffers(), source.buffers());
}

}  // namespace

void update_average(torch::nn::Module& average, const torch::nn::Module& current, double decay) {
  pairwise(average, current, [decay](at::Tensor& a, const at::Tensor& c) {
    if (a.is_floating_point()) {
      a.lerp_(c, 1.0 - decay);
    } else {
      a.copy_(c);
    }
  });
}

void copy_state(torch::nn::Module& target, const torch::nn::Module& source) {
  pairwise(target, source, [](at::Tensor& t, const at::Tensor& s) { t.copy_(s); });
}

}  // namespace derm::nn
