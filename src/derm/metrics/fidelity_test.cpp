// Known answers of the measures on features: Fréchet distance, Inception Score, precision and its kin.
#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/metrics/frechet.h"
#include "derm/metrics/inception_score.h"
#include "derm/metrics/kid.h"
#include "derm/metrics/prdc.h"

namespace derm::metrics {
namespace {

at::Tensor random(int64_t rows, int64_t columns, uint64_t seed) {
  torch::manual_seed(seed);
  return torch::randn({rows, columns}, at::kDouble);
}

TEST(FrechetDistance, OfTwoGaussiansHasItsClosedForm) {
  // Diagonal covariances: |m|^2 + sum (s1 - s2)^2 = 9 + (1 - 2)^2 + (3 - 1)^2.
  const auto m1 = torch::zeros({2}, at::kDouble), m2 = torch::tensor({3.0, 0.0}, at::kDouble);
  const auto s1 = torch::diag(torch::tensor({1.0, 9.0}, at::kDouble)),
             s2 = torch::diag(torch::tensor({4.0, 1.0}, at::kDouble));
  EXPECT_NEAR(frechet_distance(m1, s1, m2, s2), 14.0, 1e-12);
  // The same turned by 30 degrees.
  const double c = std::sqrt(3.0) / 2, s = 0.5;
  const auto turn = torch::tensor({{c, -s}, {s, c}}, at::kDouble);
  const auto turned = [&](const at::Tensor& t) { return turn.matmul(t).matmul(turn.t()); };
  EXPECT_NEAR(frechet_distance(turn.matmul(m1), turned(s1), turn.matmul(m2), turned(s2)), 14.0, 1e-12);
}

TEST(FrechetDistance, OfASetWithItselfIsNothing) {
  const auto wide = random(50, 300, 1), tall = random(300, 50, 2);
  EXPECT_LT(frechet_distance(wide, wide), 1e-9);
  EXPECT_LT(frechet_distance(tall, tall), 1e-9);
  FeatureMoments moments;
  moments.add(wide);
  EXPECT_LT(frechet_distance(moments, moments), 1e-9);
}

TEST(FrechetDistance, IsTheSameFromFeaturesAndFromMomentsWhateverTheRanks) {
  for (const auto& [n, m, d] : {std::tuple{40, 30, 100}, {200, 30, 100}, {300, 200, 100}}) {
    const auto x = random(n, d, 3), y = random(m, d, 4) * 1.5 + 0.2;
    FeatureMoments a, b;
    a.add(x);
    b.add(y);
    const double from_features = frechet_distance(x, y);
    EXPECT_NEAR(frechet_distance(a, b), from_features, 1e-9 * from_features);
    EXPECT_NEAR(frechet_distance(y, x), from_features, 1e-9 * from_features);
  }
}

TEST(FrechetDistance, OfAShiftIsItsSquare) {
  const auto x = random(100, 20, 5);
  EXPECT_NEAR(frechet_distance(x, x + 0.5), 20 * 0.25, 1e-9);
  // Collapse to one point leaves the trace and the means.
  const auto point = torch::zeros({100, 20}, at::kDouble);
  EXPECT_NEAR(frechet_distance(x, point), (x.mean(0).square().sum() + x.var(0, true).sum()).item<double>(), 1e-9);
}

TEST(FrechetDistance, RefusesTooFewTwoWidthsAndWhatIsNotFinite) {
  EXPECT_THROW(frechet_distance(random(1, 4, 1), random(9, 4, 1)), UsageError);
  EXPECT_THROW(frechet_distance(random(9, 4, 1), random(9, 5, 1)), UsageError);
  auto broken = random(9, 4, 1);
  broken[3][2] = NAN;
  try {
    frechet_distance(random(9, 4, 1), broken);
    FAIL();
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("fake features of image 3 are not finite"));
  }
  EXPECT_THROW(frechet_distance(random(9, 4, 1) * 1e200, random(9, 4, 1)), DataError);
  EXPECT_THROW(FeatureMoments().covariance(), UsageError);
  EXPECT_THROW(FeatureMoments().add(broken), DataError);
}

TEST(FeatureMoments, OfBatchesAreThoseOfTheWholeDespiteALargeMean) {
  const auto x = random(500, 8, 6) + 1e6;
  FeatureMoments batches, first, second;
  for (int64_t i = 0; i < 500; i += 7) batches.add(x.slice(0, i, std::min<int64_t>(i + 7, 500)));
  first.add(x.slice(0, 0, 123));
  second.add(x.slice(0, 123));
  first.merge(second);
  const auto centred = x - x.mean(0);
  const auto covariance = centred.t().matmul(centred) / 499;
  for (const auto* m : {&batches, &first}) {
    EXPECT_EQ(m->count(), 500);
    EXPECT_LT((m->mean() - x.mean(0)).abs().max().item<double>(), 1e-9);
    EXPECT_LT((m->covariance() - covariance).abs().max().item<double>(), 1e-8);
  }
  EXPECT_THROW(first.add(random(3, 9, 1)), UsageError);
}

TEST(KernelSubsets, AreThoseThatTheDistanceUses) {
  const auto x = random(40, 6, 7), y = random(30, 6, 8);
  const auto subsets = kernel_subsets(40, 30, 20, 5);
  ASSERT_EQ(subsets.size(), 20u);
  double mean = 0;
  for (const auto& s : subsets) {
    EXPECT_EQ(std::get<0>(at::_unique(s.real)).size(0), 15);  // without replacement
    mean += polynomial_mmd2(x.index_select(0, s.real), y.index_select(0, s.fake)) / 20;
  }
  EXPECT_NEAR(kernel_distance(x, y, 20, 5).mean, mean, 1e-14);
}

TEST(InceptionScore, IsTheNumberOfClassesWhenEachImageIsSureOfAnother) {
  // 40 images, 4 classes in turn: every split of 4 holds each class once.
  auto logits = torch::full({40, 4}, -1000.0);
  for (int64_t i = 0; i < 40; ++i) logits[i][i % 4] = 0;
  const auto score = inception_score(logits, 10);
  EXPECT_NEAR(score.mean, 4.0, 1e-12);
  EXPECT_NEAR(score.deviation, 0.0, 1e-12);
}

TEST(InceptionScore, IsOneWhenAllImagesAreAlike) {
  EXPECT_NEAR(inception_score(torch::tensor({0.3, -1.0, 2.0}).repeat({30, 1})).mean, 1.0, 1e-12);
}

TEST(InceptionScore, RefusesTooFew) {
  EXPECT_THROW(inception_score(torch::zeros({19, 4})), UsageError);
  EXPECT_THROW(inception_score(torch::full({40, 4}, INFINITY)), DataError);
}

TEST(Prdc, OfASetWithItselfIsOneEverywhere) {
  const auto x = random(80, 12, 9);
  const Prdc r = precision_recall_density_coverage(x, x);
  EXPECT_EQ(r.precision, 1);
  EXPECT_EQ(r.recall, 1);
  EXPECT_DOUBLE_EQ(r.density, 1);
  EXPECT_EQ(r.coverage, 1);
}

TEST(Prdc, IsCountedByHandOnALine) {
  // Real 0 1 2 3 4 5, fake 0.5 and far away. With k = 1 every real ball has radius 1.
  const auto real = torch::arange(6, at::kDouble).view({-1, 1});
  const auto fake = torch::tensor({0.5, 50.0, 52.0, 54.0, 56.0, 58.0}, at::kDouble).view({-1, 1});
  const Prdc r = precision_recall_density_coverage(real, fake, 1, 1);
  EXPECT_DOUBLE_EQ(r.precision, 1.0 / 6);
  EXPECT_DOUBLE_EQ(r.recall, 1.0);  // the ball of 0.5 reaches to 50
  EXPECT_DOUBLE_EQ(r.density, 2.0 / 6);
  EXPECT_DOUBLE_EQ(r.coverage, 2.0 / 6);
}

TEST(Prdc, SetsApartHaveNothingInCommon) {
  const Prdc r = precision_recall_density_coverage(random(50, 5, 1), random(50, 5, 2) + 100);
  EXPECT_EQ(r.precision + r.recall + r.density + r.coverage, 0);
}

TEST(Prdc, GivesACollapsedSetPrecisionAndNoRecall) {
  const auto real = random(200, 2, 1);
  const Prdc r = precision_recall_density_coverage(real, real.mean(0) + 0.01 * random(200, 2, 2));
  EXPECT_EQ(r.precision, 1);
  EXPECT_LT(r.recall, 0.05);
}

TEST(Prdc, DoesNotDependOnTheOriginOrTheBlocks) {
  const auto x = random(1100, 4, 3), y = random(1050, 4, 4) * 1.2;
  const Prdc a = precision_recall_density_coverage(x, y), b = precision_recall_density_coverage(x + 1000, y + 1000);
  EXPECT_DOUBLE_EQ(a.precision, b.precision);
  EXPECT_DOUBLE_EQ(a.density, b.density);
}

TEST(Prdc, RefusesSetsNotLargerThanTheNeighbourhood) {
  EXPECT_THROW(precision_recall_density_coverage(random(5, 3, 1), random(50, 3, 1)), UsageError);
  EXPECT_NO_THROW(precision_recall_density_coverage(random(6, 3, 1), random(6, 3, 1)));
  EXPECT_THROW(precision_recall_density_coverage(random(9, 3, 1), random(9, 4, 1)), UsageError);
}

}  // namespace
}  // namespace derm::metrics
