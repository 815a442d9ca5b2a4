#include "derm/models/stylegan2/stylegan2.h"

#include <cmath>

#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/losses/gan.h"
#include "derm/losses/penalties.h"
#include "derm/models/stylegan2/networks.h"
#include "derm/nn/augmentation.h"

namespace derm::models {
namespace {

constexpr double kPathDecay = 0.01;  // how fast the mean path length follows
constexpr int64_t kPathShrink = 2;   // path lengths are taken of half a batch

struct StyleGan2Options {
  int64_t width = 32;
  int64_t width_most = 256;
  int64_t latent = 512;
  int64_t mapping_layers = 2;
  double mapping_lr = 0.01;
  bool conditional = true;
  double style_mixing = 0.9;
  double r1_gamma = 0;
  int64_t r1_every = 16;
  double path_weight = 2;
  int64_t path_every = 4;
  double lr = 2.5e-3, beta1 = 0.0, beta2 = 0.99;
  nn::AugmentationOptions augmentation;

  StyleGan2Options() { augmentation.kind = "diffaugment"; }
  void bind(Options& o) {
    o.add("width", width, "channels at the full size; twice as many at each half of it");
    o.add("width_most", width_most, "channels at most");
    o.add("latent", latent, "length of the latent and of the style vector");
    o.add("mapping_layers", mapping_layers, "of the mapping network");
    o.add("mapping_lr", mapping_lr, "the mapping network's learning rate over that of the rest");
    o.add("conditional", conditional, "conditions are classes");
    o.add("style_mixing", style_mixing, "share of images whose later layers take another latent's style");
    o.add("r1_gamma", r1_gamma, "weight of R1 is half of it; 0: 0.0002 size_px^2 / batch, as StyleGAN2-ADA has it");
    o.add("r1_every", r1_every, "R1 each so many steps; 0: never");
    o.add("path_weight", path_weight, "weight of the path length regularisation");
    o.add("path_every", path_every, "path length regularisation each so many steps; 0: never");
    o.add("lr", lr, "Adam step size");
    o.add("beta1", beta1, "Adam's first decay");
    o.add("beta2", beta2, "Adam's second decay");
    augmentation.bind(o);
  }
};

StyleGan2Generator& generator_of(const recipe::Players& players) {
  return dynamic_cast<StyleGan2Generator&>(*players.at("generator"));
}

StyleGan2Discriminator& discriminator_of(const recipe::Players& players) {
  return dynamic_cast<StyleGan2Discriminator&>(*players.at("discriminator"));
}

/// The styles of `latent`, with those of other latents from a layer on, for a share of the images.
at::Tensor mixed(StyleGan2Generator& generator, const at::Tensor& w, const at::Tensor& label, double share,
                 at::Generator& random) {
  if (share <= 0) return w;
  const int64_t n = w.size(0), layers = w.size(1);
  const at::Tensor other = generator.map(at::randn({n, generator.style_length()}, random, w.options()), label);
  const at::Tensor from = at::randint(1, layers, {n, 1, 1}, random, w.options().dtype(at::kLong));
  const at::Tensor mixes = at::rand({n, 1, 1}, random, w.options()) < share;
  const at::Tensor layer = at::arange(layers, w.options().dtype(at::kLong)).reshape({1, layers, 1});
  return at::where(at::logical_and(mixes, layer >= from), other, w);
}

/// The step's pictures, made once for both phases; the first that asks also notes their styles.
at::Tensor fake_of(recipe::StepContext& step, const recipe::Players& players, const StyleGan2Options& options) {
  return step.memo.get("fake", [&] {
    auto& generator = generator_of(players);
    const at::Tensor w = generator.map(step.batch.inputs.latent, step.batch.inputs.label);
    generator.note_styles(w, step.batch.inputs.label);
    const at::Tensor styles = mixed(generator, w, step.batch.inputs.label, options.style_mixing, step.random);
    return generator.draw(styles, step.policy.dtype, step.random);
  });
}

/// Logits of images, changed as the augmentation has it.
at::Tensor judged(const recipe::StepContext& step, StyleGan2Discriminator& discriminator, const at::Tensor& images) {
  const at::Tensor changed = nn::augmentation_of(discriminator).apply(images, step.random);
  return discriminator.forward(step.policy.activations(changed), step.batch.inputs.label);
}

class StyleGan2 : public recipe::Recipe {
 public:
  void bind(Options& o) override { options_.bind(o); }

  void validate(const recipe::ImageSpec&) const override {
    const StyleGan2Options& o = options_;
    for (const auto& [field, value] : {std::pair("width", o.width), {"width_most", o.width_most}, {"latent", o.latent}})
      if (value < 1 || value > 4096) throw UsageError("{} = {}, expected 1 to 4096", field, value);
    if (o.mapping_layers < 1 || o.mapping_layers > 16)
      throw UsageError("mapping_layers = {}, expected 1 to 16", o.mapping_layers);
    for (const auto& [field, value] : {std::pair("r1_every", o.r1_every), {"path_every", o.path_every}})
      if (value < 0 || value > 1'000'000) throw UsageError("{} = {}, expected 0 to 1000000", field, value);
    for (const auto& [field, value] : {std::pair("r1_gamma", o.r1_gamma), {"path_weight", o.path_weight}})
      if (!(value >= 0)) throw UsageError("{} = {}, expected 0 or more", field, value);
    if (!(o.style_mixing >= 0 && o.style_mixing <= 1))
      throw UsageError("style_mixing = {}, expected 0 to 1", o.style_mixing);
    for (const auto& [field, value] : {std::pair("lr", o.lr), {"mapping_lr", o.mapping_lr}})
      if (!(value > 0)) throw UsageError("{} = {}, expected more than 0", field, value);
    for (const auto& [field, value] : {std::pair("beta1", o.beta1), {"beta2", o.beta2}})
      if (!(value >= 0 && value < 1)) throw UsageError("{} = {}, expected at least 0 and below 1", field, value);
    o.augmentation.validate();
  }

