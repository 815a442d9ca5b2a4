#include "derm/recipe/latent.h"

#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/losses/gan.h"
#include "derm/nn/initialise.h"

namespace derm::recipe {
namespace {

/// One discriminator a level, and the augmentation that they share.
class Discriminators : public torch::nn::Module {
 public:
  Discriminators(const ImageSpec& spec, int64_t levels, bool residuals, int64_t classes, const LatentOptions& options)
      : classes_(classes) {
    for (int64_t i = 0; i < levels; ++i) {
      const int64_t side = spec.size_px >> (levels - 1 - i);
      const int64_t channels = (residuals && i > 0 ? 6 : 3) + classes;
      nets_.push_back(register_module(
          fmt::format("level{}", side),
          nn::DcganDiscriminator(channels, side, options.discriminator_width, options.discriminator_norm)));
    }
    augment_ = register_module("augmentation", nn::Augmentation(options.augmentation));
  }

  /// Logits [N] of each level.
  std::vector<at::Tensor> judge(const std::vector<nn::Level>& levels, StepContext& context) {
    std::vector<at::Tensor> logits;
    for (size_t i = 0; i < nets_.size(); ++i) {
      // A residual is changed as the difference of two pictures that go through the same changes.
      const nn::AugmentationDraw changes = augment_->draw(levels[i].image, context.random);
      const at::Tensor image = augment_->apply(levels[i].image, changes);
      std::vector<at::Tensor> seen = {image};
      if (levels[i].low.defined()) {
        const at::Tensor low = augment_->apply(levels[i].low, changes);
        seen = {image - low, low};
      }
      if (classes_ > 0)
        seen.push_back(at::one_hot(context.batch.inputs.label, classes_)
                           .to(image.scalar_type())
                           .reshape({image.size(0), classes_, 1, 1})
                           .expand({-1, -1, image.size(2), image.size(3)}));
      logits.push_back(nets_[i](context.policy.activations(at::cat(seen, 1))));
    }
    return logits;
  }

  nn::AugmentationImpl& augment() { return *augment_; }

 private:
  int64_t classes_;
  std::vector<nn::DcganDiscriminator> nets_;
  nn::Augmentation augment_{nullptr};
};

Discriminators& discriminators_of(const Players& players) {
  return dynamic_cast<Discriminators&>(*players.at("discriminator"));
}

/// What the generator makes of this step's batch: made once, shared by both phases.
std::vector<nn::Level> fakes_of(StepContext& context, const Players& players, size_t levels, bool residuals) {
  std::vector<nn::Level> made, fakes(levels);
  const auto once = [&](const std::string& name, size_t i, at::Tensor nn::Level::*part) {
    return context.memo.get(fmt::format("{}{}", name, i), [&] {
      if (made.empty()) made = dynamic_cast<LevelGenerator&>(generator_of(players)).levels(context.batch.inputs);
      return made[i].*part;
    });
  };
  for (size_t i = 0; i < levels; ++i) {
    fakes[i].image = once("image", i, &nn::Level::image);
    if (residuals && i > 0) fakes[i].low = once("low", i, &nn::Level::low);
  }
  return fakes;
}

std::vector<nn::Level> detached(std::vector<nn::Level> levels) {
  for (nn::Level& level : levels) {
    level.image = level.image.detach();
    if (level.low.defined()) level.low = level.low.detach();
  }
  return levels;
}

/// "real", or "real32" where there are several levels.
std::string term(const char* name, const nn::Level& level, size_t levels) {
  return levels == 1 ? std::string(name) : fmt::format("{}{}", name, level.image.size(2));
}

}  // namespace

void LatentOptions::bind(Options& o) {
  o.add("latent", latent, "length of the noise z");
  o.add("width", width, "channels of the generator at half the image's side; doubled below, up to 8 times");
  o.add("discriminator_width", discriminator_width, "channels after a discriminator's first convolution");
  o.add("norm", norm, "of the generator: batch, instance or none");
  o.add("discriminator_norm", discriminator_norm, "spectral, batch, instance or none");
  o.add("class_conditional", class_conditional, "the condition can be asked for; the paper's models are unconditional");
  o.add("lr", lr, "Adam step size");
  o.add("beta1", beta1, "Adam's first decay");
  o.add("beta2", beta2, "Adam's second decay");
  augmentation.bind(o);
}

void LatentOptions::validate(const ImageSpec& spec) const {
  if (spec.size_px < 16 || spec.size_px > 1024 || (spec.size_px & (spec.size_px - 1)) != 0)
    throw UsageError("size_px = {}, expected a power of two from 16 to 1024", spec.size_px);
  for (const auto& [field, value] :
       {std::pair{"latent", latent}, {"width", width}, {"discriminator_width", discriminator_width}})
    if (value < 1 || value > 4096) throw UsageError("{} = {}, expected 1 to 4096", field, value);
  if (!(lr > 0)) throw UsageError("lr = {}, expected more than 0", lr);
  if (norm != "batch" && norm != "instance" && norm != "none")
    throw UsageError("norm = \"{}\", expected batch, instance or none", norm);
  if (const std::string& d = discriminator_norm; d != "spectral" && d != "batch" && d != "instance" && d != "none")
    throw UsageError("discriminator_norm = \"{}\", expected spectral, batch, instance or none", d);
  augmentation.validate();
}

Players LatentRecipe::make_players(const ImageSpec& spec, at::Generator& random) const {
  const std::shared_ptr<LevelGenerator> generator = make_generator(spec);
  const auto discriminators = std::make_shared<Discriminators>(spec, levels(), residuals(), classes(spec), common_);
  nn::initialise_normal(*generator, random);
  nn::initialise_normal(*discriminators, random);
  return {{"generator", generator}, {"discriminator", discriminators}};
}

std::vector<Phase> LatentRecipe::phases(const Players& players) const {
  const auto count = static_cast<size_t>(levels());
  const bool with_low = residuals();
  return {{"d_main", "discriminator", 1,
           [=](StepContext& context) {
             Discriminators& nets = discriminators_of(players);
             const auto reals = nn::pyramid_of(context.batch.image, static_cast<int64_t>(count), with_low);
             const auto real = nets.judge(reals, context);
             const auto fake = nets.judge(detached(fakes_of(context, players, count, with_low)), context);
             std::vector<LossTerm> terms;
             for (size_t i = 0; i < count; ++i) {
               terms.push_back({term("real", reals[i], count), losses::least_squares_real(real[i]), 0.5});
               terms.push_back({term("fake", reals[i], count), losses::least_squares_fake(fake[i]), 0.5});
             }
             nets.augment().update(real.back() - 0.5);  // between the targets 0 and 1
             if (nets.augment().adapts()) terms.push_back({"augmentation", nets.augment().probability(), 0.0});
             return terms;
           }},
          {"g_main", "generator", 1, [=](StepContext& context) {
             const auto fakes = fakes_of(context, players, count, with_low);
             const auto logits = discriminators_of(players).judge(fakes, context);
             std::vector<LossTerm> terms;
             for (size_t i = 0; i < count; ++i)
               terms.push_back({term("adversarial", fakes[i], count), losses::least_squares_real(logits[i]), 1.0});
             return terms;
           }}};
}

AdamSpec LatentRecipe::optimiser(const std::string&) const {
  return {.lr = common_.lr, .beta1 = common_.beta1, .beta2 = common_.beta2};
}

at::Tensor told(const at::Tensor& z, const at::Tensor& label, int64_t classes) {
  if (classes == 0) return z;
  return at::cat({z, at::one_hot(label, classes).to(z.scalar_type())}, 1);
}

}  // namespace derm::recipe
