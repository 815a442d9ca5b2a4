#include "derm/models/melano_dcgan/melano_dcgan.h"

#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/nn/spectral.h"

namespace derm::models {
namespace {

const std::vector<std::string> kConditions = {"melanoma", "nevus", "seborrheic_keratosis"};

std::unique_ptr<recipe::Recipe> small(const std::vector<std::string>& set = {}) {
  recipe::Catalogue catalogue;
  register_melano_dcgan(catalogue);
  auto recipe = catalogue.make("melano-dcgan");
  Options options;
  recipe->bind(options);
  options.set("width=4");
  options.set("discriminator_width=4");
  for (const std::string& assignment : set) options.set(assignment);
  return recipe;
}

recipe::Players players_of(const recipe::Recipe& recipe, int64_t size_px) {
  at::Generator random = at::detail::createCPUGenerator(1);
  return recipe.make_players(recipe::image_spec(recipe, size_px, kConditions), random);
}

TEST(MelanoDcgan, MakesImagesOf64To512PxFromANoiseOf64) {
  const auto recipe = small();
  EXPECT_EQ(recipe->needs().latent, 64);
  EXPECT_FALSE(recipe->needs().label);
  EXPECT_FALSE(recipe->needs().map);
  const torch::NoGradGuard guard;
  for (const int64_t size : {64, 128, 256, 512}) {
    const auto players = players_of(*recipe, size);
    const tensor::Inputs inputs{.latent = torch::randn({2, 64}), .label = {}, .map = {}};
    EXPECT_EQ(recipe::generator_of(players).generate(inputs).sizes(), (std::vector<int64_t>{2, 3, size, size}));
  }
  recipe::ImageSpec spec{.size_px = 100, .conditions = kConditions};
  EXPECT_THROW(recipe->validate(spec), UsageError);
}

TEST(MelanoDcgan, IsALeastSquaresGan) {
  // A discriminator whose weights are all 0 answers 0: (0 - 1)^2 on real, 0^2 on generated, (0 - 1)^2 for the
  // generator.
  const auto recipe = small({"discriminator_norm=none"});
  const auto players = players_of(*recipe, 64);
  {
    const torch::NoGradGuard guard;
    for (at::Tensor& p : players.at("discriminator")->parameters()) p.zero_();
  }
  tensor::Batch batch;
  batch.image = torch::rand({2, 3, 64, 64});
  batch.inputs.latent = torch::randn({2, 64});
  at::Generator random = at::detail::createCPUGenerator(2);
  recipe::StepMemo memo;
  recipe::StepContext context{.batch = batch, .random = random, .memo = memo};
  std::map<std::string, double> values;
  for (const auto& phase : recipe->phases(players))
    for (const auto& term : phase.losses(context))
      values[phase.name + "/" + term.name] = term.weight * term.value.item<double>();
  const std::map<std::string, double> expected = {{"d_main/real", 0.5}, {"d_main/fake", 0}, {"g_main/adversarial", 1}};
  EXPECT_EQ(values, expected);
}

TEST(MelanoDcgan, DiscriminatorsConvolutionsHaveANormOfOneByDefault) {
  const auto recipe = small();
  const auto players = players_of(*recipe, 64);
  const torch::nn::Module& discriminator = *players.at("discriminator");
  const at::Tensor weight = discriminator.named_parameters()["level64.conv32.weight"];
  const auto spectral =
      std::dynamic_pointer_cast<nn::SpectralNormImpl>(discriminator.named_modules()["level64.conv32.spectral"]);
  ASSERT_NE(spectral, nullptr);
  const torch::NoGradGuard guard;
  at::Tensor normal;
  for (int i = 0; i < 100; ++i) normal = spectral->forward(weight);
  EXPECT_NEAR(std::get<1>(at::svd(normal.flatten(1))).max().item<double>(), 1, 1e-3);
}

TEST(MelanoDcgan, HeedsTheConditionOnlyWhereItIsClassConditional) {
  const torch::NoGradGuard guard;
  for (const bool conditional : {false, true}) {
    const auto recipe = small({conditional ? "class_conditional=true" : "class_conditional=false"});
    EXPECT_EQ(recipe->needs().label, conditional);
    const auto players = players_of(*recipe, 64);
    players.at("generator")->eval();
    tensor::Inputs inputs{.latent = torch::randn({1, 64}), .label = torch::zeros({1}, torch::kLong), .map = {}};
    const at::Tensor first = recipe::generator_of(players).generate(inputs);
    inputs.label = torch::full({1}, 2, torch::kLong);
    EXPECT_EQ(torch::equal(first, recipe::generator_of(players).generate(inputs)), !conditional);
  }
}

TEST(MelanoDcgan, MovesTheAugmentationsProbabilityWithItsDiscriminator) {
  const auto recipe = small({"discriminator_norm=none", "augmentation=ada", "augmentation_kimg=0.1"});
  const auto players = players_of(*recipe, 64);
  tensor::Batch batch;
  batch.image = torch::rand({2, 3, 64, 64});
  batch.inputs.latent = torch::randn({2, 64});
  at::Generator random = at::detail::createCPUGenerator(2);
  {
    // One that says 1 whatever it sees: above 0.5, so it counts as recognised.
    const torch::NoGradGuard guard;
    for (auto& p : players.at("discriminator")->named_parameters()) {
      p.value().zero_();
      if (p.key() == "level64.logit.bias") p.value().fill_(1);
    }
  }
  for (int i = 0; i < 4; ++i) {
    recipe::StepMemo memo;
    recipe::StepContext context{.batch = batch, .random = random, .memo = memo};
    for (const auto& phase : recipe->phases(players)) phase.losses(context);
  }
  EXPECT_NEAR(nn::augmentation_of(*players.at("discriminator")).probability().item<double>(), 0.08, 1e-6);  // 8 of 100
}

}  // namespace
}  // namespace derm::models
