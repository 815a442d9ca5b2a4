#include "derm/models/dermgan/projected.h"

#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/losses/gan.h"
#include "derm/recipe/paired.h"

namespace derm::models {
namespace {

constexpr size_t kTaps = nn::SqueezeNetFeatures::kChannels.size();

ProjectedHeads& heads_of(const recipe::Players& players) {
  return dynamic_cast<ProjectedHeads&>(*players.at("projected"));
}

/// In the precision of the map, which is the policy's.
at::Tensor as_map(const at::Tensor& image, const at::Tensor& map) {
  return image.to(map.scalar_type()).contiguous(map.suggest_memory_format());
}

}  // namespace

ProjectedHeads::ProjectedHeads(int64_t map_channels, int64_t width) {
  for (size_t i = 0; i < kTaps; ++i) {
    const int64_t in = nn::SqueezeNetFeatures::kChannels[i] + 1 + map_channels;  // directions, size, map
    const auto conv = [&](const char* name, const nn::ConvOptions& o) {
      return register_module(fmt::format("{}{}", name, i), nn::Conv(o));
    };
    heads_.push_back({conv("mix", nn::ConvOptions{.in = in, .out = width, .kernel = 1, .padding = 0}),
                      conv("look", nn::ConvOptions{.in = width, .out = width, .kernel = 4, .stride = 2, .padding = 1}),
                      conv("say", nn::ConvOptions{.in = width, .out = 1, .kernel = 3})});
  }
}

std::vector<at::Tensor> ProjectedHeads::forward(const std::vector<at::Tensor>& taps, const at::Tensor& map) {
  std::vector<at::Tensor> logits;
  for (size_t i = 0; i < kTaps; ++i) {
    const at::Tensor& tap = taps[i];
    const at::Tensor small = at::adaptive_avg_pool2d(map, {tap.size(2), tap.size(3)}).to(tap.scalar_type());
    // The features are as large as tens, far out of the hinge's reach: each point's are scaled to a mean square of 1.
    const at::Tensor size = (tap.square().mean(at::IntArrayRef{1}, true) + 1e-4).sqrt();
    at::Tensor x = at::cat({tap / size, size.log(), small}, 1).contiguous(tap.suggest_memory_format());
    x = at::leaky_relu(heads_[i].mix(x), 0.2);   // [N, width, h, w]
    x = at::leaky_relu(heads_[i].look(x), 0.2);  // [N, width, h / 2, w / 2]
    logits.push_back(heads_[i].say(x).to(at::kFloat));
  }
  return logits;
}

std::vector<at::Tensor> Projected::taps_of_fake(recipe::StepContext& context, const recipe::Players& players) const {
  // The discriminator's phase makes them with their graph; the generator's, later in the step, goes back through it.
  std::vector<at::Tensor> made, taps;
  for (size_t i = 0; i < kTaps; ++i) {
    taps.push_back(context.memo.get(fmt::format("projected_fake{}", i), [&] {
      if (made.empty()) made = features_->forward(as_map(recipe::fake_of(context, players), context.batch.inputs.map));
      return made[i];
    }));
  }
  return taps;
}

std::vector<recipe::LossTerm> Projected::discriminator_losses(recipe::StepContext& context,
                                                              const recipe::Players& players) const {
  const at::Tensor& map = context.batch.inputs.map;
  std::vector<at::Tensor> real, fake;
  {
    const torch::NoGradGuard guard;
    real = features_->forward(as_map(context.batch.image, map));
  }
  for (const at::Tensor& tap : taps_of_fake(context, players)) fake.push_back(tap.detach());
  ProjectedHeads& heads = heads_of(players);
  at::Tensor real_loss, fake_loss;
  for (const at::Tensor& logits : heads.forward(real, map))
    real_loss = real_loss.defined() ? real_loss + losses::hinge_real(logits) : losses::hinge_real(logits);
  for (const at::Tensor& logits : heads.forward(fake, map))
    fake_loss = fake_loss.defined() ? fake_loss + losses::hinge_fake(logits) : losses::hinge_fake(logits);
  return {{"real", real_loss / static_cast<double>(kTaps), 1.0}, {"fake", fake_loss / static_cast<double>(kTaps), 1.0}};
}

at::Tensor Projected::generator_loss(recipe::StepContext& context, const recipe::Players& players) const {
  at::Tensor loss;
  for (const at::Tensor& logits : heads_of(players).forward(taps_of_fake(context, players), context.batch.inputs.map)) {
    const at::Tensor part = -logits.mean();
    loss = loss.defined() ? loss + part : part;
  }
  return loss / static_cast<double>(kTaps);
}

}  // namespace derm::models
