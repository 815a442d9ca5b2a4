#include "derm/phantom/growth.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace derm::phantom {
namespace {

size_t area(const Growth& g) {
  return static_cast<size_t>(std::count_if(g.inside.begin(), g.inside.end(), [](float v) { return v > 0; }));
}

// Length of the outline squared over area: 4 pi for a disc, more the more irregular.
double irregularity(const Growth& g) {
  double border = 0;
  for (int y = 0; y + 1 < g.side; ++y)
    for (int x = 0; x + 1 < g.side; ++x) {
      const auto in = [&](int dx, int dy) { return g.inside[static_cast<size_t>((y + dy) * g.side + x + dx)] > 0; };
      border += in(0, 0) != in(1, 0);
      border += in(0, 0) != in(0, 1);
    }
  return border * border / static_cast<double>(area(g));
}

double mean_over_seeds(const GrowthRules& rules, double (*measure)(const Growth&)) {
  double sum = 0;
  for (uint64_t seed = 0; seed < 12; ++seed) {
    Rng rng(seed);
    sum += measure(grow(rules, rng));
  }
  return sum / 12;
}

TEST(Growth, IsTheSameForTheSameSeedAndDiffersForAnother) {
  Rng a(4), b(4), c(5);
  const Growth first = grow({}, a), again = grow({}, b), other = grow({}, c);
  EXPECT_EQ(first.inside, again.inside);
  EXPECT_EQ(first.depth, again.depth);
  EXPECT_NE(first.inside, other.inside);
}

TEST(Growth, MoreStepsGiveALargerLesion) {
  const auto size = [](const Growth& g) { return static_cast<double>(area(g)); };
  GrowthRules rules;
  double last = 0;
  for (const int steps : {12, 20, 28, 34}) {
    rules.steps = steps;
    const double now = mean_over_seeds(rules, size);
    EXPECT_GT(now, 1.2 * last) << steps;
    last = now;
  }
}

TEST(Growth, IsOnePieceAndDeeperWhereItBegan) {
  Rng rng(1);
  const Growth g = grow({}, rng);
  const size_t middle = static_cast<size_t>(g.side / 2 * g.side + g.side / 2);
  EXPECT_GT(g.inside[middle], 3);
  EXPECT_LE(g.arrival[middle], 1);
  double inner = 0, outer = 0, n_inner = 0, n_outer = 0;
  for (size_t i = 0; i < g.inside.size(); ++i) {
    if (g.inside[i] > 4) inner += g.depth[i], ++n_inner;
    if (g.inside[i] > 0 && g.inside[i] < 1.6f) outer += g.depth[i], ++n_outer;
  }
  EXPECT_GT(inner / n_inner, outer / n_outer + 0.5);
}

TEST(Growth, UnevenTissueMakesTheOutlineIrregular) {
  GrowthRules even, uneven;
  uneven.patchiness = 0.7;
  even.smoothing = uneven.smoothing = 2;
  const double smooth = mean_over_seeds(even, irregularity), rough = mean_over_seeds(uneven, irregularity);
  // 16 is a disc's in steps along a grid.
  std::printf("outline squared over area: even tissue %.1f, uneven %.1f\n", smooth, rough);
  EXPECT_GT(smooth, 15);
  EXPECT_LT(smooth, 24);
  EXPECT_GT(rough, 1.1 * smooth);
  EXPECT_LT(rough, 2 * smooth);
}

TEST(Growth, AspectDrawsItOutAlongItsAngle) {
  const auto ratio = [](const Growth& g) { return double(g.x1 - g.x0 + 1) / double(g.y1 - g.y0 + 1); };
  GrowthRules rules;
  rules.aspect = 0.5;
  EXPECT_GT(mean_over_seeds(rules, ratio), 1.25);
  rules.angle = std::acos(-1) / 2;
  EXPECT_LT(mean_over_seeds(rules, ratio), 0.8);
}

}  // namespace
}  // namespace derm::phantom
