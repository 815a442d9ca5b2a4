#pragma once
// What the recipes of judges share: their common options, the schedule, and how validation images are looked at.
#include <functional>

#include "derm/nn/views.h"
#include "derm/recipe/recipe.h"

namespace derm::recipe {

/// Factor on the step size: a linear warm-up over the part `warm_up` of a training, then half a cosine (Loshchilov and
/// Hutter 2017, arXiv:1608.03983, without restarts). Both from 0 to 1.
double warm_up_and_cosine(double progress, double warm_up);

struct JudgeOptions {
  std::string name;       ///< what its figures carry; "": the recipe's name
  double lr = 1e-3;       ///< greatest Adam step size
  double warm_up = 0.05;  ///< part of the run over which the step size grows from 0; it then falls along a cosine to 0
  nn::ViewOptions view;   ///< augmentation
};

/// A recipe with one player, "judge".
class JudgeRecipe : public Recipe {
 public:
  void bind(Options& o) override;
  void validate(const ImageSpec& spec) const override;
  Needs needs() const override { return {.label = true}; }
  std::string judge_name() const override { return common_.name; }
  AdamSpec optimiser(const std::string&) const override { return {.lr = common_.lr, .beta1 = 0.9, .beta2 = 0.999}; }
  double lr_factor(double progress) const override { return warm_up_and_cosine(progress, common_.warm_up); }
  int64_t default_batch() const override { return 32; }

 protected:
  JudgeOptions common_;
};

/// The judge's answer to each batch, one after the other: fp32 on the CPU.
/// @param use  called with the batch and the answer to its images
void for_each_answer(Judge& judge, const std::vector<tensor::Batch>& batches, const tensor::ComputePolicy& policy,
                     const std::function<void(const tensor::Batch&, const at::Tensor&)>& use);

/// Images [N, 3, H, W] as a network looks at them: resized to size_px, in their own type and format.
at::Tensor looked_at(const at::Tensor& images, int64_t size_px);

}  // namespace derm::recipe
