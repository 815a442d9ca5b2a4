// A recipe that cannot learn eight images by heart cannot learn anything.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "subject.h"

namespace derm {
namespace {

class Overfit : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Recipes, Overfit, testing::ValuesIn(models::catalogue().names()));

TEST_P(Overfit, LearnsEightImagesByHeart) {
  // A judge learns the images themselves, without the changes that it is to see through later.
  Subject subject(GetParam(), {"view_least_side=1", "view_most_side=1", "view_stretch=0", "view_turn_deg=0",
                               "view_light=0", "view_colour=0", "view_blur_px=0", "view_noise=0", "view_jpeg=0"});
  if (subject.recipe->needs().latent > 0 && !subject.recipe->needs().map)
    GTEST_SKIP() << "from noise, where nothing ties a noise to an image: not shown yet to learn eight images by heart";
  const auto batch = subject.batch(8);
  auto optimisers = subject.optimisers();
  for (int64_t i = 0; i < 400; ++i) subject.step(batch, i, optimisers);
  torch::NoGradGuard guard;
  if (recipe::is_judge(subject.recipe->kind())) {
    auto& judge = recipe::judge_of(subject.players);
    judge.eval();
    std::map<std::string, double> figures;
    for (const auto& [name, value] : subject.recipe->figures(judge, {batch}, {})) figures[name] = value;
    if (figures.contains("error")) {
      EXPECT_LT(figures.at("error"), 0.1);  // 1 - mean IoU
    }
    if (figures.contains("accuracy")) {
      EXPECT_EQ(figures.at("accuracy"), 1.0);
    }
    if (figures.contains("missed")) {
      EXPECT_EQ(figures.at("missed"), 0.0);
    }
    return;
  }
  auto& generator = recipe::generator_of(subject.players);
  generator.eval();
  // Each image within a mean L1 of 0.10 (of a range of 2) of what its own inputs give.
  const auto distance = (generator.generate(batch.inputs) - batch.image).abs().mean({1, 2, 3});
  for (int64_t i = 0; i < 8; ++i) EXPECT_LT(distance[i].item<double>(), 0.10) << "image " << i;
}

}  // namespace
}  // namespace derm
