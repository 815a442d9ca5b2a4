#include "derm/models/dermgan/dermgan.h"

#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/losses/dermgan.h"
#include "derm/losses/gan.h"
#include "derm/models/dermgan/projected.h"
#include "derm/nn/initialise.h"
#include "derm/recipe/paired.h"

namespace derm::models {

void DermganOptions::bind(Options& o) {
  o.add("width", width, "channels of the U-Net's outermost level");
  o.add("levels", levels, "halvings of the U-Net; 0: as many as fit, at most 8");
  o.add("noise_planes", noise_planes, "white-noise planes beside the map; 0: one image per map, as in the paper");
  o.add("noise_injection", noise_injection, "the noise is added at every level of the decoder as well");
  o.add("discriminator_width", discriminator_width, "channels of the discriminator's first layer");
  o.add("discriminator_layers", discriminator_layers, "stride-2 layers: 3 sees 70x70 patches, 2 34x34, 1 16x16");
  o.add("upsample", upsample, "resize (no checkerboard) or transposed");
  o.add("norm", norm, "batch, instance or none");
  o.add("encoding", encoding, "of the map: planes, or rgb (the paper's coloured regions on skin-coloured ground)");
  o.add("adversarial", adversarial, "conditional GAN loss on or off");
  o.add("adversarial_weight", adversarial_weight, "its weight");
  o.add("reconstruction", reconstruction, "L1 to the real image, on or off");
  o.add("reconstruction_weight", reconstruction_weight, "its weight");
  o.add("condition", condition, "L1 inside the lesion region, on or off");
  o.add("condition_weight", condition_weight, "its weight");
  o.add("feature_matching", feature_matching, "distance of the discriminator's activations, on or off");
  o.add("feature_matching_weight", feature_matching_weight, "its weight");
  o.add("min_patch", min_patch, "the least realistic patch drives the generator, on or off");
  o.add("min_patch_weight", min_patch_weight, "its weight");
  o.add("projected_weight", projected_weight,
        "of a second discriminator, over the features of a network trained on photographs; 0: none");
  o.add("feature_weights", feature_weights, "file with SqueezeNet 1.1's weights (torchvision's names) for it");
  o.add("reconstruction_px", reconstruction_px,
        "reconstruction and condition compare means over squares of this side; 1: pixels, as in the paper");
  o.add("lr", lr, "Adam step size");
  o.add("beta1", beta1, "Adam's first decay");
  o.add("beta2", beta2, "Adam's second decay");
  augmentation.bind(o);
}

namespace {

constexpr int64_t kProjectedWidth = 64;

std::vector<recipe::LossTerm> generator_losses(recipe::StepContext& context, const recipe::Players& players,
                                               const DermganOptions& o, const Projected* projected) {
  const at::Tensor fake = recipe::fake_of(context, players);
  const at::Tensor& real = context.batch.image;
  std::vector<recipe::LossTerm> terms;
  if (o.adversarial || o.feature_matching || o.min_patch) {
    // Feature matching compares a real and a generated image of one map: both go through the same changes.
    const auto changes = recipe::draw_changes(context, players, fake);
    const auto judged = recipe::judge(players, context.batch.inputs.map, fake, changes);
    if (o.adversarial) terms.push_back({"adversarial", losses::bce_real(judged.logits), o.adversarial_weight});
    if (o.min_patch) terms.push_back({"min_patch", losses::min_patch(judged.logits), o.min_patch_weight});
    if (o.feature_matching) {
      std::vector<at::Tensor> target;
      {
        torch::NoGradGuard guard;
        target = recipe::judge(players, context.batch.inputs.map, real, changes).features;
      }
      terms.push_back(
          {"feature_matching", losses::feature_matching(target, judged.features), o.feature_matching_weight});
    }
  }
  const auto pooled = [&](const at::Tensor& x) {
    return o.reconstruction_px == 1 ? x : at::avg_pool2d(x, {o.reconstruction_px, o.reconstruction_px});
  };
  if (projected) terms.push_back({"projected", projected->generator_loss(context, players), o.projected_weight});
  if (o.reconstruction)
    terms.push_back({"reconstruction", losses::l1(pooled(real), pooled(fake)), o.reconstruction_weight});
  if (o.condition)
    terms.push_back({"condition", losses::condition_l1(pooled(real), pooled(fake), pooled(context.batch.region)),
                     o.condition_weight});
  return terms;
}

class Dermgan : public recipe::Recipe {
 public:
  void bind(Options& o) override { options_.bind(o); }

