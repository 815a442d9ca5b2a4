#include "derm/models/pgan/pgan.h"

#include <cmath>
#include <numeric>

#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/base/log.h"
#include "derm/losses/penalties.h"
#include "derm/models/pgan/networks.h"
#include "derm/nn/augmentation.h"
#include "derm/recipe/growing.h"

namespace derm::models {
namespace {

constexpr int64_t kMostBatch = 128;    // published: 128 up to 16 px, and half as many at each doubling after that
constexpr double kGrowingShare = 0.5;  // of a run's length, where the options leave it open

struct PganOptions {
  int64_t width = 32;
  int64_t width_most = 256;
  int64_t latent = 512;
  bool conditional = false;
  bool grow = true;
  std::vector<int64_t> phase_images, fade_images, phase_batch;
  double gradient_penalty = 10;
  double drift = 0.001;
  double lr = 1e-3, beta1 = 0.0, beta2 = 0.99;
  nn::AugmentationOptions augmentation;

  void bind(Options& o) {
    o.add("width", width, "channels at the full size; twice as many at each half of it");
    o.add("width_most", width_most, "channels at most");
    o.add("latent", latent, "length of the latent vector");
    o.add("conditional", conditional, "conditions are classes; false: the method as published");
    o.add("grow", grow, "from 4 px to the full size; false: the full size from the start");
    o.add("phase_images", phase_images,
          "images shown at 4 px, 8 px ... below the full size, before the next joins; one number for all; empty: "
          "growing takes half of the run, or an epoch a phase where the clock ends it");
    o.add("fade_images", fade_images,
          "images shown while 8 px, 16 px ... fade in; one number for all; empty: as above");
    o.add("phase_batch", phase_batch,
          "images a step at 4 px, 8 px ... below the full size; one number for all; empty: the run's batch, doubled at "
          "each half of the size up to 128");
    o.add("gradient_penalty", gradient_penalty, "weight of the gradient penalty");
    o.add("drift", drift, "weight of the mean square of the scores of real images");
    o.add("lr", lr, "Adam step size");
    o.add("beta1", beta1, "Adam's first decay");
    o.add("beta2", beta2, "Adam's second decay");
    augmentation.bind(o);
  }
};

/// One number for each of `count`.
std::vector<int64_t> spread(const std::vector<int64_t>& given, int64_t count) {
  return given.size() == 1 ? std::vector<int64_t>(static_cast<size_t>(count), given[0]) : given;
}

PganGenerator& generator_of(const recipe::Players& players) {
  return dynamic_cast<PganGenerator&>(*players.at("generator"));
}

PganCritic& critic_of(const recipe::Players& players) {
  return dynamic_cast<PganCritic&>(*players.at("discriminator"));
}

/// The pictures of this step at the size of `growth`: made once for both phases.
at::Tensor fake_of(recipe::StepContext& step, const recipe::Players& players, const Growth& growth) {
  return step.memo.get("fake",
                       [&] { return generator_of(players).generate_at(step.batch.inputs, growth, step.policy.dtype); });
}

/// Real images at the size of `growth`, as blurred as the made ones are while a size fades in. fp32.
at::Tensor real_of(const at::Tensor& images, const Growth& growth) {
  const int64_t factor = images.size(2) / growth.size_px();
  at::Tensor x = images.contiguous(at::MemoryFormat::ChannelsLast);
  if (factor > 1) x = at::avg_pool2d(x, {factor, factor});
  return growth.alpha < 1 ? nn::fade_in(at::avg_pool2d(x, {2, 2}), x, growth.alpha) : x;
}

class Pgan : public recipe::Recipe, public recipe::Growing {
 public:
  void bind(Options& o) override { options_.bind(o); }

  void validate(const recipe::ImageSpec& spec) const override {
    for (const auto& [field, value] :
         {std::pair("width", options_.width), {"width_most", options_.width_most}, {"latent", options_.latent}})
      if (value < 1 || value > 4096) throw UsageError("{} = {}, expected 1 to 4096", field, value);
    const auto joins = static_cast<size_t>(shape_of(spec).levels() - 1);
    for (const auto& [field, values, least] : {std::tuple("phase_images", &options_.phase_images, int64_t{0}),
                                               {"fade_images", &options_.fade_images, int64_t{0}},
                                               {"phase_batch", &options_.phase_batch, int64_t{1}}}) {
      if (!values->empty() && values->size() != 1 && values->size() != joins)
        throw UsageError(
            "{} holds {} numbers, expected none, one for all, or {}: one for each size from 4 px to below {} px", field,
            values->size(), joins, spec.size_px);
      for (const int64_t value : *values)
        if (value < least) throw UsageError("{} holds {}, expected {} or more", field, value, least);
    }
    for (const auto& [field, value] :
         {std::pair("gradient_penalty", options_.gradient_penalty), {"drift", options_.drift}})
      if (!(value >= 0)) throw UsageError("{} = {}, expected 0 or more", field, value);
    options_.augmentation.validate();
    if (options_.augmentation.kind == "ada")
      throw UsageError(
          "augmentation = \"ada\", which steers by the sign of the discriminator's answers, and a Wasserstein critic's "
          "have no zero; expected none or diffaugment");
    if (!(options_.lr > 0)) throw UsageError("lr = {}, expected more than 0", options_.lr);
    for (const auto& [field, value] : {std::pair("beta1", options_.beta1), {"beta2", options_.beta2}})
      if (!(value >= 0 && value < 1)) throw UsageError("{} = {}, expected at least 0 and below 1", field, value);
  }

  recipe::Needs needs() const override { return {.latent = options_.latent, .label = options_.conditional}; }

