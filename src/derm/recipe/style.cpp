#include "derm/recipe/style.h"

#include <torch/torch.h>

namespace derm::recipe {

at::Tensor StyleGenerator::truncated(const at::Tensor& w, const at::Tensor& label) const {
  if (truncation_ == 1) return w;
  const at::Tensor average = average_style(label).unsqueeze(1);  // [N or 1, 1, W]
  return average + truncation_ * (w - average);
}

}  // namespace derm::recipe
