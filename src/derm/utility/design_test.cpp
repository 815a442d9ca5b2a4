#include "derm/utility/design.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "derm/base/error.h"

namespace derm::utility {
namespace {

using testing::HasSubstr;
using testing::Pair;

/// What `call` complains of.
template <class F>
std::string complaint(F call) {
  try {
    call();
  } catch (const UsageError& e) {
    return e.what();
  }
  return "";
}

TEST(ParseArm, ReadsItsParts) {
  const Arm arm = parse_arm("real+augment+synthetic=2.5+filtered");
  EXPECT_TRUE(arm.real && arm.augment && arm.filtered && arm.uses_synthetic() && !arm.only_real());
  EXPECT_EQ(arm.synthetic, 2.5);
  EXPECT_EQ(arm.duplicates, 0.0);
  EXPECT_TRUE(parse_arm("real+augment").only_real());
  EXPECT_FALSE(parse_arm("real+duplicates=1").only_real());
  EXPECT_FALSE(parse_arm("real+fill=duplicates").uses_synthetic());
  EXPECT_TRUE(parse_arm("synthetic=1").uses_synthetic());
}

TEST(ParseArm, SaysWhatIsWrong) {
  const auto of = [](const char* text) { return complaint([&] { parse_arm(text); }); };
  EXPECT_THAT(of("real+sinthetic=1"), HasSubstr("did you mean \"synthetic\""));
  EXPECT_THAT(of("real+synthetic"), HasSubstr("how many times"));
  EXPECT_THAT(of("real+synthetic=0"), HasSubstr("above 0"));
  EXPECT_THAT(of("real+synthetic=nan"), HasSubstr("above 0"));
  EXPECT_THAT(of("real=1"), HasSubstr("takes no value"));
  EXPECT_THAT(of("augment"), HasSubstr("neither photographs"));
  EXPECT_THAT(of("real+duplicates=1+synthetic=1"), HasSubstr("one cause"));
  EXPECT_THAT(of("real+fill=copies"), HasSubstr("duplicates and synthetic are"));
  EXPECT_THAT(of("real+filtered"), HasSubstr("it has none"));
  EXPECT_THAT(of("real+real"), HasSubstr("twice"));
}

TEST(ParseRegime, LimitsAllOrSome) {
  EXPECT_EQ(parse_regime("all").limit_of("nevus"), 0);
  EXPECT_EQ(parse_regime("32").limit_of("nevus"), 32);
  const Regime regime = parse_regime("melanoma=40+nevus=200");
  EXPECT_EQ(regime.limit_of("melanoma"), 40);
  EXPECT_EQ(regime.limit_of("nevus"), 200);
  EXPECT_EQ(regime.limit_of("cyst"), 0);
  for (const char* text : {"", "some", "1", "melanoma=", "melanoma=x", "=3", "3.5"})
    EXPECT_THROW(parse_regime(text), UsageError) << text;
}

TEST(Design, ComparesSyntheticArmsWithEachControl) {
  Design design;
  design.arms = {"real", "real+duplicates=1", "real+synthetic=1", "synthetic=1"};
  EXPECT_THAT(design.contrasts(), testing::ElementsAre(Pair(2, 0), Pair(2, 1), Pair(3, 0), Pair(3, 1)));
  design.controls = {"real+duplicates=1"};
  EXPECT_THAT(design.contrasts(), testing::ElementsAre(Pair(2, 1), Pair(3, 1)));
  design.validate();
}

TEST(Design, RefusesWhatCannotBe) {
  const auto with = [](const std::function<void(Design&)>& change) {
    Design design;
    change(design);
    return complaint([&] { design.validate(); });
  };
  EXPECT_EQ(with([](Design&) {}), "");
  EXPECT_EQ(with([](Design& d) { d.arms = {"real"}; }), "");  // photographs alone: a baseline
  EXPECT_THAT(with([](Design& d) { d.arms = {}; }), HasSubstr("none is given"));
  EXPECT_THAT(with([](Design& d) { d.arms = {"synthetic=1", "synthetic=2"}; }), HasSubstr("there is no control"));
  EXPECT_THAT(with([](Design& d) {
                d.arms = {"real+duplicates=1", "real+synthetic=1+filtered"};
              }),
              HasSubstr("its judges are"));
  EXPECT_THAT(with([](Design& d) { d.controls = {"reel"}; }), HasSubstr("not one of the arms"));
  EXPECT_THAT(with([](Design& d) { d.primary = "accuracy"; }), HasSubstr("primary = \"accuracy\" is not known"));
  EXPECT_THAT(with([](Design& d) { d.metrics = {"f1"}; }), HasSubstr("add it"));
  EXPECT_THAT(with([](Design& d) { d.folds = 0; }), HasSubstr("folds = 0, expected a number from 1"));
  EXPECT_THAT(with([](Design& d) { d.size_px = 100; }), HasSubstr("multiple of 32"));
  EXPECT_THAT(with([](Design& d) { d.classifier.network = "resnet5"; }), HasSubstr("did you mean \"resnet50\""));
  EXPECT_THAT(with([](Design& d) { d.classifier.validate_every = 10000; }), HasSubstr("validate_every"));
  EXPECT_THAT(with([](Design& d) { d.generator.kimg = 3; }), HasSubstr("generator.recipe is empty"));
  EXPECT_THAT(with([](Design& d) { d.generator.recipe = "dermgan"; }), HasSubstr("how long"));
}

TEST(Design, ComesBackFromItsToml) {
  Design design;
  design.regimes = {"all", "32"};
  design.classifier.lr = 0.00125;
  design.generator.set = {"batch=8"};
  Design again;
  Options o;
  again.bind(o);
  o.read_toml(design.to_toml(), "design.toml");
  EXPECT_EQ(again.to_json(), design.to_json());
}

}  // namespace
}  // namespace derm::utility
