#include "derm/metrics/checks.h"

#include <torch/torch.h>

#include "derm/base/error.h"

namespace derm::metrics {

at::Tensor checked_features(const at::Tensor& features, const char* metric, const char* which, int64_t least) {
  if (!features.defined() || features.dim() != 2 || features.size(1) < 1)
    throw UsageError("{}: the {} features must be [N, d]", metric, which);
  if (features.size(0) < least)
    throw UsageError("{}: the {} features are of {} images, at least {} are needed; use more images", metric, which,
                     features.size(0), least);
  const at::Tensor f = features.detach().to(at::kCPU, at::kDouble).contiguous();
  const at::Tensor sound = torch::isfinite(f).all(1);
  if (!sound.all().item<bool>())
    throw DataError(
        "{}: the {} features of image {} are not finite; look at that image, and at the extractor's weights", metric,
        which, torch::logical_not(sound).nonzero()[0].item<int64_t>());
  return f;
}

void check_same_width(const at::Tensor& real, const at::Tensor& fake, const char* metric) {
  if (real.size(1) != fake.size(1))
    throw UsageError("{}: the real features have {} columns, the fake ones {}; both must come from one extractor",
                     metric, real.size(1), fake.size(1));
}

at::Tensor checked_images(const at::Tensor& images, const char* metric, const char* range) {
  if (!images.defined() || images.dim() != 4 || images.size(1) != 3 || images.size(2) < 1 || images.size(3) < 1)
    throw UsageError("{}: images must be [N, 3, H, W] in {}", metric, range);
  const at::Tensor x = images.detach().to(at::kCPU, at::kFloat).contiguous();
  if (!torch::isfinite(x).all().item<bool>())
    throw DataError("{}: an image holds values that are not finite; look at what made it", metric);
  return x;
}

}  // namespace derm::metrics
