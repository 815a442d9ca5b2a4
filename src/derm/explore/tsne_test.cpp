#include "derm/explore/tsne.h"

#include <cmath>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/base/random.h"
#include "derm/explore/map.h"
#include "derm/metrics/testing/python.h"

namespace derm::explore {
namespace {

/// Three clusters of 30 points in 12 dimensions, ten deviations apart.
at::Tensor clusters() {
  Rng random(3);
  at::Tensor x = torch::empty({90, 12}, at::kDouble);
  for (int64_t i = 0; i < x.numel(); ++i) x.data_ptr<double>()[i] = random.normal();
  for (int64_t i = 0; i < 90; ++i) x[i][i / 30] += 10;
  return x;
}
std::vector<double> values(const at::Tensor& t) { return {t.data_ptr<double>(), t.data_ptr<double>() + t.numel()}; }
TsneOptions small() {
  TsneOptions options;
  options.perplexity = 10;
  options.iterations = 400;
  return options;
}

TEST(Affinities, HaveThePerplexityThatWasAsked) {
  const std::vector<double> x = values(clusters());
  const std::vector<double> p = affinities(x, 90, 10);
  double sum = 0;
  for (size_t i = 0; i < 90; ++i) {
    EXPECT_EQ(p[i * 90 + i], 0);
    for (size_t j = 0; j < 90; ++j) {
      sum += p[i * 90 + j];
      EXPECT_EQ(p[i * 90 + j], p[j * 90 + i]);
    }
  }
  EXPECT_NEAR(sum, 1, 1e-12);
  // Four points in a square: each has two neighbours at the same distance and one further off.
  const std::vector<double> square = affinities({0, 0, 1, 0, 1, 1, 0, 1}, 4, 1);
  EXPECT_DOUBLE_EQ(square[1], square[3]);
  EXPECT_GT(square[1], square[2]);
  EXPECT_THROW(affinities(x, 90, 30), UsageError);
  EXPECT_THROW(affinities({0, 0, 1, 0, NAN, 1, 0, 1}, 4, 1), DataError);
}

TEST(Tsne, KeepsClustersTogetherAndApart) {
  const at::Tensor x = clusters();
  const TsneMap map = tsne(values(x), principal_start(x), small());
  const std::vector<double> p = affinities(values(x), 90, 10);
  EXPECT_LT(map.divergence, 0.5 * map_divergence(p, principal_start(x)));
  EXPECT_GT(map.divergence, 0);
  for (size_t i = 0; i < 90; ++i) {  // the nearest neighbour is of the same cluster
    double least = 1e300;
    size_t nearest = i;
    for (size_t j = 0; j < 90; ++j) {
      const double d = std::hypot(map.y[2 * i] - map.y[2 * j], map.y[2 * i + 1] - map.y[2 * j + 1]);
      if (j != i && d < least) {
        least = d;
        nearest = j;
      }
    }
    EXPECT_EQ(nearest / 30, i / 30) << i;
  }
  EXPECT_EQ(tsne(values(x), principal_start(x), small()).y, map.y);
}

TEST(Tsne, HasTheObjectiveThatNumpyComputes) {
  const at::Tensor x = clusters();
  const TsneMap map = tsne(values(x), principal_start(x), small());
  const metrics::testing::Folder folder;
  const auto write = [&](const char* name, const std::vector<double>& v, size_t width) {
    std::ofstream out(folder.path() / name);
    for (size_t i = 0; i < v.size(); ++i) out << fmt::format("{:.17g}{}", v[i], (i + 1) % width == 0 ? '\n' : ' ');
  };
  write("x", values(x), 12);
  write("y", map.y, 2);
  const auto said = metrics::testing::python(
      "tsne.py", fmt::format("{} {} 10", (folder.path() / "x").string(), (folder.path() / "y").string()));
  if (!said) GTEST_SKIP() << "no Python with numpy";
  const auto numbers = metrics::testing::numbers_of(*said);
  // The widths are searched to 1e-5 of the entropy.
  EXPECT_NEAR(map.divergence, numbers.at("divergence")[0], 1e-4 * map.divergence);
  const std::vector<double> p = affinities(values(x), 90, 10);
  for (size_t j = 0; j < 90; ++j) EXPECT_NEAR(p[j], numbers.at("p")[j], 1e-6);
}

TEST(NearestKinds, AreHalfForOneDistributionAndAllForTwo) {
  Rng random(1);
  at::Tensor a = torch::empty({200, 3}, at::kDouble), b = torch::empty({200, 3}, at::kDouble);
  for (at::Tensor* t : {&a, &b})
    for (int64_t i = 0; i < t->numel(); ++i) t->data_ptr<double>()[i] = random.normal();
  // 400 coins: a deviation of 0.025, and twice that since neighbours are mutual.
  EXPECT_NEAR(nearest_kinds(a, b).accuracy, 0.5, 0.1);
  EXPECT_EQ(nearest_kinds(a, b + 100).accuracy, 1);
  EXPECT_EQ(nearest_kinds(a, a + 1e-6).accuracy, 0);  // copies: each has its twin in the other set
  EXPECT_THROW(nearest_kinds(a, b.narrow(0, 0, 100)), UsageError);
}

}  // namespace
}  // namespace derm::explore
