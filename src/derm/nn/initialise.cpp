#include "derm/nn/initialise.h"

#include <cmath>

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

void initialise_he(torch::nn::Module& module, at::Generator& random) {
  torch::NoGradGuard guard;
  for (auto& item : module.named_parameters()) {
    at::Tensor& p = item.value();
    if (!item.key().ends_with("weight")) {
      p.zero_();
    } else if (p.dim() == 1) {  // the scale of a norm
      p.fill_(1.0);
    } else if (p.dim() == 2) {
      p.normal_(0.0, 0.01, random);
    } else {
      // A depthwise kernel feeds one output each, so the fan out is its own k x k.
      const auto fan = static_cast<double>((p.size(1) == 1 ? 1 : p.size(0)) * p.size(2) * p.size(3));
      p.normal_(0.0, std::sqrt(2.0 / fan), random);
    }
  }
}

}  // namespace derm::nn
