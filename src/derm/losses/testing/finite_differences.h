#pragma once
// For tests: gradients against central differences.
#include <algorithm>
#include <cmath>
#include <functional>

#include <torch/torch.h>

namespace derm::losses {

/// Largest difference between autograd's gradient of `loss` at x (double) and central differences.
inline double gradient_error(const std::function<at::Tensor(const at::Tensor&)>& loss, const at::Tensor& x,
                             double step = 1e-5) {
  const at::Tensor variable = x.detach().clone().set_requires_grad(true);
  const at::Tensor gradient = torch::autograd::grad({loss(variable)}, {variable})[0].flatten();
  double worst = 0;
  for (int64_t i = 0; i < x.numel(); ++i) {
    at::Tensor up = x.detach().clone(), down = x.detach().clone();
    up.view(-1)[i] += step;
    down.view(-1)[i] -= step;
    const double difference = (loss(up).item<double>() - loss(down).item<double>()) / (2 * step);
    worst = std::max(worst, std::abs(difference - gradient[i].item<double>()));
  }
  return worst;
}

}  // namespace derm::losses