  void settle(const recipe::ImageSpec& spec, double kimg) override {
    if (!options_.grow) return;
    const int64_t joins = shape_of(spec).levels() - 1;
    const int64_t epoch = std::accumulate(spec.counts.begin(), spec.counts.end(), int64_t{0});
    const int64_t each = kimg > 0 ? std::llround(kimg * 1000 * kGrowingShare / static_cast<double>(2 * joins))
                                  : std::max<int64_t>(epoch, 1);
    for (auto* images : {&options_.phase_images, &options_.fade_images})
      *images = images->empty() ? std::vector<int64_t>(static_cast<size_t>(joins), each) : spread(*images, joins);
    if (!options_.phase_batch.empty()) options_.phase_batch = spread(options_.phase_batch, joins);
  }

  int64_t batch_at(double kimg, int64_t batch) const override {
    const GrowthPlan plan = this->plan();
    const int64_t level = plan.at(std::llround(kimg * 1000)).level, last = plan.levels - 1;
    if (level == last) return batch;
    if (!options_.phase_batch.empty()) return options_.phase_batch[static_cast<size_t>(level)];
    return std::max(batch, std::min(batch << (last - level), kMostBatch));
  }

  recipe::Players make_players(const recipe::ImageSpec& spec, at::Generator& random) const override {
    auto generator = std::make_shared<PganGenerator>(shape_of(spec));
    auto critic = std::make_shared<PganCritic>(shape_of(spec));
    critic->register_module("augmentation", nn::Augmentation(options_.augmentation));
    nn::initialise_equalised(*generator, random);
    nn::initialise_equalised(*critic, random);
    return {{"generator", generator}, {"discriminator", critic}};
  }

  std::vector<recipe::Phase> phases(const recipe::Players& players) const override {
    const Growth grown = generator_of(players).growth();  // a generator is made at its full size
    const int64_t levels = grown.level + 1;
    const PganOptions options = options_;
    const GrowthPlan plan = this->plan();
    const auto growth_at = [plan, levels](const recipe::StepContext& step) {
      return plan.levels > 1 ? plan.at(std::llround(step.kimg * 1000)) : Growth{.level = levels - 1, .alpha = 1};
    };
    return {
        {"d_main", "discriminator", 1,
         [players, options, growth_at,
          before = int64_t{-1}](recipe::StepContext& step) mutable -> std::vector<recipe::LossTerm> {
           const Growth growth = growth_at(step);
           auto& generator = generator_of(players);
           if (before >= 0 && before != growth.level)  // noted here: the generator's own lies on the device
             log_info("step {}, {:.2f} kimg: grows to {} px", step.step, step.kimg, growth.size_px());
           before = growth.level;
           generator.set_growth(growth);
           auto& critic = critic_of(players);
           const at::Tensor& label = step.batch.inputs.label;
           const auto& augmentation = nn::augmentation_of(critic);
           const at::Tensor real = augmentation.apply(real_of(step.batch.image, growth), step.random);
           const at::Tensor fake = augmentation.apply(fake_of(step, players, growth).detach(), step.random);
           const at::Tensor of_real = critic.forward(step.policy.activations(real), label, growth);
           const at::Tensor of_fake = critic.forward(step.policy.activations(fake), label, growth);
           std::vector<recipe::LossTerm> terms = {{"wasserstein", of_fake.mean() - of_real.mean(), 1.0},
                                                  {"drift", of_real.square().mean(), options.drift}};
           if (options.gradient_penalty > 0) {
             // In fp32: a gradient of a gradient has too little left of bf16's eight bits.
             const at::Tensor t = at::rand({real.size(0), 1, 1, 1}, step.random, real.options());
             const at::Tensor between = (real + t * (fake - real)).detach().set_requires_grad(true);
             terms.push_back({"gradient_penalty",
                              losses::gradient_penalty(between, critic.forward(between, label, growth)),
                              options.gradient_penalty});
           }
           return terms;
         }},
        {"g_main", "generator", 1, [players, growth_at](recipe::StepContext& step) -> std::vector<recipe::LossTerm> {
           const Growth growth = growth_at(step);
           auto& critic = critic_of(players);
           const at::Tensor fake = nn::augmentation_of(critic).apply(fake_of(step, players, growth), step.random);
           const at::Tensor scores = critic.forward(step.policy.activations(fake), step.batch.inputs.label, growth);
           return {{"adversarial", scores.mean().neg(), 1.0}};
         }}};
  }

  recipe::AdamSpec optimiser(const std::string&) const override {
    return {.lr = options_.lr, .beta1 = options_.beta1, .beta2 = options_.beta2};
  }

  std::string hint() const override {
    return fmt::format("pgan(width={}, width_most={}, latent={}, conditional={})", options_.width, options_.width_most,
                       options_.latent, options_.conditional);
  }

 private:
  PganShape shape_of(const recipe::ImageSpec& spec) const {
    return {.size_px = spec.size_px,
            .width = options_.width,
            .width_most = options_.width_most,
            .latent = options_.latent,
            .classes = options_.conditional ? static_cast<int64_t>(spec.conditions.size()) : 0};
  }

  /// One level where nothing grows, or no run has settled how.
  GrowthPlan plan() const {
    if (!options_.grow || options_.phase_images.size() != options_.fade_images.size()) return {};
    return {.levels = static_cast<int64_t>(options_.phase_images.size()) + 1,
            .stable = options_.phase_images,
            .fade = options_.fade_images};
  }

  PganOptions options_;
};

}  // namespace

void register_pgan(recipe::Catalogue& catalogue) {
  catalogue.add("pgan", "progressive growing from 4 px, WGAN-GP (Karras et al. 2018; Baur et al. 2018)",
                [] { return std::make_unique<Pgan>(); });
}

}  // namespace derm::models
