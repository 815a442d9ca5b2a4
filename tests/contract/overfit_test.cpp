// A recipe that cannot learn eight images by heart cannot learn anything.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "subject.h"

namespace derm {
namespace {

class Overfit : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Recipes, Overfit, testing::ValuesIn(models::catalogue().names()));

TEST_P(Overfit, LearnsEightImagesByHeart) {
  Subject subject(GetParam());
  const auto batch = subject.batch(8);
  auto optimisers = subject.optimisers();
  for (int64_t i = 0; i < 400; ++i) subject.step(batch, i, optimisers);
  torch::NoGradGuard guard;
  auto& generator = recipe::generator_of(subject.players);
  generator.eval();
  // Each image within a mean L1 of 0.10 (of a range of 2) of what its own inputs give.
  const auto distance = (generator.generate(batch.inputs) - batch.image).abs().mean({1, 2, 3});
  for (int64_t i = 0; i < 8; ++i) EXPECT_LT(distance[i].item<double>(), 0.10) << "image " << i;
}

}  // namespace
}  // namespace derm
