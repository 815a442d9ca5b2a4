#pragma once
// A recipe under test, small enough that its contract takes seconds.
#include <torch/torch.h>

#include "derm/models/catalogue.h"
#include "derm/recipe/recipe.h"
#include "derm/training/adam.h"

namespace derm {

inline constexpr int64_t kSize = 64;
inline const std::vector<std::string> kConditions = {"melanoma", "nevus"};

/// A recipe with its widths made small, so that the whole contract takes seconds.
struct Subject {
  /// @param further  options to set where the recipe has them
  explicit Subject(const std::string& name, const std::vector<std::string>& further = {})
      : recipe(models::catalogue().make(name)) {
    Options options;
    recipe->bind(options);
    std::vector<std::string> wanted = {"width=8", "discriminator_width=8", "input_px=64", "expanded=64"};
    wanted.insert(wanted.end(), further.begin(), further.end());
    for (const std::string& option : wanted)
      if (options.has(std::string_view(option).substr(0, option.find('=')))) options.set(option);
    spec = recipe::image_spec(*recipe, kSize, kConditions);
    recipe->validate(spec);
    players = make();
    phases = recipe->phases(players);
  }

  /// The network that a bundle keeps, a Generator or a Judge.
  torch::nn::Module& kept() const { return *players.at(recipe::kept_player(recipe->kind())); }

  recipe::Players make(uint64_t seed = 1) const {
    at::Generator random = at::detail::createCPUGenerator(seed);
    return recipe->make_players(spec, random);
  }

  tensor::Batch batch(int64_t n, uint64_t seed = 5) const {
    at::Generator random = at::detail::createCPUGenerator(seed);
    const auto needs = recipe->needs();
    tensor::Batch b;
    b.region = torch::zeros({n, 1, kSize, kSize});
    for (int64_t i = 0; i < n; ++i) b.region[i][0].slice(0, 16, 48).slice(1, 16, 24 + 3 * i).fill_(1);
    const at::Tensor ground = torch::rand({n, 3, 1, 1}, random) - 0.5;
    const at::Tensor spot = torch::rand({n, 3, 1, 1}, random) - 0.5;
    b.image = ground * (1 - b.region) + spot * b.region;
    if (needs.map) {
      b.inputs.map = torch::zeros({n, spec.map_channels, kSize, kSize});
      b.inputs.map.slice(1, 0, 1).copy_(b.region);
      b.inputs.map.slice(1, spec.map_channels - 3, spec.map_channels).copy_(ground.expand({n, 3, kSize, kSize}));
    }
    if (needs.label) b.inputs.label = torch::arange(n) % static_cast<int64_t>(kConditions.size());
    if (needs.noise_planes > 0)
      b.inputs.latent = torch::randn({n, needs.noise_planes, kSize, kSize}, random);
    else if (needs.latent > 0)
      b.inputs.latent = torch::randn({n, needs.latent}, random);
    return b;
  }

  /// All phases of one step; every loss value by "phase/term".
  std::map<std::string, double> step(const tensor::Batch& b, int64_t number,
                                     std::map<std::string, training::Adam>& optimisers) {
    at::Generator random = at::globalContext().defaultGenerator(at::kCPU);
    random.set_current_seed(100 + static_cast<uint64_t>(number));
    recipe::StepMemo memo;
    recipe::StepContext context{.batch = b, .step = number, .kimg = 0, .random = random, .memo = memo};
    std::map<std::string, double> values;
    for (const auto& phase : phases) {
      if (number % phase.every != 0) continue;
      at::Tensor total = torch::zeros({});
      for (const auto& term : phase.losses(context)) {
        values[phase.name + "/" + term.name] = term.value.item<double>();
        total = total + term.weight * term.value;
      }
      auto& adam = optimisers.at(phase.player);
      adam.step(torch::autograd::grad({total}, adam.parameters(), {}, {}, false, true), 1.0);
    }
    return values;
  }

  std::map<std::string, training::Adam> optimisers() {
    std::map<std::string, training::Adam> all;
    for (auto& [name, player] : players) {
      std::vector<std::pair<std::string, at::Tensor>> parameters;
      for (auto& item : player->named_parameters()) parameters.emplace_back(item.key(), item.value());
      all.emplace(name, training::Adam(parameters, recipe->optimiser(name)));
    }
    return all;
  }

  std::unique_ptr<recipe::Recipe> recipe;
  recipe::ImageSpec spec;
  recipe::Players players;
  std::vector<recipe::Phase> phases;
};

}  // namespace derm
