#include "derm/judges/loaded.h"

#include <algorithm>

#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/image/resize.h"
#include "derm/tensor/convert.h"

namespace derm::judges {

namespace {
constexpr int kLeastSide = 16;
}

Loaded::Loaded(const JudgeOptions& options, recipe::Kind kind, const recipe::Catalogue& catalogue) {
  if (options.batch < 1) throw UsageError("a judge's batch is {}, expected at least 1", options.batch);
  if (options.bundle.empty()) throw UsageError("no {} was named; give its bundle", recipe::kind_name(kind));
  policy =
      tensor::choose_policy({.device = options.device, .precision = options.precision, .threads = options.threads});
  batch = options.batch;
  bundle = recipe::find_bundle(options.bundle);
  model = recipe::load_judge(bundle, kind, catalogue, policy.device);
  judge = &recipe::judge_of(model.players);
  sha256 = recipe::bundle_sha256(bundle);
  if (options.check_canary) {
    if (const std::string fault = recipe::judge_canary_fault(*judge, model.config); !fault.empty())
      throw DataError(
          "{}: the judge does not answer its canary as it should: {}; the weights, this build or the processor's "
          "arithmetic differ from what the bundle was written with",
          bundle.string(), fault);
  }
}

at::Tensor Loaded::answers(const at::Tensor& images) const {
  const torch::NoGradGuard no_grad;
  std::vector<at::Tensor> parts;
  for (int64_t i = 0; i < images.size(0); i += batch) {
    const at::Tensor some = images.slice(0, i, std::min(i + batch, images.size(0)));
    parts.push_back(judge->judge(policy.activations(some)).to(at::kCPU, at::kFloat));
  }
  return at::cat(parts);
}

at::Tensor Loaded::answers(const std::vector<image::Image>& pictures) const {
  std::vector<at::Tensor> parts;
  for (size_t i = 0; i < pictures.size(); i += static_cast<size_t>(batch)) {
    std::vector<at::Tensor> some;
    for (size_t k = i; k < std::min(i + static_cast<size_t>(batch), pictures.size()); ++k)
      some.push_back(seen(pictures[k], size_px(), k));
    parts.push_back(answers(at::stack(some)));
  }
  return at::cat(parts);
}

at::Tensor seen(const image::Image& picture, int64_t size_px, size_t number) {
  if (picture.empty() || picture.channels != 3 || picture.width < kLeastSide || picture.height < kLeastSide)
    throw UsageError("picture {}: {} x {} pixels with {} channel(s); a judge looks at RGB pictures of at least {} px",
                     number + 1, picture.width, picture.height, picture.channels, kLeastSide);
  const int side = static_cast<int>(size_px);
  return tensor::tensor_of(picture.width == side && picture.height == side ? picture
                                                                           : image::resize(picture, side, side));
}

}  // namespace derm::judges
