#include "derm/training/adam.h"

#include <cmath>

#include <ATen/Parallel.h>
#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/training/adam_update.h"

namespace derm::training {
Adam::Adam(std::vector<std::pair<std::string, at::Tensor>> parameters, const recipe::AdamSpec& spec) : spec_(spec) {
  for (auto& [name, tensor] : parameters) {
    names_.push_back(name);
    first_.push_back(torch::zeros_like(tensor, at::MemoryFormat::Contiguous));
    second_.push_back(torch::zeros_like(tensor, at::MemoryFormat::Contiguous));
    tensors_.push_back(tensor);
  }
  steps_ = torch::zeros({static_cast<int64_t>(tensors_.size())}, torch::kLong);
}

void Adam::step(const std::vector<at::Tensor>& gradients, double lr_factor) {
  torch::NoGradGuard guard;
  TORCH_INTERNAL_ASSERT(gradients.size() == tensors_.size());
  for (size_t i = 0; i < tensors_.size(); ++i) {
    if (!gradients[i].defined()) continue;
    const int64_t t = ++steps_.data_ptr<int64_t>()[i];
    const double correction1 = 1.0 - std::pow(spec_.beta1, static_cast<double>(t));
    const double correction2 = 1.0 - std::pow(spec_.beta2, static_cast<double>(t));
    const double rate = spec_.lr * lr_factor / correction1, root = 1.0 / std::sqrt(correction2);
    at::Tensor& p = tensors_[i];
    const at::Tensor g = gradients[i].to(at::kFloat).contiguous();
    if (p.is_cpu() && p.is_contiguous()) {
      float* w = p.data_ptr<float>();
      float* m = first_[i].data_ptr<float>();
      float* v = second_[i].data_ptr<float>();
      const float* d = g.data_ptr<float>();
      const auto b1 = static_cast<float>(spec_.beta1), b2 = static_cast<float>(spec_.beta2);
      const auto r = static_cast<float>(rate), s = static_cast<float>(root), e = static_cast<float>(spec_.eps);
      at::parallel_for(0, p.numel(), 1 << 15, [=](int64_t begin, int64_t end) {
        adam_update(w + begin, m + begin, v + begin, d + begin, end - begin, b1, b2, r, s, e);
      });
      p.unsafeGetTensorImpl()->bump_version();  // what is derived from the weights is made anew
    } else {
      first_[i].lerp_(g, 1.0 - spec_.beta1);
      second_[i].mul_(spec_.beta2).addcmul_(g, g, 1.0 - spec_.beta2);
      p.addcdiv_(first_[i], second_[i].sqrt().mul_(root).add_(spec_.eps), -rate);
    }
  }
}

tensor::NamedTensors Adam::state(const std::string& prefix) const {
  tensor::NamedTensors result;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    result.emplace_back(prefix + names_[i] + ".exp_avg", first_[i]);
    result.emplace_back(prefix + names_[i] + ".exp_avg_sq", second_[i]);
  }
  result.emplace_back(prefix + "step", steps_);
  return result;
}

void Adam::load(const tensor::SafeTensors& state, const std::string& prefix, const std::string& where) {
  torch::NoGradGuard guard;
  for (auto& [name, ours] : this->state(prefix)) {
    const auto found = state.tensors.find(name);
    // One count for all is how checkpoints had it once.
    const bool common_count = name == prefix + "step" && found != state.tensors.end() && found->second.numel() == 1;
    if (found == state.tensors.end() || (found->second.sizes() != ours.sizes() && !common_count))
      throw DataError("{}: the optimiser state '{}' is missing or of another shape; resume with the options of the run",
                      where, name);
    at::Tensor target = ours;
    target.copy_(found->second);
  }
}

}  // namespace derm::training
