// Known answers of the measures on images: sliced Wasserstein, MS-SSIM, LPIPS, histograms, pairs.
#include <cmath>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/metrics/histogram.h"
#include "derm/metrics/lpips.h"
#include "derm/metrics/ms_ssim.h"
#include "derm/metrics/pairs.h"
#include "derm/metrics/swd.h"
#include "derm/metrics/testing/python.h"
#include "derm/tensor/safetensors.h"

namespace derm::metrics {
namespace {

at::Tensor noise(int64_t count, int64_t side, uint64_t seed) {
  torch::manual_seed(seed);
  return torch::rand({count, 3, side, side}) * 2 - 1;
}

TEST(LaplacianPyramid, OfAFlatImageHoldsItInTheLastLevelAlone) {
  const auto levels = laplacian_pyramid(torch::full({1, 3, 64, 64}, 0.25));
  ASSERT_EQ(levels.size(), 3u);  // 64, 32, 16
  EXPECT_LT(levels[0].abs().max().item<double>(), 1e-6);
  EXPECT_LT(levels[1].abs().max().item<double>(), 1e-6);
  EXPECT_LT((levels[2] - 0.25).abs().max().item<double>(), 1e-6);
}

TEST(SlicedWasserstein, IsSmallForOneSourceAndLargeForTwo) {
  const auto a = noise(24, 32, 1), b = noise(24, 32, 2);
  auto uneven = noise(24, 32, 3);
  uneven.narrow(0, 0, 12).mul_(0.05);  // half of the images without contrast
  const Swd same = sliced_wasserstein(a, b), other = sliced_wasserstein(a, uneven);
  ASSERT_EQ(same.levels.size(), 2u);
  EXPECT_EQ(same.levels[0].size_px, 32);
  EXPECT_LT(same.mean, 60);
  EXPECT_GT(other.mean, 4 * same.mean);
}

TEST(SlicedWasserstein, DoesNotDependOnTheBatches) {
  const auto a = noise(10, 32, 1), b = noise(10, 32, 2);
  PatchDescriptors one({}, 0), two({}, 1);
  one.add(a.narrow(0, 0, 3));
  one.add(a.narrow(0, 3, 7));
  two.add(b);
  EXPECT_EQ(sliced_wasserstein(one, two).mean, sliced_wasserstein(a, b).mean);
  EXPECT_NE(sliced_wasserstein(a, b, {.seed = 1}).mean, sliced_wasserstein(a, b).mean);
}

TEST(SlicedWasserstein, OfSomeOfTheImagesTakesTheirPatchesAlone) {
  const auto a = noise(10, 32, 1), b = noise(4, 32, 2);
  PatchDescriptors all({}, 0), first({}, 0), other({}, 1);
  all.add(a.narrow(0, 0, 3));
  all.add(a.narrow(0, 3, 7));
  first.add(a.narrow(0, 0, 4));
  other.add(b);
  EXPECT_EQ(sliced_wasserstein(all.subset({0, 1, 2, 3}), other).mean, sliced_wasserstein(first, other).mean);
  EXPECT_NEAR(sliced_wasserstein(first, other, 1).mean, sliced_wasserstein(first, other).mean, 5);  // 128 of 512 lines
  const PatchDescriptors two = all.subset({9, 3});
  EXPECT_EQ(two.images(), 2);
  EXPECT_TRUE(torch::equal(two.level(0).narrow(0, 128, 128), all.level(0).narrow(0, 3 * 128, 128)));
}

TEST(SlicedWasserstein, DemandsAsManyImagesOfOneSize) {
  EXPECT_THROW(sliced_wasserstein(noise(4, 32, 1), noise(5, 32, 1)), UsageError);
  EXPECT_THROW(sliced_wasserstein(noise(4, 32, 1), noise(4, 64, 1)), UsageError);
  EXPECT_THROW(sliced_wasserstein(noise(4, 8, 1), noise(4, 8, 1)), UsageError);
  EXPECT_THROW(sliced_wasserstein(noise(4, 66, 1), noise(4, 66, 1)), UsageError);
  EXPECT_THROW(sliced_wasserstein(torch::zeros({4, 3, 32, 32}), noise(4, 32, 1)), DataError);
}

TEST(MsSsim, IsOneForEqualImagesAndNearNothingForTwoNoises) {
  const auto a = noise(2, 176, 1), b = noise(2, 176, 2);
  EXPECT_LT((ms_ssim(a, a) - 1).abs().max().item<double>(), 1e-12);
  EXPECT_LT(ms_ssim(a, b).max().item<double>(), 0.3);
}

TEST(MsSsim, OfTwoFlatImagesIsTheLuminanceTermByHand) {
  // Values 127.5 and 191.25, no contrast: (2 m n + c1) / (m^2 + n^2 + c1) to the power of the last weight.
  const auto a = torch::zeros({1, 3, 176, 176}), b = torch::full({1, 3, 176, 176}, 0.5);
  const double m = 127.5, n = 191.25, c1 = 2.55 * 2.55;
  EXPECT_NEAR(ms_ssim(a, b).item<double>(), std::pow((2 * m * n + c1) / (m * m + n * n + c1), 0.1333), 1e-9);
}

TEST(MsSsim, MakesSmallImagesLargerForDiversityAndSaysSo) {
  const auto pairs = pairs_of(4, 10, 0);
  EXPECT_EQ(pairs.size(), 6u);
  const auto small = ms_ssim_diversity(noise(4, 64, 1), pairs), large = ms_ssim_diversity(noise(4, 176, 1), pairs);
  EXPECT_TRUE(small.upsampled);
  EXPECT_FALSE(large.upsampled);
  EXPECT_EQ(large.pairs, 6);
  EXPECT_NEAR(ms_ssim_diversity(noise(1, 64, 1).repeat({4, 1, 1, 1}), pairs).mean, 1, 1e-9);
  EXPECT_THROW(ms_ssim(noise(1, 175, 1), noise(1, 175, 1)), UsageError);
  EXPECT_THROW(ms_ssim_diversity(noise(2, 64, 1), {{0, 2}}), UsageError);
}

TEST(Pairs, AreAllOfAClassAndEachOnce) {
  const auto pairs = pairs_within_classes({"a", "b", "a", "c", "a", "b"}, 100, 1);
  using Pair = std::pair<int64_t, int64_t>;
  EXPECT_THAT(pairs, ::testing::UnorderedElementsAre(Pair{0, 2}, Pair{0, 4}, Pair{2, 4}, Pair{1, 5}));
}

TEST(Pairs, AreDrawnEvenlyAndRepeatWithTheirSeed) {
  const auto drawn = pairs_of(50, 200, 7);
  EXPECT_EQ(std::set(drawn.begin(), drawn.end()).size(), 200u);
  for (const auto& [a, b] : drawn) EXPECT_TRUE(0 <= a && a < b && b < 50);
  EXPECT_EQ(drawn, pairs_of(50, 200, 7));
  EXPECT_NE(drawn, pairs_of(50, 200, 8));
  double mean = 0;  // of b over all pairs: 2/3 of the range
  for (const auto& [a, b] : drawn) mean += static_cast<double>(b) / 200;
  EXPECT_NEAR(mean, 33, 4);
  EXPECT_THROW(pairs_of(1, 5, 0), UsageError);
  EXPECT_THROW(pairs_within_classes({"a", "b"}, 5, 0), UsageError);
}

TEST(Histogram, OfTwoColoursApartIsKnown) {
  // All values 0 against all values 255: ln 2, and the whole way.
  const auto black = torch::full({1, 3, 4, 4}, -1.0), white = torch::ones({1, 3, 4, 4});
  const auto d = histogram_distance(black, white);
  EXPECT_NEAR(d.jensen_shannon, std::log(2.0), 1e-12);
  EXPECT_NEAR(d.wasserstein, 1, 1e-12);
  // Ten levels brighter: 10/255 of the way.
  EXPECT_NEAR(histogram_distance(black, black + 20.0 / 255).wasserstein, 10.0 / 255, 1e-12);
  EXPECT_EQ(histogram_distance(white, white).jensen_shannon, 0);
  EXPECT_EQ(histogram_distance(white, white).wasserstein, 0);
}

TEST(Histogram, AddsUpOverBatchesAndNeedsAnImage) {
  const auto a = noise(6, 16, 1);
  ColourHistogram whole, parts;
  whole.add(a);
  parts.add(a.narrow(0, 0, 2));
  parts.add(a.narrow(0, 2, 4));
  EXPECT_TRUE(torch::equal(whole.shares(), parts.shares()));
  EXPECT_NEAR(whole.shares().sum().item<double>(), 3, 1e-12);
  EXPECT_THROW(ColourHistogram().shares(), UsageError);
  EXPECT_THROW(whole.add(torch::full({1, 3, 2, 2}, NAN)), DataError);
}

TEST(Lpips, IsNothingForEqualImagesAndSymmetric) {
  const auto file = testing::kWeights / "lpips_squeeze_v0.1.pt";
  if (!std::filesystem::exists(file)) GTEST_SKIP() << "there is no " << file;
  const Lpips lpips(file);
  const auto a = noise(2, 64, 1), b = noise(2, 64, 2);
  EXPECT_EQ(lpips.distance(a, a).abs().max().item<float>(), 0);
  EXPECT_TRUE(torch::allclose(lpips.distance(a, b), lpips.distance(b, a)));
  EXPECT_GT(lpips.distance(a, b).min().item<float>(), lpips.distance(a, a * 0.98).max().item<float>());
  EXPECT_EQ(lpips.sha256(), "e122114da16772a7e091081857c84aa938081ae6a36195ccbd8b6569704a4258");
  EXPECT_NEAR(lpips.diversity(at::cat({a, b}), {{0, 2}, {1, 3}}).mean, lpips.distance(a, b).mean().item<double>(),
              1e-6);
  EXPECT_THROW(lpips.distance(noise(1, 16, 1), noise(1, 16, 1)), UsageError);
}

TEST(Lpips, RefusesAnotherNetwork) {
  const testing::Folder folder;
  tensor::write_safetensors(folder.path() / "x.safetensors", {{"features.0.weight", torch::zeros({64, 3, 5, 5})}});
  try {
    Lpips lpips(folder.path() / "x.safetensors");
    FAIL();
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("features.0.weight is [64, 3, 5, 5], expected [64, 3, 3, 3]"));
    EXPECT_THAT(error.what(), ::testing::HasSubstr("missing (features.0.bias"));
  }
}

}  // namespace
}  // namespace derm::metrics