  recipe::Needs needs() const override { return {.latent = options_.latent, .label = options_.conditional}; }

  recipe::Players make_players(const recipe::ImageSpec& spec, at::Generator& random) const override {
    const StyleGan2Shape shape{.size_px = spec.size_px,
                               .width = options_.width,
                               .width_most = options_.width_most,
                               .latent = options_.latent,
                               .mapping_layers = options_.mapping_layers,
                               .mapping_lr = options_.mapping_lr,
                               .classes = options_.conditional ? static_cast<int64_t>(spec.conditions.size()) : 0};
    auto generator = std::make_shared<StyleGan2Generator>(shape);
    auto discriminator = std::make_shared<StyleGan2Discriminator>(shape);
    discriminator->register_module("augmentation", nn::Augmentation(options_.augmentation));
    generator->reset(random);
    nn::initialise_equalised(*discriminator, random);
    return {{"generator", generator}, {"discriminator", discriminator}};
  }

  std::vector<recipe::Phase> phases(const recipe::Players& players) const override {
    const StyleGan2Options options = options_;
    std::vector<recipe::Phase> phases = {
        {"d_main", "discriminator", 1, [players, options](recipe::StepContext& step) -> std::vector<recipe::LossTerm> {
           auto& discriminator = discriminator_of(players);
           const at::Tensor of_fake = judged(step, discriminator, fake_of(step, players, options).detach());
           const at::Tensor of_real = judged(step, discriminator, step.batch.image);
           nn::augmentation_of(discriminator).update(of_real.detach());
           return {{"real", losses::bce_real(of_real), 1.0}, {"fake", losses::bce_fake(of_fake), 1.0}};
         }}};
    if (options.r1_every > 0)
      phases.push_back(
          {"d_r1", "discriminator", options.r1_every,
           [players, options](recipe::StepContext& step) -> std::vector<recipe::LossTerm> {
             // In fp32: a gradient of a gradient has too little left of bf16's eight bits.
             auto& discriminator = discriminator_of(players);
             const at::Tensor images = step.batch.image.detach().clone(at::MemoryFormat::ChannelsLast);
             images.set_requires_grad(true);
             const at::Tensor changed = nn::augmentation_of(discriminator).apply(images, step.random);
             const at::Tensor logits = discriminator.forward(changed, step.batch.inputs.label);
             const auto n = static_cast<double>(images.size(0)), side = static_cast<double>(images.size(2));
             const double gamma = options.r1_gamma > 0 ? options.r1_gamma : 0.0002 * side * side / n;
             return {{"r1", losses::r1_penalty(images, logits), gamma / 2 * static_cast<double>(options.r1_every)}};
           }});
    phases.push_back(
        {"g_main", "generator", 1, [players, options](recipe::StepContext& step) -> std::vector<recipe::LossTerm> {
           const at::Tensor fake = fake_of(step, players, options);
           const at::Tensor logits = judged(step, discriminator_of(players), fake);
           return {{"adversarial", losses::bce_real(logits), 1.0}};
         }});
    if (options.path_every > 0)
      phases.push_back(
          {"g_path", "generator", options.path_every,
           [players, options](recipe::StepContext& step) -> std::vector<recipe::LossTerm> {
             auto& generator = generator_of(players);
             const int64_t n = std::max<int64_t>(step.batch.image.size(0) / kPathShrink, 1);
             const at::Tensor& labels = step.batch.inputs.label;
             const at::Tensor label = labels.defined() ? labels.narrow(0, 0, n) : labels;
             const auto floats = step.batch.image.options().dtype(at::kFloat);
             const at::Tensor latent = at::randn({n, options.latent}, step.random, floats);
             const at::Tensor w =
                 mixed(generator, generator.map(latent, label), label, options.style_mixing, step.random).contiguous();
             const at::Tensor images = generator.draw(w, at::kFloat, step.random);
             const at::Tensor lengths = losses::path_lengths(images, w, at::randn(images.sizes(), step.random, floats));
             const at::Tensor mean = generator.note_path_length(lengths.detach().mean(), kPathDecay);
             return {{"path", (lengths - mean).square().mean(),
                      options.path_weight * static_cast<double>(options.path_every)}};
           }});
    return phases;
  }

  /// A lazy regulariser adds steps of its own: the published correction keeps the pace of the step without it.
  recipe::AdamSpec optimiser(const std::string& player) const override {
    const int64_t every = player == "generator" ? options_.path_every : options_.r1_every;
    const double pace = every > 0 ? static_cast<double>(every) / static_cast<double>(every + 1) : 1.0;
    return {.lr = options_.lr * pace, .beta1 = std::pow(options_.beta1, pace), .beta2 = std::pow(options_.beta2, pace)};
  }

  std::string hint() const override {
    return fmt::format("stylegan2(width={}, width_most={}, latent={}, mapping_layers={}, conditional={})",
                       options_.width, options_.width_most, options_.latent, options_.mapping_layers,
                       options_.conditional);
  }

 private:
  StyleGan2Options options_;
};

}  // namespace

void register_stylegan2(recipe::Catalogue& catalogue) {
  catalogue.add("stylegan2", "StyleGAN2 with ADA or DiffAugment (Karras et al. 2020; Zhao et al. 2020)",
                [] { return std::make_unique<StyleGan2>(); });
}

}  // namespace derm::models
