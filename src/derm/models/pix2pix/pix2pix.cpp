#include "derm/models/pix2pix/pix2pix.h"

#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/losses/dermgan.h"
#include "derm/losses/gan.h"
#include "derm/nn/initialise.h"
#include "derm/recipe/paired.h"

namespace derm::models {

void Pix2PixOptions::bind(Options& o) {
  o.add("width", width, "channels of the U-Net's outermost level");
  o.add("levels", levels, "halvings of the U-Net; 0: as many as fit, at most 8");
  o.add("discriminator_width", discriminator_width, "channels of the discriminator's first layer");
  o.add("discriminator_layers", discriminator_layers, "stride-2 layers: 3 sees 70x70 patches, 2 34x34, 1 16x16");
  o.add("upsample", upsample, "transposed or resize");
  o.add("norm", norm, "batch, instance or none");
  o.add("encoding", encoding, "of the map: rgb (coloured regions on skin-coloured ground) or planes");
  o.add("l1_weight", l1_weight, "weight of the reconstruction loss");
  o.add("lr", lr, "Adam step size");
  o.add("beta1", beta1, "Adam's first decay");
  o.add("beta2", beta2, "Adam's second decay");
  augmentation.bind(o);
}

namespace {

class Pix2Pix : public recipe::Recipe {
 public:
  void bind(Options& o) override { options_.bind(o); }

  void validate(const recipe::ImageSpec& spec) const override {
    recipe::resolve_levels(options_.levels, spec.size_px);
    if (options_.l1_weight < 0) throw UsageError("l1_weight = {}, expected 0 or more", options_.l1_weight);
    if (!(options_.lr > 0)) throw UsageError("lr = {}, expected more than 0", options_.lr);
    data::encoding_from_name(options_.encoding);
    options_.augmentation.validate();
  }

  recipe::Needs needs() const override {
    return {.label = false, .map = true, .encoding = data::encoding_from_name(options_.encoding)};
  }

  recipe::Players make_players(const recipe::ImageSpec& spec, at::Generator& random) const override {
    auto generator = std::make_shared<recipe::UNetGenerator>(
        nn::UNetOptions{.in_channels = spec.map_channels,
                        .size_px = spec.size_px,
                        .width = options_.width,
                        .levels = recipe::resolve_levels(options_.levels, spec.size_px),
                        .upsample = options_.upsample,
                        .norm = options_.norm},
        /*noise_planes=*/0);
    auto discriminator =
        std::make_shared<nn::PatchDiscriminatorImpl>(nn::PatchOptions{.in_channels = spec.map_channels + 3,
                                                                      .width = options_.discriminator_width,
                                                                      .layers = options_.discriminator_layers,
                                                                      .norm = options_.norm});
    nn::initialise_normal(*generator, random);
    nn::initialise_normal(*discriminator, random);
    discriminator->register_module("augmentation", nn::Augmentation(options_.augmentation).ptr());
    return {{"generator", generator}, {"discriminator", discriminator}};
  }

  std::vector<recipe::Phase> phases(const recipe::Players& players) const override {
    const double l1_weight = options_.l1_weight;
    return {
        {"d_main", "discriminator", 1,
         [players](recipe::StepContext& context) { return recipe::discriminator_bce(context, players); }},
        {"g_main", "generator", 1, [players, l1_weight](recipe::StepContext& context) -> std::vector<recipe::LossTerm> {
           const at::Tensor fake = recipe::fake_of(context, players);
           const auto judged =
               recipe::judge(players, context.batch.inputs.map, fake, recipe::draw_changes(context, players, fake));
           return {{"adversarial", losses::bce_real(judged.logits), 1.0},
                   {"l1", losses::l1(context.batch.image, fake), l1_weight}};
         }}};
  }

  recipe::AdamSpec optimiser(const std::string&) const override {
    return {.lr = options_.lr, .beta1 = options_.beta1, .beta2 = options_.beta2};
  }

  /// 100 epochs constant and 100 of linear decay, whatever the length.
  double lr_factor(double progress) const override {
    return progress < 0.5 ? 1.0 : std::max(0.0, 2.0 * (1.0 - progress));
  }

  int64_t default_batch() const override { return 1; }

  std::string hint() const override {
    return fmt::format("pix2pix(width={}, levels={})", options_.width, options_.levels);
  }

 private:
  Pix2PixOptions options_;
};

}  // namespace

void register_pix2pix(recipe::Catalogue& catalogue) {
  catalogue.add("pix2pix", "the baseline that DermGAN adapts: U-Net and 70x70 PatchGAN (Isola et al. 2017)",
                [] { return std::make_unique<Pix2Pix>(); });
}

}  // namespace derm::models
