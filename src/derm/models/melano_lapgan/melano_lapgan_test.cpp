#include "derm/models/melano_lapgan/melano_lapgan.h"

#include <ATen/CPUGeneratorImpl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "derm/base/error.h"

namespace derm::models {
namespace {

constexpr int64_t kLevels = 4;
const std::vector<int64_t> kSides = {8, 16, 32, 64};

struct Small {
  Small() {
    recipe::Catalogue catalogue;
    register_melano_lapgan(catalogue);
    recipe = catalogue.make("melano-lapgan");
    Options options;
    recipe->bind(options);
    options.set("width=4");
    options.set("discriminator_width=4");
    const auto spec = recipe::image_spec(*recipe, 64, {"melanoma", "nevus"});
    recipe->validate(spec);
    at::Generator random = at::detail::createCPUGenerator(1);
    players = recipe->make_players(spec, random);
    // Small starting weights would hide what differs.
    const torch::NoGradGuard guard;
    for (auto& p : players.at("generator")->named_parameters())
      if (p.value().dim() > 1) p.value().mul_(5);
    players.at("generator")->eval();
    torch::manual_seed(3);
    inputs.latent = torch::randn({2, recipe->needs().latent});
  }

  MelanoLapganGenerator& generator() { return dynamic_cast<MelanoLapganGenerator&>(*players.at("generator")); }

  std::unique_ptr<recipe::Recipe> recipe;
  recipe::Players players;
  tensor::Inputs inputs;
};

double difference(const at::Tensor& a, const at::Tensor& b) { return (a - b).abs().max().item<double>(); }

TEST(MelanoLapgan, OutputIsTheSumOfItsDoubledResiduals) {
  Small small;
  const torch::NoGradGuard guard;
  const auto levels = small.generator().levels(small.inputs);
  ASSERT_EQ(levels.size(), kSides.size());
  at::Tensor sum = torch::zeros({2, 3, 64, 64});
  for (size_t i = 0; i < levels.size(); ++i) {
    EXPECT_EQ(levels[i].image.size(2), kSides[i]);
    at::Tensor residual = i == 0 ? levels[0].image : levels[i].image - levels[i].low;
    EXPECT_GT(residual.abs().mean().item<double>(), 1e-4) << i;
    for (size_t up = i; up + 1 < levels.size(); ++up) residual = nn::doubled(residual);
    sum = sum + residual;
  }
  EXPECT_LT(difference(sum, levels.back().image), 1e-5);
  EXPECT_TRUE(torch::equal(small.generator().generate(small.inputs), levels.back().image.clamp(-1, 1)));
}

TEST(MelanoLapgan, EachLevelHasANoiseOf64OfItsOwn) {
  Small small;
  EXPECT_EQ(small.recipe->needs().latent, kLevels * 64);
  const torch::NoGradGuard guard;
  const auto before = small.generator().levels(small.inputs);
  for (int64_t k = 0; k < kLevels; ++k) {
    tensor::Inputs other = small.inputs;
    other.latent = small.inputs.latent.clone();
    other.latent.narrow(1, 64 * k, 64).neg_();
    const auto after = small.generator().levels(other);
    for (int64_t i = 0; i < kLevels; ++i) {
      const auto at = static_cast<size_t>(i);
      EXPECT_EQ(torch::equal(before[at].image, after[at].image), i < k) << "noise " << k << ", level " << i;
    }
  }
}

TEST(MelanoLapgan, ALossAtALevelReachesEveryGeneratorBelowIt) {
  Small small;
  tensor::Batch batch;
  batch.image = torch::rand({2, 3, 64, 64});
  batch.inputs = small.inputs;
  at::Generator random = at::detail::createCPUGenerator(2);
  recipe::StepMemo memo;
  recipe::StepContext context{.batch = batch, .random = random, .memo = memo};
  const auto phases = small.recipe->phases(small.players);
  const auto terms = phases.at(1).losses(context);
  ASSERT_EQ(terms.size(), kSides.size());
  for (size_t k = 0; k < terms.size(); ++k) {
    EXPECT_EQ(terms[k].name, "adversarial" + std::to_string(kSides[k]));
    const auto reached = [&](const std::string& start) {
      std::vector<at::Tensor> parameters;
      for (const auto& p : small.generator().named_parameters())
        if (p.key().starts_with(start)) parameters.push_back(p.value());
      double sum = 0;
      for (const auto& g : torch::autograd::grad({terms[k].value}, parameters, {}, true, false, true))
        if (g.defined()) sum += g.abs().sum().item<double>();
      return sum > 0;
    };
    EXPECT_TRUE(reached("trunk.")) << k;
    EXPECT_TRUE(reached("to_rgb.")) << k;
    for (size_t i = 1; i < kSides.size(); ++i)
      EXPECT_EQ(reached("residual" + std::to_string(kSides[i]) + "."), i <= k) << "loss " << k << ", generator " << i;
  }
}

TEST(MelanoLapgan, DiscriminatorsSeeTheResidualAndThePictureBelowIt) {
  Small small;
  for (const auto& p : small.players.at("discriminator")->named_parameters())
    for (const int64_t side : kSides)
      if (p.key() == fmt::format("level{}.conv{}.weight", side, side)) {
        EXPECT_EQ(p.value().size(1), side == 8 ? 3 : 6) << p.key();
      }
  // Of the two halves of what a discriminator sees, one is the residual: it vanishes where the picture is smooth.
  const auto smooth = nn::pyramid_of(torch::full({1, 3, 64, 64}, 0.3), kLevels, true);
  for (size_t i = 1; i < smooth.size(); ++i) EXPECT_LT(difference(smooth[i].image, smooth[i].low), 1e-6);
}

TEST(MelanoLapgan, RefusesAPyramidThatDoesNotFit) {
  Small small;
  Options options;
  small.recipe->bind(options);
  options.set("levels=5");
  try {
    small.recipe->validate(recipe::image_spec(*small.recipe, 64, {"melanoma"}));
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("levels = 5"));
  }
  EXPECT_NO_THROW(small.recipe->validate(recipe::image_spec(*small.recipe, 512, {"melanoma"})));
}

}  // namespace
}  // namespace derm::models
