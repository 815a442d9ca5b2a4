#include "derm/nn/initialise.h"

#include <torch/torch.h>

namespace derm::nn {

void initialise_normal(torch::nn::Module& module, at::Generator& random, double deviation) {
  torch::NoGradGuard guard;
  for (auto& item : module.named_parameters()) {
    at::Tensor& p = item.value();
    const bool is_weight = item.key().ends_with("weight");
    if (!is_weight) {
      p.zero_();
    } else if (p.dim() == 1) {  // the scale of a norm
      p.normal_(1.0, deviation, random);
    } else {
      p.normal_(0.0, deviation, random);
    }
  }
}

}  // namespace derm::nn
