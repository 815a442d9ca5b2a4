#include "derm/explore/model.h"

#include <algorithm>
#include <cmath>

#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/base/suggest.h"
#include "derm/base/system.h"
#include "derm/tensor/convert.h"

namespace derm::explore {

Model::Model(const generation::EngineOptions& options, const recipe::Catalogue& catalogue) {
  // The engine looks at the bundle as `generate` does: checksums, canary. What it opened goes again.
  bundle_ = generation::Engine(options, catalogue).bundle_path();
  tensor::ComputeOptions compute;
  compute.device = options.device;
  compute.precision = "fp32";
  compute.threads = options.threads;
  policy_ = tensor::choose_policy(compute);
  loaded_ = recipe::load_bundle(bundle_, catalogue, policy_.device);
  sha256_ = recipe::bundle_sha256(bundle_);
  needs_ = loaded_.recipe->needs();
  generator_ = &recipe::generator_of(loaded_.players);
  for (at::Tensor& p : generator_->parameters()) p.set_requires_grad(false);
  style_ = dynamic_cast<recipe::StyleGenerator*>(generator_);
  space_ = needs_.map ? Space::map : style_ != nullptr ? Space::style : needs_.latent > 0 ? Space::latent : Space::map;
}

std::string Model::space_name() const { return space_ == Space::style ? "w" : space_ == Space::latent ? "z" : "map"; }

const recipe::StyleGenerator& Model::styles() const {
  if (space_ != Space::style) {
    throw UsageError("{}: {} has no style space; recipes with one are the StyleGAN kind", bundle_.string(),
                     recipe_name());
  }
  return *style_;
}

std::string Model::condition(const std::string& asked) const {
  const std::vector<std::string>& known = loaded_.config.conditions;
  if (!has_classes()) {
    if (asked.empty()) return "";
    throw UsageError("condition {}: {} has no classes, so none can be asked for; leave it out", asked, recipe_name());
  }
  if (asked.empty()) return known.front();
  if (std::find(known.begin(), known.end(), asked) == known.end())
    throw UsageError("condition \"{}\" is not one that the model knows{}", asked, did_you_mean(asked, known));
  return asked;
}

at::Tensor Model::labels(const std::string& condition, int64_t count) const {
  if (!has_classes()) return {};
  const std::vector<std::string>& known = loaded_.config.conditions;
  const auto found = std::find(known.begin(), known.end(), condition);
  TORCH_INTERNAL_ASSERT(found != known.end(), "a condition that went through Model::condition()");
  return at::full({count}, static_cast<int64_t>(found - known.begin()), at::kLong).to(policy_.device);
}

void Model::require_points() const {
  if (space_ != Space::map) return;
  throw UsageError(
      "{}: {} paints from a semantic map and has no latent space to look around in; what it varies with is what is "
      "asked: "
      "`dermgan generate --sweep`, or `explore interpolate --from ... --to ...`",
      bundle_.string(), recipe_name());
}

at::Tensor Model::points(const std::vector<uint64_t>& seeds, const std::string& condition) const {
  require_points();
  if (seeds.empty()) throw UsageError("explore: no seeds were given; at least one is needed");
  const torch::NoGradGuard no_grad;
  std::vector<at::Tensor> latents;
  for (const uint64_t seed : seeds) latents.push_back(recipe::latent_of_seed(needs_, size_px(), seed));
  const at::Tensor z = at::cat(latents).to(policy_.device);
  return space_ == Space::style ? style_->map(z, labels(condition, z.size(0))).to(at::kFloat) : z;
}

at::Tensor Model::middle(const std::string& condition) const {
  require_points();
  const torch::NoGradGuard no_grad;
  if (space_ == Space::latent) return at::zeros({1, needs_.latent}, at::TensorOptions(policy_.device));
  const at::Tensor average = style_->average_style(labels(condition, 1)).to(at::kFloat);
  return average.unsqueeze(1).expand({1, style_->style_layers(), style_->style_length()}).contiguous();
}

at::Tensor Model::render(const at::Tensor& points, const std::string& condition) const {
  require_points();
  if (space_ == Space::style) return style_->synthesise(points);
  return generator_->generate({.latent = points, .label = labels(condition, points.size(0)), .map = {}});
}

std::vector<image::Image> Model::images(const at::Tensor& points, const std::string& condition) const {
  const torch::NoGradGuard no_grad;
  std::vector<image::Image> result;
  for (int64_t i = 0; i < points.size(0); ++i) {
    throw_if_interrupted();
    result.push_back(tensor::images_of(render(points.narrow(0, i, 1), condition).to(at::kCPU)).front());
  }
  return result;
}

at::Tensor Model::between(const at::Tensor& a, const at::Tensor& b, double t) const {
  return space_ == Space::style ? a + t * (b - a) : slerp(a, b, t);
}

at::Tensor slerp(const at::Tensor& a, const at::Tensor& b, double t) {
  const double la = a.norm().item<double>(), lb = b.norm().item<double>();
  const at::Tensor line = a + t * (b - a);
  if (la == 0 || lb == 0) return line;
  const double cosine = std::clamp((a * b).sum().item<double>() / (la * lb), -1.0, 1.0);
  const double angle = std::acos(cosine), sine = std::sin(angle);
  if (sine < 1e-4) return line;
  const at::Tensor direction = a * (std::sin((1 - t) * angle) / (sine * la)) + b * (std::sin(t * angle) / (sine * lb));
  return direction * (la + t * (lb - la));
}

}  // namespace derm::explore
