#include "derm/recipe/judging.h"

#include <cmath>
#include <numbers>

#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/nn/mobilenet.h"

namespace derm::recipe {

void JudgeRecipe::bind(Options& o) {
  o.add("name", common_.name, "what figures of this judge carry, as \"segmenter-v1\"; the recipe's name if empty");
  o.add("lr", common_.lr, "greatest Adam step size");
  o.add("warm_up", common_.warm_up, "part of the run over which the step size grows; it then falls to 0");
  common_.view.bind(o);
}

void JudgeRecipe::validate(const ImageSpec& spec) const {
  if (!(common_.lr > 0) || !std::isfinite(common_.lr)) throw UsageError("lr = {}, expected more than 0", common_.lr);
  if (!(common_.warm_up >= 0 && common_.warm_up < 1))
    throw UsageError("warm_up = {}, expected a number from 0 to less than 1", common_.warm_up);
  if (spec.size_px < 32 || spec.size_px % 32 != 0)
    throw UsageError("size_px = {}, a judge expects a multiple of 32", spec.size_px);
  if (spec.conditions.empty()) throw UsageError("the data set has no conditions, a judge expects at least one");
  common_.view.validate();
}

double warm_up_and_cosine(double progress, double warm_up) {
  if (progress < warm_up) return progress / warm_up;
  return 0.5 * (1 + std::cos(std::numbers::pi * (progress - warm_up) / (1 - warm_up)));
}

void for_each_answer(Judge& judge, const std::vector<tensor::Batch>& batches, const tensor::ComputePolicy& policy,
                     const std::function<void(const tensor::Batch&, const at::Tensor&)>& use) {
  for (const tensor::Batch& batch : batches)
    use(batch, judge.judge(policy.activations(batch.image)).to(at::kCPU, at::kFloat));
}

at::Tensor looked_at(const at::Tensor& images, int64_t size_px) {
  const at::Tensor small = nn::resized(images, size_px);
  return nn::imagenet_normalised(small.to(images.scalar_type()).contiguous(images.suggest_memory_format()));
}

}  // namespace derm::recipe
