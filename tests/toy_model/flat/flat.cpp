#include "flat.h"

#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/losses/dermgan.h"
#include "derm/nn/initialise.h"
#include "derm/nn/layers.h"

namespace derm::models {

namespace {

struct FlatOptions {
  double lr = 0.01;        ///< Adam step size
  double l1_weight = 1.0;  ///< of the only loss
  void bind(Options& o) {
    o.add("lr", lr, "Adam step size");
    o.add("l1_weight", l1_weight, "weight of mean |real - fake|");
  }
  void validate() const {
    if (!(lr > 0)) throw UsageError("flat: lr is {}, it must be above 0; the default is 0.01", lr);
  }
};

class FlatGenerator : public recipe::Generator {
 public:
  explicit FlatGenerator(int64_t map_channels)
      : conv_(register_module("conv",
                              nn::Conv(nn::ConvOptions{.in = map_channels, .out = 3, .kernel = 1, .padding = 0}))) {}

  at::Tensor generate(const tensor::Inputs& inputs) override {
    return torch::tanh(conv_(inputs.map)).to(torch::kFloat);  // [N, C, S, S] -> [N, 3, S, S]
  }

 private:
  nn::Conv conv_;
};

class Flat : public recipe::Recipe {
 public:
  void bind(Options& o) override { options_.bind(o); }
  void validate(const recipe::ImageSpec&) const override { options_.validate(); }
  recipe::Needs needs() const override { return {.map = true}; }
  std::string hint() const override { return "flat"; }

  recipe::Players make_players(const recipe::ImageSpec& spec, at::Generator& random) const override {
    auto generator = std::make_shared<FlatGenerator>(spec.map_channels);
    nn::initialise_normal(*generator, random);
    return {{"generator", generator}};
  }

  std::vector<recipe::Phase> phases(const recipe::Players& players) const override {
    const double weight = options_.l1_weight;
    return {{.name = "g_main", .player = "generator", .losses = [players, weight](recipe::StepContext& step) {
               const at::Tensor fake = recipe::generator_of(players).generate(step.batch.inputs);
               return std::vector<recipe::LossTerm>{{"l1", losses::l1(step.batch.image, fake), weight}};
             }}};
  }

  recipe::AdamSpec optimiser(const std::string&) const override { return {.lr = options_.lr}; }

 private:
  FlatOptions options_;
};

}  // namespace

void register_flat(recipe::Catalogue& catalogue) {
  catalogue.add("flat", "one 1x1 convolution and L1: an example", [] { return std::make_unique<Flat>(); });
}

}  // namespace derm::models