  void validate(const recipe::ImageSpec& spec) const override {
    recipe::resolve_levels(options_.levels, spec.size_px);
    data::encoding_from_name(options_.encoding);
    options_.augmentation.validate();
    if (options_.noise_planes < 0 || options_.noise_planes > 16)
      throw UsageError("noise_planes = {}, expected 0 to 16", options_.noise_planes);
    if (options_.noise_injection && options_.noise_planes == 0)
      throw UsageError("noise_injection = true, but noise_planes = 0; set noise_planes to 1 or more");
    if (options_.reconstruction_px < 1 || spec.size_px % options_.reconstruction_px != 0)
      throw UsageError("reconstruction_px = {}, expected a divisor of the image's side, {}", options_.reconstruction_px,
                       spec.size_px);
    if (!(options_.lr > 0)) throw UsageError("lr = {}, expected more than 0", options_.lr);
    const std::pair<const char*, double> weights[] = {{"adversarial_weight", options_.adversarial_weight},
                                                      {"reconstruction_weight", options_.reconstruction_weight},
                                                      {"condition_weight", options_.condition_weight},
                                                      {"feature_matching_weight", options_.feature_matching_weight},
                                                      {"min_patch_weight", options_.min_patch_weight},
                                                      {"projected_weight", options_.projected_weight}};
    for (const auto& [name, weight] : weights)
      if (!(weight >= 0)) throw UsageError("{} = {}, expected 0 or more", name, weight);
    if (!options_.adversarial && !options_.reconstruction && !options_.condition && !options_.feature_matching &&
        !options_.min_patch && options_.projected_weight == 0)
      throw UsageError("every loss of the generator is switched off; leave at least one on");
  }

  recipe::Needs needs() const override {
    return {
        .noise_planes = options_.noise_planes, .map = true, .encoding = data::encoding_from_name(options_.encoding)};
  }

  recipe::Players make_players(const recipe::ImageSpec& spec, at::Generator& random) const override {
    auto generator = std::make_shared<recipe::UNetGenerator>(
        nn::UNetOptions{.in_channels = spec.map_channels,
                        .size_px = spec.size_px,
                        .width = options_.width,
                        .levels = recipe::resolve_levels(options_.levels, spec.size_px),
                        .upsample = options_.upsample,
                        .norm = options_.norm},
        options_.noise_planes, options_.noise_injection);
    auto discriminator =
        std::make_shared<nn::PatchDiscriminatorImpl>(nn::PatchOptions{.in_channels = spec.map_channels + 3,
                                                                      .width = options_.discriminator_width,
                                                                      .layers = options_.discriminator_layers,
                                                                      .norm = options_.norm});
    nn::initialise_normal(*generator, random);
    nn::initialise_normal(*discriminator, random);
    discriminator->register_module("augmentation", nn::Augmentation(options_.augmentation).ptr());
    recipe::Players players = {{"generator", generator}, {"discriminator", discriminator}};
    if (options_.projected_weight > 0) {
      auto heads = std::make_shared<ProjectedHeads>(spec.map_channels, kProjectedWidth);
      nn::initialise_he(*heads, random);
      players["projected"] = heads;
    }
    return players;
  }

  std::vector<recipe::Phase> phases(const recipe::Players& players) const override {
    const DermganOptions options = options_;
    std::vector<recipe::Phase> phases = {{"d_main", "discriminator", 1, [players](recipe::StepContext& context) {
                                            return recipe::discriminator_bce(context, players);
                                          }}};
    std::shared_ptr<const Projected> projected;
    if (options_.projected_weight > 0) {
      if (options_.feature_weights.empty())
        throw UsageError(
            "projected_weight = {}, but feature_weights names no file; give SqueezeNet 1.1's weights under "
            "torchvision's names (safetensors or .pth)",
            options_.projected_weight);
      projected = std::make_shared<Projected>(std::make_shared<nn::SqueezeNetFeatures>(options_.feature_weights));
      phases.push_back({"p_main", "projected", 1, [players, projected](recipe::StepContext& context) {
                          return projected->discriminator_losses(context, players);
                        }});
    }
    phases.push_back({"g_main", "generator", 1, [players, options, projected](recipe::StepContext& context) {
                        return generator_losses(context, players, options, projected.get());
                      }});
    return phases;
  }

  recipe::AdamSpec optimiser(const std::string&) const override {
    return {.lr = options_.lr, .beta1 = options_.beta1, .beta2 = options_.beta2};
  }

  double lr_factor(double progress) const override {
    return progress < 0.5 ? 1.0 : std::max(0.0, 2.0 * (1.0 - progress));
  }

  std::string hint() const override {
    return fmt::format("dermgan(width={}, levels={})", options_.width, options_.levels);
  }

 private:
  DermganOptions options_;
};

}  // namespace

void register_dermgan(recipe::Catalogue& catalogue) {
  catalogue.add("dermgan", "DermGAN: resize-convolution U-Net, five losses (Ghorbani et al. 2019)",
                [] { return std::make_unique<Dermgan>(); });
}

}  // namespace derm::models
