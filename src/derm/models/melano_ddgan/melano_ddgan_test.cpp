#include "derm/models/melano_ddgan/melano_ddgan.h"

#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "derm/base/error.h"

namespace derm::models {
namespace {

const std::vector<int64_t> kSides = {8, 16, 32, 64};

struct Small {
  explicit Small(const std::string& upsample) {
    recipe::Catalogue catalogue;
    register_melano_ddgan(catalogue);
    recipe = catalogue.make("melano-ddgan");
    Options options;
    recipe->bind(options);
    options.set("width=4");
    options.set("discriminator_width=4");
    options.set("upsample=" + upsample);
    const auto spec = recipe::image_spec(*recipe, 64, {"melanoma", "nevus"});
    recipe->validate(spec);
    at::Generator random = at::detail::createCPUGenerator(1);
    players = recipe->make_players(spec, random);
    torch::manual_seed(3);
    batch.inputs.latent = torch::randn({2, 64});
    batch.image = torch::rand({2, 3, 64, 64});
  }

  MelanoDdganGenerator& generator() { return dynamic_cast<MelanoDdganGenerator&>(*players.at("generator")); }
  std::vector<std::string> parameter_names(const std::string& player) {
    std::vector<std::string> names;
    for (const auto& p : players.at(player)->named_parameters()) names.push_back(p.key());
    return names;
  }

  std::unique_ptr<recipe::Recipe> recipe;
  recipe::Players players;
  tensor::Batch batch;
};

class MelanoDdgan : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Upsample, MelanoDdgan, testing::Values("resize", "deconv"),
                         [](const auto& instance) { return std::string(instance.param); });

TEST_P(MelanoDdgan, HasOneNoiseOf64) {
  Small small(GetParam());
  EXPECT_EQ(small.recipe->needs().latent, 64);
  int takers = 0;  // of a vector: matrices
  for (const auto& p : small.generator().parameters()) takers += p.dim() == 2;
  EXPECT_EQ(takers, 1);
  // With the trunk's features at 0 there is nothing left that could vary.
  const torch::NoGradGuard guard;
  for (auto& p : small.generator().named_parameters())
    if (p.key().starts_with("trunk.project.")) p.value().zero_();
  small.generator().eval();
  const at::Tensor made = small.generator().generate(small.batch.inputs);
  EXPECT_TRUE(torch::equal(made[0], made[1]));
}

TEST_P(MelanoDdgan, DiscriminatorsSeeImagesAtEveryLevel) {
  Small small(GetParam());
  size_t seen = 0;
  for (const auto& p : small.players.at("discriminator")->named_parameters())
    for (const int64_t side : kSides)
      if (p.key() == fmt::format("level{}.conv{}.weight", side, side)) {
        EXPECT_EQ(p.value().size(1), 3) << p.key();
        ++seen;
      }
  EXPECT_EQ(seen, kSides.size());
  // And what is shown to them has no residual in it.
  for (const auto& level : small.generator().levels(small.batch.inputs)) EXPECT_FALSE(level.low.defined());
}

TEST_P(MelanoDdgan, EveryLevelAddsToTheDoubledImageBelow) {
  Small small(GetParam());
  const torch::NoGradGuard guard;
  small.generator().eval();
  for (auto& p : small.generator().named_parameters())
    if (p.key().starts_with("rgb") && !p.key().starts_with("rgb8.")) p.value().zero_();
  const auto levels = small.generator().levels(small.batch.inputs);
  ASSERT_EQ(levels.size(), kSides.size());
  for (size_t i = 1; i < levels.size(); ++i) {
    EXPECT_EQ(levels[i].image.size(2), kSides[i]);
    const at::Tensor fixed = nn::doubled(levels[i - 1].image);
    const double off = (levels[i].image - fixed).abs().max().item<double>() / fixed.abs().max().item<double>();
    if (std::string(GetParam()) == "resize") {
      EXPECT_LT(off, 1e-6);  // nothing was added: the fixed doubling alone
    } else {
      EXPECT_GT(off, 0.1);  // the doubling is learnt, and starts at random
    }
  }
  const auto names = small.parameter_names("generator");
  EXPECT_EQ(std::count(names.begin(), names.end(), "image64.weight"), std::string(GetParam()) == "deconv");
}

TEST_P(MelanoDdgan, ALossAtALevelReachesEveryGeneratorBelowIt) {
  Small small(GetParam());
  at::Generator random = at::detail::createCPUGenerator(2);
  recipe::StepMemo memo;
  recipe::StepContext context{.batch = small.batch, .random = random, .memo = memo};
  const auto phases = small.recipe->phases(small.players);
  const auto terms = phases.at(1).losses(context);
  ASSERT_EQ(terms.size(), kSides.size());
  for (size_t k = 0; k < terms.size(); ++k) {
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
    for (size_t i = 0; i < kSides.size(); ++i) {
      EXPECT_EQ(reached(fmt::format("rgb{}.", kSides[i])), i <= k) << "loss " << k << ", level " << i;
      if (i > 0) {
        EXPECT_EQ(reached(fmt::format("up{}.", kSides[i])), i <= k) << "loss " << k << ", level " << i;
      }
    }
  }
}

TEST(MelanoDdganOptions, RefuseAnUnknownDoubling) { EXPECT_THROW(Small("bicubic"), UsageError); }

}  // namespace
}  // namespace derm::models
