#include "derm/study/statistics.h"

#include <cmath>

#include <gtest/gtest.h>

#include "derm/base/error.h"
#include "derm/base/random.h"

namespace derm::study {
namespace {

TEST(ClopperPearson, AgreesWithExactFractions) {
  // tools/golden/study.py; 0 of 10 is the textbook's 0 to 30.85 %.
  struct Row {
    int64_t k, n;
    double low, high, p;
  };
  for (const Row& r :
       {Row{0, 10, 0, 0.308497107819, 0.001953125}, Row{10, 10, 0.691502892181, 1, 0.001953125},
        Row{7, 10, 0.347547149940, 0.933260488822, 0.34375},
        Row{37, 60, 0.482114951431, 0.739292941984, 0.092460981073}, Row{1, 200, 0.000126581028, 0.027541898457, 0},
        Row{52, 100, 0.417789765406, 0.620994519822, 0.764353434403}}) {
    const Estimate e = proportion(r.k, r.n);
    EXPECT_NEAR(*e.value, static_cast<double>(r.k) / static_cast<double>(r.n), 1e-15);
    EXPECT_NEAR(*e.low, r.low, 1e-11) << r.k << " of " << r.n;
    EXPECT_NEAR(*e.high, r.high, 1e-11) << r.k << " of " << r.n;
    EXPECT_NEAR(binomial_test(r.k, r.n), r.p, 1e-11) << r.k << " of " << r.n;
  }
}

TEST(ClopperPearson, HoldsTheTruthAtLeastNineteenTimesInTwenty) {
  // Exactly, over all outcomes of 30 throws: the sum of their probabilities whose interval holds p.
  for (const double p : {0.05, 0.3, 0.5, 0.77}) {
    double covered = 0;
    for (int64_t k = 0; k <= 30; ++k) {
      const Estimate e = proportion(k, 30);
      const double probability =
          std::exp(std::lgamma(31.0) - std::lgamma(k + 1.0) - std::lgamma(31.0 - static_cast<double>(k)) +
                   static_cast<double>(k) * std::log(p) + static_cast<double>(30 - k) * std::log1p(-p));
      if (*e.low <= p && p <= *e.high) covered += probability;
    }
    EXPECT_GE(covered, 0.95) << p;
    EXPECT_LE(covered, 0.995) << p;
  }
}

TEST(BinomialTest, CountsOutcomesThatAreJustAsLikely) {
  // Of 9 throws at 1/5, one and two hits are equally likely, and nothing is likelier: p = 1.
  EXPECT_NEAR(binomial_test(2, 9, 0.2), 1, 1e-12);
}

TEST(Proportion, OfNothingIsADashWithItsReason) {
  const Estimate e = proportion(0, 0);
  EXPECT_FALSE(e.value);
  EXPECT_FALSE(e.low);
  EXPECT_EQ(e.reason, "no answers");
  EXPECT_THROW(proportion(3, 2), UsageError);
}

TEST(Normal, QuantileInvertsTheDistribution) {
  EXPECT_NEAR(normal_quantile(0.975), 1.959963984540054, 1e-12);
  EXPECT_NEAR(normal_cdf(-1.2815515655446004), 0.1, 1e-12);
  EXPECT_THROW(normal_quantile(1), UsageError);
}

TEST(AreaUnderCurve, AgreesWithPairsCountedOneByOne) {
  const std::vector<double> scores = {5, 4, 4, 3, 1, 4, 3, 2, 2, -1, 3, -2};
  const std::vector<bool> positive = {true, true, true, true, true, false, false, false, false, false, true, false};
  const Estimate e = area_under_curve(scores, positive);
  EXPECT_NEAR(*e.value, 7.0 / 9, 1e-12);
  EXPECT_NEAR(*e.low, 0.412558497224, 1e-10);
  EXPECT_NEAR(*e.high, 0.945778177542, 1e-10);
  EXPECT_NEAR(*weighted_area(scores, positive, std::vector<double>(12, 1)), 7.0 / 9, 1e-12);
  // The area under the curve's points, by trapezoids, is the same number.
  const std::vector<RocPoint> curve = roc_curve(scores, positive);
  double area = 0;
  for (size_t i = 1; i < curve.size(); ++i) {
    area += (curve[i].false_positive_rate - curve[i - 1].false_positive_rate) *
            (curve[i].true_positive_rate + curve[i - 1].true_positive_rate) / 2;
  }
  EXPECT_NEAR(area, 7.0 / 9, 1e-12);
  EXPECT_EQ(curve.back().false_positive_rate, 1);
  EXPECT_EQ(curve.back().true_positive_rate, 1);
}

TEST(AreaUnderCurve, ByWeightsIsThatOfRepeatedAnswers) {
  const std::vector<double> scores = {2, 1, 1, 0}, repeated = {2, 1, 1, 1, 0};
  EXPECT_DOUBLE_EQ(*weighted_area(scores, {true, true, false, false}, {1, 2, 1, 1}),
                   *area_under_curve(repeated, {true, true, true, false, false}).value);
  EXPECT_FALSE(weighted_area(scores, {true, true, false, false}, {1, 1, 0, 0}));
}

TEST(AreaUnderCurve, ToldApartPerfectlyHasNoInterval) {
  const Estimate e = area_under_curve({3, 2, 1, 0}, {true, true, false, false});
  EXPECT_EQ(*e.value, 1);
  EXPECT_FALSE(e.low);
  EXPECT_FALSE(e.reason.empty());
  EXPECT_FALSE(area_under_curve({1, 2}, {true, true}).value);
}

TEST(KrippendorffAlpha, AgreesWithHisExampleWithMissingData) {
  // Krippendorff 2011: .743 nominal, .815 ordinal, .849 interval; further digits from tools/golden/study.py.
  const std::vector<std::vector<double>> units = {{1, 1, 1},    {2, 2, 3, 2}, {3, 3, 3, 3}, {3, 3, 3, 3},
                                                  {2, 2, 2, 2}, {1, 2, 3, 4}, {4, 4, 4, 4}, {1, 1, 2, 1},
                                                  {2, 2, 2, 2}, {5, 5, 5},    {1, 1},       {3}};
  EXPECT_NEAR(*krippendorff_alpha(units, Metric::nominal).value, 0.743421052632, 1e-11);
  EXPECT_NEAR(*krippendorff_alpha(units, Metric::ordinal).value, 0.815387503755, 1e-11);
  EXPECT_NEAR(*krippendorff_alpha(units, Metric::interval).value, 0.849107142857, 1e-11);
  const Estimate e = krippendorff_alpha(units, Metric::nominal);
  EXPECT_EQ(e.count, 11);  // the last unit has one value
  EXPECT_LT(*e.low, *e.value);
  EXPECT_GT(*e.high, *e.value);
}

TEST(KrippendorffAlpha, HasReasonsInsteadOfNumbers) {
  EXPECT_EQ(krippendorff_alpha({{1}, {0}}, Metric::nominal).reason, "no image was answered by two readers");
  const Estimate alike = krippendorff_alpha({{1, 1}, {1, 1}}, Metric::nominal);
  EXPECT_FALSE(alike.value);
  EXPECT_NE(alike.reason.find("alike"), std::string::npos);
}

TEST(FleissKappa, AgreesWithHisPaper) {
  // Fleiss 1971, table 1: kappa = .430.
  const std::vector<std::vector<int64_t>> counts = {
      {0, 0, 0, 6, 0}, {0, 3, 0, 0, 3}, {0, 1, 4, 0, 1}, {0, 0, 0, 0, 6}, {0, 3, 0, 3, 0}, {2, 0, 4, 0, 0},
      {0, 0, 4, 0, 2}, {2, 0, 3, 1, 0}, {2, 0, 0, 4, 0}, {0, 0, 0, 0, 6}, {1, 0, 0, 5, 0}, {1, 1, 0, 4, 0},
      {0, 3, 3, 0, 0}, {1, 0, 0, 5, 0}, {0, 2, 0, 3, 1}, {0, 0, 5, 0, 1}, {3, 0, 0, 1, 2}, {5, 1, 0, 0, 0},
      {0, 2, 0, 4, 0}, {1, 0, 2, 0, 3}, {0, 0, 0, 0, 6}, {0, 1, 0, 5, 0}, {0, 2, 0, 1, 3}, {2, 0, 0, 4, 0},
      {1, 0, 0, 4, 1}, {0, 5, 0, 1, 0}, {4, 0, 0, 0, 2}, {0, 2, 0, 4, 0}, {1, 0, 5, 0, 0}, {0, 0, 0, 0, 6}};
  const Estimate e = fleiss_kappa(counts);
  EXPECT_NEAR(*e.value, 0.430244520060, 1e-11);
  EXPECT_GT(*e.low, 0.25);
  EXPECT_LT(*e.high, 0.6);
}

TEST(FleissKappa, HasReasonsInsteadOfNumbers) {
  EXPECT_FALSE(fleiss_kappa({}).value);
  EXPECT_NE(fleiss_kappa({{2, 0}, {1, 2}}).reason.find("same number"), std::string::npos);
  EXPECT_NE(fleiss_kappa({{1, 0}, {0, 1}}).reason.find("one reader"), std::string::npos);
  EXPECT_NE(fleiss_kappa({{2, 0}, {2, 0}}).reason.find("alike"), std::string::npos);
}

TEST(CohenKappa, OfAFourfoldTableIsWhatOneCountsByHand) {
  // 20 both yes, 5 yes-no, 10 no-yes, 15 both no: agreement 0.7, chance 0.5, kappa 0.4.
  std::vector<std::pair<int, int>> pairs;
  for (int i = 0; i < 20; ++i) pairs.emplace_back(1, 1);
  for (int i = 0; i < 5; ++i) pairs.emplace_back(1, 0);
  for (int i = 0; i < 10; ++i) pairs.emplace_back(0, 1);
  for (int i = 0; i < 15; ++i) pairs.emplace_back(0, 0);
  EXPECT_NEAR(*cohen_kappa(pairs).value, 0.4, 1e-12);
  EXPECT_FALSE(cohen_kappa({}).value);
  EXPECT_FALSE(cohen_kappa({{1, 1}, {1, 1}}).value);
}

/// Right answers of readers and images with effects of both: truth is the mean over all readers and images there are.
struct Simulated {
  std::vector<std::vector<int>> right;  ///< [readers][images]
};
Simulated simulate(Rng& rng, size_t readers, size_t images, double spread_readers, double spread_images) {
  std::vector<double> reader(readers), image(images);
  for (double& r : reader) r = spread_readers * rng.normal();
  for (double& i : image) i = spread_images * rng.normal();
  Simulated s;
  for (size_t r = 0; r < readers; ++r) {
    s.right.emplace_back();
    // A probit model with mean 0.3: P(right) = Phi(0.3 / sqrt(1 + spreads^2)) over the population.
    for (size_t i = 0; i < images; ++i) s.right.back().push_back(0.3 + reader[r] + image[i] + rng.normal() > 0 ? 1 : 0);
  }
  return s;
}

TEST(CrossedBootstrap, HoldsTheTruthOfSimulatedReadersAndImages) {
  // 300 studies of 10 readers and 40 images, both of which vary. An interval that drew answers as if they were
  // independent would hold the truth in about six of ten.
  Rng rng(5);
  const double spread_readers = 0.4, spread_images = 0.6;
  const double truth = normal_cdf(0.3 / std::sqrt(1 + spread_readers * spread_readers + spread_images * spread_images));
  int covered = 0, naive = 0;
  for (int study = 0; study < 300; ++study) {
    const Simulated s = simulate(rng, 10, 40, spread_readers, spread_images);
    CrossedBootstrap plan{10, std::vector<int>(40, 0), 400, static_cast<uint64_t>(study)};
    for (int i = 0; i < 20; ++i) plan.image_stratum[static_cast<size_t>(i)] = 1;
    const auto e = crossed_bootstrap(plan, [&](const auto& wr, const auto& wi) {
      double sum = 0, weight = 0;
      for (size_t r = 0; r < 10; ++r) {
        for (size_t i = 0; i < 40; ++i) {
          sum += wr[r] * wi[i] * s.right[r][i];
          weight += wr[r] * wi[i];
        }
      }
      return std::vector<std::optional<double>>{sum / weight};
    });
    covered += *e[0].low <= truth && truth <= *e[0].high;
    const double p = *e[0].value, half = 1.96 * std::sqrt(p * (1 - p) / 400);
    naive += std::fabs(p - truth) <= half;
  }
  RecordProperty("covered", covered);
  EXPECT_GE(covered, 273);  // 91 %
  EXPECT_LE(covered, 297);  // 99 %
  EXPECT_LT(naive, 240);    // 80 %: what one gets without it
}

TEST(CrossedBootstrap, KeepsTheNumberOfImagesInEachStratum) {
  CrossedBootstrap plan{3, {0, 0, 0, 1, 1}, 200, 1};
  crossed_bootstrap(plan, [](const auto& wr, const auto& wi) {
    EXPECT_EQ(wr[0] + wr[1] + wr[2], 3);
    EXPECT_EQ(wi[0] + wi[1] + wi[2], 3);
    EXPECT_EQ(wi[3] + wi[4], 2);
    return std::vector<std::optional<double>>{0.5};
  });
}

TEST(CrossedBootstrap, WithoutVariationHasNoInterval) {
  CrossedBootstrap plan{3, {0, 0, 0, 1, 1}, 200, 1};
  const auto e =
      crossed_bootstrap(plan, [](const auto&, const auto&) { return std::vector<std::optional<double>>{1.0}; });
  EXPECT_EQ(*e[0].value, 1);
  EXPECT_FALSE(e[0].low);
  EXPECT_NE(e[0].reason.find("no variation"), std::string::npos);
}

TEST(CrossedBootstrap, OfOneReaderDrawsImagesAlone) {
  CrossedBootstrap plan{1, {0, 0, 0, 0}, 50, 1};
  const auto e = crossed_bootstrap(plan, [](const auto& wr, const auto& wi) {
    EXPECT_EQ(wr[0], 1);
    return std::vector<std::optional<double>>{wi[0], std::nullopt};
  });
  EXPECT_EQ(*e[0].value, 1);
  EXPECT_LT(*e[0].low, *e[0].high);
  EXPECT_FALSE(e[1].value);
  EXPECT_EQ(e[1].reason, "no answers");
}

TEST(CrossedBootstrap, IsTheSameForTheSameSeed) {
  const auto once = [](uint64_t seed) {
    CrossedBootstrap plan{4, std::vector<int>(9, 0), 100, seed};
    return *crossed_bootstrap(plan,
                              [](const auto& wr, const auto& wi) {
                                return std::vector<std::optional<double>>{wr[0] * wi[0] + 0.01 * wi[3]};
                              })[0]
                .high;
  };
  EXPECT_EQ(once(3), once(3));
}

}  // namespace
}  // namespace derm::study
