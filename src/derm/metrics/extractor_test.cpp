#include "derm/metrics/extractor.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/metrics/kid.h"

namespace derm::metrics {
namespace {

constexpr double kSumOnWhite = 197.15726;

at::Tensor noise_images(int64_t count, uint64_t seed) {
  torch::manual_seed(seed);
  return torch::rand({count, 3, 32, 32}) * 2 - 1;
}

TEST(RandomExtractor, HasTheSameWeightsEverywhere) {
  const auto extractor = random_extractor();
  EXPECT_EQ(extractor->name(), "random-conv-512");
  EXPECT_EQ(extractor->dimension(), 512);
  // Away from the border a white image gives relu(sum of a filter's weights) at the first level. The numbers are this
  // project's own; they change only if the generator of its random numbers or the seed does.
  const auto f = extractor->features(torch::ones({1, 3, 64, 64}));
  ASSERT_EQ(f.sizes(), (at::IntArrayRef{1, 512}));
  EXPECT_TRUE(torch::equal(f, random_extractor()->features(torch::ones({1, 3, 64, 64}))));
  EXPECT_NEAR(f.sum().item<double>(), kSumOnWhite, 1e-2);
}

TEST(RandomExtractor, GivesAnImageTheSameFeaturesInAnyBatch) {
  const auto extractor = random_extractor();
  const auto images = noise_images(70, 1);
  const auto together = extractor->features(images);
  EXPECT_EQ(together.size(0), 70);
  EXPECT_LT((together[69] - extractor->features(images.narrow(0, 69, 1))[0]).abs().max().item<double>(), 1e-5);
}

TEST(RandomExtractor, AveragesAreasOfLargerImages) {
  const auto extractor = random_extractor();
  const auto small = torch::rand({1, 3, 64, 64}) * 2 - 1;
  const auto large = small.repeat_interleave(3, 2).repeat_interleave(3, 3);
  EXPECT_LT((extractor->features(small) - extractor->features(large)).abs().max().item<double>(), 1e-4);
}

TEST(RandomExtractor, OrdersSetsByHowMuchTheyAreBlurred) {
  const auto extractor = random_extractor();
  const auto real = extractor->features(noise_images(128, 2));
  const auto distance = [&](int64_t kernel) {
    auto images = noise_images(128, 3);
    if (kernel > 1) images = torch::avg_pool2d(images, kernel, 1, kernel / 2);
    return kernel_distance(real, extractor->features(images)).mean;
  };
  const double none = distance(1), some = distance(3), much = distance(7);
  EXPECT_LT(none, some);
  EXPECT_LT(some, much);
}

TEST(RandomExtractor, RefusesWhatIsNoImage) {
  EXPECT_THROW(random_extractor()->features(torch::zeros({3, 64, 64})), UsageError);
  EXPECT_EQ(random_extractor()->features(torch::zeros({0, 3, 64, 64})).size(0), 0);
}

}  // namespace
}  // namespace derm::metrics
