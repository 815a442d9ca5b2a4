#pragma once
// Adam over a player's parameters (Kingma and Ba 2015), as torch.optim.Adam computes it.
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "derm/recipe/recipe.h"
#include "derm/tensor/safetensors.h"

namespace derm::training {

class Adam {
 public:
  /// @param parameters  fp32 leaves; the optimiser writes into them
  Adam(std::vector<std::pair<std::string, at::Tensor>> parameters, const recipe::AdamSpec& spec);

  /// One step. On the CPU one fused pass over each parameter; elsewhere tensor operations.
  /// @param gradients  in the order of the parameters; undefined ones leave their parameter as it is, and its own count
  ///                   of steps too, so that layers which join later start as all others did
  void step(const std::vector<at::Tensor>& gradients, double lr_factor);

  /// `NAME.exp_avg`, `NAME.exp_avg_sq`, and `step`, a count for each parameter.
  tensor::NamedTensors state(const std::string& prefix) const;
  void load(const tensor::SafeTensors& state, const std::string& prefix, const std::string& where);

  const std::vector<at::Tensor>& parameters() const { return tensors_; }

 private:
  recipe::AdamSpec spec_;
  std::vector<std::string> names_;
  std::vector<at::Tensor> tensors_, first_, second_;
  at::Tensor steps_;  ///< [parameters] int64 on the CPU
};

}  // namespace derm::training
