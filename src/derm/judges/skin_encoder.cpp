#include "derm/judges/skin_encoder.h"

#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/judges/loaded.h"
#include "derm/nn/mobilenet.h"

namespace derm::judges {

struct SkinEncoder::Impl : Loaded {
  Impl(const JudgeOptions& options, const recipe::Catalogue& catalogue)
      : Loaded(options, recipe::Kind::encoder, catalogue),
        dimension(answers(recipe::judge_canary_input(size_px())).size(1)) {}
  int64_t dimension;
};

SkinEncoder::SkinEncoder(const JudgeOptions& options, const recipe::Catalogue& catalogue)
    : impl_(std::make_unique<Impl>(options, catalogue)) {}
SkinEncoder::~SkinEncoder() = default;

std::string SkinEncoder::name() const { return impl_->model.config.name; }
int64_t SkinEncoder::dimension() const { return impl_->dimension; }
std::string SkinEncoder::sha256() const { return impl_->sha256; }
std::string SkinEncoder::resize_kernel() const { return "bilinear, antialiased, float32"; }

at::Tensor SkinEncoder::features(const at::Tensor& images) {
  const torch::NoGradGuard no_grad;
  if (!images.defined() || images.dim() != 4 || images.size(1) != 3 || images.size(2) < 16 || images.size(3) < 16)
    throw UsageError("{}: images must be [N, 3, H, W] in [-1, 1], of at least 16 px", name());
  std::vector<at::Tensor> parts;
  for (int64_t i = 0; i < images.size(0); i += impl_->batch) {
    const at::Tensor some = images.slice(0, i, std::min(i + impl_->batch, images.size(0))).to(at::kCPU, at::kFloat);
    parts.push_back(impl_->answers(nn::resized(some, impl_->size_px())));
  }
  return parts.empty() ? at::empty({0, dimension()}, at::kFloat) : at::cat(parts);
}

at::Tensor SkinEncoder::features(const std::vector<image::Image>& images) {
  return images.empty() ? at::empty({0, dimension()}, at::kFloat) : impl_->answers(images);
}

}  // namespace derm::judges
