#include "derm/phantom/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "derm/base/error.h"

namespace derm::phantom {
namespace {

using testing::HasSubstr;

std::string refusal(auto&& call) {
  try {
    call();
  } catch (const UsageError& error) {
    return error.what();
  }
  return "";
}

TEST(Parameters, NamesAreUniqueAndDefaultsLieInRange) {
  std::set<std::string> names;
  const Parameters p;
  for (const ParameterInfo& info : parameter_list()) {
    EXPECT_TRUE(names.insert(info.name).second) << info.name;
    EXPECT_GE(p.*info.value, info.low) << info.name;
    EXPECT_LE(p.*info.value, info.high) << info.name;
  }
  // Every number of the struct has a name.
  EXPECT_EQ(sizeof(Parameters), names.size() * sizeof(double));
}

TEST(Parameters, AMistypedNameOffersTheNearest) {
  EXPECT_THAT(refusal([] { parse_set("melanosome_fracton=0.1"); }), HasSubstr("melanosome_fraction"));
  EXPECT_THAT(refusal([] { parse_sweep("conditon=*"); }), HasSubstr("condition"));
}

TEST(Parameters, WrongValuesAreRefusedInOneSentence) {
  EXPECT_THAT(refusal([] { parse_set("size=2"); }), HasSubstr("0.05 to 0.95"));
  EXPECT_THAT(refusal([] { parse_set("size=big"); }), HasSubstr("not a number"));
  EXPECT_THAT(refusal([] { parse_set("size=nan"); }), HasSubstr("not a number"));
  EXPECT_THAT(refusal([] { parse_set("size"); }), HasSubstr("NAME=VALUE"));
  EXPECT_THAT(refusal([] { parse_set("hair=0.5"); }), HasSubstr("whole"));
  EXPECT_THAT(refusal([] { parse_set("condition=nevis"); }), HasSubstr("nevus"));
  EXPECT_THAT(refusal([] { parse_sweep("size=0.5..0.2"); }), HasSubstr("nowhere"));
  EXPECT_THAT(refusal([] { parse_sweep("size=0.2..0.5:1"); }), HasSubstr("steps"));
  EXPECT_THAT(refusal([] { parse_sweep("size=0.2,,0.5"); }), HasSubstr("not a number"));
}

TEST(Parameters, ARangeTakesItsSteps) {
  EXPECT_THAT(parse_sweep("size=0.2..0.6:5").values,
              testing::Pointwise(testing::DoubleNear(1e-9), {0.2, 0.3, 0.4, 0.5, 0.6}));
  EXPECT_EQ(parse_sweep("size=0.2..0.6").values.size(), 6u);
  EXPECT_EQ(parse_sweep("growth_steps=20..24").values, (std::vector<double>{20, 21, 22, 23, 24}));
  EXPECT_EQ(parse_sweep("condition=*").values.size(), condition_names().size());
  EXPECT_EQ(parse_sweep("condition=nevus,melanoma").values, (std::vector<double>{3, 2}));
}

TEST(Plan, ContradictionsAreRefused) {
  PhantomOptions options;
  options.set = {"ita=20"};
  options.sweep = {"melanosome_fraction=0.1..0.4"};
  EXPECT_THAT(refusal([&] { options.validate(); }), HasSubstr("melanosome_fraction"));
  options.sweep = {"ita=0..40"};
  EXPECT_THAT(refusal([&] { options.validate(); }), HasSubstr("twice"));
  options = {};
  options.set = {"condition=nevus"};
  options.conditions = {"melanoma"};
  EXPECT_THAT(refusal([&] { options.validate(); }), HasSubstr("--condition"));
  options = {};
  options.look = "dermoscopy";
  EXPECT_THAT(refusal([&] { options.validate(); }), HasSubstr("dermoscopic"));
  options = {};
  options.light = "day";
  EXPECT_THAT(refusal([&] { options.validate(); }), HasSubstr("daylight"));
}

TEST(Plan, IsBalancedOverConditionToneAndSize) {
  PhantomOptions options;
  const Plan plan(options);
  std::map<int, int> conditions, tones, sizes;
  std::map<std::pair<int, int>, int> cells;
  for (int64_t i = 0; i < 324; ++i) {
    const Scene scene = plan.at(i).scene;
    const std::string tone = image::tone_of(scene.p.ita);
    const int t = static_cast<int>(std::find(image::tone_names().begin(), image::tone_names().end(), tone) -
                                   image::tone_names().begin());
    ++conditions[static_cast<int>(scene.kind)];
    ++tones[t];
    ++sizes[scene.p.size < 0.35 ? 0 : scene.p.size < 0.55 ? 1 : 2];
    ++cells[{static_cast<int>(scene.kind), t}];
  }
  EXPECT_EQ(conditions.size(), 6u);
  EXPECT_EQ(tones.size(), 6u);
  for (const auto& [k, n] : conditions) EXPECT_EQ(n, 54);
  for (const auto& [k, n] : tones) EXPECT_EQ(n, 54);
  for (const auto& [k, n] : sizes) EXPECT_EQ(n, 108);
  for (const auto& [k, n] : cells) EXPECT_EQ(n, 9);
}

TEST(Plan, WhatIsSetHoldsAndChangesNothingThatDoesNotFollow) {
  PhantomOptions free, held;
  held.set = {"melanosome_fraction=0.2", "hairs_per_cm2=3"};
  for (int64_t i = 0; i < 20; ++i) {
    const Plan::Place a = Plan(free).at(i), b = Plan(held).at(i);
    EXPECT_EQ(b.scene.p.melanosome_fraction, 0.2);
    EXPECT_EQ(b.scene.p.hairs_per_cm2, 3);
    EXPECT_EQ(a.scene.seed, b.scene.seed);
    for (const ParameterInfo& info : parameter_list())
      if (info.name != "melanosome_fraction" && info.name != "ita" && info.name != "hairs_per_cm2") {
        EXPECT_EQ(a.scene.p.*info.value, b.scene.p.*info.value) << info.name;
      }
  }
}

TEST(Plan, ASweepGoesThroughItsValuesOnOneSubject) {
  PhantomOptions options;
  options.sweep = {"ita=-40,0,40", "size=0.2,0.5"};
  const Plan plan(options);
  const std::array<std::pair<double, double>, 6> wanted = {
      {{-40, 0.2}, {0, 0.2}, {40, 0.2}, {-40, 0.5}, {0, 0.5}, {40, 0.5}}};
  for (int64_t subject = 0; subject < 3; ++subject) {
    const Plan::Place first = plan.at(subject * 6);
    for (int64_t i = 0; i < 6; ++i) {
      const Plan::Place place = plan.at(subject * 6 + i);
      EXPECT_EQ(place.subject, subject);
      EXPECT_EQ(place.scene.seed, first.scene.seed);
      EXPECT_EQ(place.scene.kind, first.scene.kind);
      EXPECT_EQ(place.scene.p.pigment, first.scene.p.pigment);
      EXPECT_EQ(place.scene.p.ita, wanted[static_cast<size_t>(i)].first);
      EXPECT_EQ(place.scene.p.size, wanted[static_cast<size_t>(i)].second);
    }
  }
  EXPECT_NE(plan.at(0).scene.seed, plan.at(6).scene.seed);
}

}  // namespace
}  // namespace derm::phantom
