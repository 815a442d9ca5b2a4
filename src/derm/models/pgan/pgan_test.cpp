#include "derm/models/pgan/pgan.h"

#include <ATen/CPUGeneratorImpl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/models/pgan/networks.h"

namespace derm::models {
namespace {

using testing::HasSubstr;

TEST(Growth, FollowsTheImagesShown) {
  const GrowthPlan plan{.levels = 3, .stable = {10, 20}, .fade = {4, 8}};
  const auto at = [&](int64_t images) { return plan.at(images).value(); };
  EXPECT_EQ(at(0), 0);
  EXPECT_EQ(at(10), 0);
  EXPECT_EQ(at(11), 0.25);  // the first of four images that fade 8 px in has been shown
  EXPECT_EQ(at(13), 0.75);
  EXPECT_EQ(at(14), 1);
  EXPECT_EQ(at(34), 1);
  EXPECT_EQ(at(38), 1.5);
  EXPECT_EQ(at(42), 2);
  EXPECT_EQ(at(1'000'000), 2);
  EXPECT_EQ(plan.at(38).size_px(), 16);  // that is what fades in
  EXPECT_EQ(GrowthPlan{}.at(7).value(), 0);
}

TEST(Growth, GoesThroughOneNumberAndBack) {
  for (const double value : {0.0, 0.25, 1.0, 1.875, 3.0}) EXPECT_EQ(Growth::of(value).value(), value);
  EXPECT_EQ(Growth::of(1.875).level, 2);
  EXPECT_EQ(Growth::of(1.875).alpha, 0.875);
}

struct Pair {
  PganShape shape{.size_px = 32, .width = 4, .width_most = 16, .latent = 8, .classes = 2};
  PganGenerator generator{shape};
  PganCritic critic{shape};
  tensor::Inputs inputs;
  Pair() {
    at::Generator random = at::detail::createCPUGenerator(3);
    nn::initialise_equalised(generator, random);
    nn::initialise_equalised(critic, random);
    inputs.latent = torch::randn({2, 8}, random);
    inputs.label = torch::tensor({0, 1});
  }
  at::Tensor at(double growth) { return generator.generate_at(inputs, Growth::of(growth), at::kFloat); }
};

TEST(PganGenerator, BeginsAFadeWithTheDoubledPictureOfTheSizeBefore) {
  Pair pair;
  const auto before = pair.at(2.0), fading = pair.at(2.0 + 1e-9), after = pair.at(3.0), half = pair.at(2.5);
  EXPECT_EQ(before.size(2), 16);
  EXPECT_EQ(fading.size(2), 32);
  EXPECT_LT((fading - at::upsample_nearest2d(before, {32, 32})).abs().max().item<double>(), 1e-5);
  EXPECT_LT((half - 0.5 * (fading + after)).abs().max().item<double>(), 1e-5);
  EXPECT_GT((after - fading).abs().mean().item<double>(), 0.01);
}

TEST(PganCritic, BeginsAFadeWithTheScoreOfTheSizeBefore) {
  Pair pair;
  const auto large = torch::randn({2, 3, 32, 32});
  const auto small = at::avg_pool2d(large, {2, 2});
  const auto label = torch::tensor({0, 1});
  const auto before = pair.critic.forward(small, label, Growth::of(2.0));
  const auto fading = pair.critic.forward(large, label, Growth::of(2.0 + 1e-9));
  EXPECT_EQ(before.sizes(), (std::vector<int64_t>{2}));
  EXPECT_LT((fading - before).abs().max().item<double>(), 1e-5);
  EXPECT_GT((pair.critic.forward(large, label, Growth::of(3.0)) - before).abs().min().item<double>(), 1e-4);
}

TEST(Pgan, AClassChangesThePictureAndTheScore) {
  Pair pair;
  const auto first = pair.at(3.0);
  pair.inputs.label = torch::tensor({1, 0});
  EXPECT_GT((pair.at(3.0) - first).abs().mean().item<double>(), 0.01);
  const auto zero = torch::tensor({0, 0}), one = torch::tensor({1, 1});
  const Growth full = Growth::of(3.0);
  EXPECT_GT((pair.critic.forward(first, zero, full) - pair.critic.forward(first, one, full)).abs().min().item<double>(),
            1e-4);
}

TEST(PganGenerator, IsAsWideAsPublishedWhenAsked) {
  const PganShape published{.size_px = 256, .width = 64, .width_most = 512};
  EXPECT_EQ(published.levels(), 7);
  EXPECT_EQ(published.channels(6), 64);   // 256 px
  EXPECT_EQ(published.channels(5), 128);  // 128 px
  EXPECT_EQ(published.channels(3), 512);  // 32 px
  EXPECT_EQ(published.channels(0), 512);  // 4 px
}

TEST(Pgan, RefusesListsOfTheWrongLengthAndASignThatItsCriticLacks) {
  recipe::Catalogue catalogue;
  register_pgan(catalogue);
  const auto sentence = [&](const std::vector<std::string>& set) -> std::string {
    auto recipe = catalogue.make("pgan");
    Options options;
    recipe->bind(options);
    for (const auto& assignment : set) options.set(assignment);
    try {
      recipe->validate(recipe::image_spec(*recipe, 128, {"nevus"}));
    } catch (const UsageError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(sentence({"phase_images=1,2,3,4,5"}), "");
  EXPECT_EQ(sentence({"phase_images=1"}), "");
  EXPECT_THAT(sentence({"phase_images=1,2,3"}), HasSubstr("5: one for each size from 4 px to below 128 px"));
  EXPECT_THAT(sentence({"phase_batch=0"}), HasSubstr("phase_batch holds 0"));
  EXPECT_THAT(sentence({"augmentation=ada"}), HasSubstr("expected none or diffaugment"));
  EXPECT_THAT(sentence({"width=0"}), HasSubstr("width = 0"));
}

}  // namespace
}  // namespace derm::models
