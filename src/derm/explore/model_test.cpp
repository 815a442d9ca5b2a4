#include "derm/explore/model.h"

#include <cmath>

#include <gmock/gmock.h>

#include "derm/data/plan.h"
#include "derm/explore/testing/models.h"

namespace derm::explore {
namespace {

using testing::Folder;
using ::testing::HasSubstr;
using testing::sentence_of;

TEST(Slerp, HalfwayBetweenTwoOrthogonalUnitVectorsIsTheirSumOverRootTwo) {
  const at::Tensor a = torch::tensor({1.0, 0.0}, at::kDouble), b = torch::tensor({0.0, 1.0}, at::kDouble);
  const at::Tensor half = slerp(a, b, 0.5);
  EXPECT_NEAR(half[0].item<double>(), std::sqrt(0.5), 1e-12);
  EXPECT_NEAR(half[1].item<double>(), std::sqrt(0.5), 1e-12);
  EXPECT_TRUE(at::allclose(slerp(a, b, 0), a));
  EXPECT_TRUE(at::allclose(slerp(a, b, 1), b));
  // Of lengths 1 and 3 the middle has length 2.
  EXPECT_NEAR(slerp(a, 3 * b, 0.5).norm().item<double>(), 2, 1e-12);
  EXPECT_TRUE(at::allclose(slerp(a, 2 * a, 0.25), 1.25 * a));
}

TEST(ExploreModel, GivesTheImagesThatGenerateGivesForItsSeeds) {
  const Folder folder("explore-model");
  for (const std::string kind : {"style", "classes", "linear"}) {
    const Model model = testing::open(folder, kind);
    EXPECT_EQ(model.space_name(), kind == "linear" ? "z" : "w");
    generation::EngineOptions options;
    options.bundle = folder / kind;
    options.device = "cpu";
    options.precision = "fp32";
    generation::Engine engine(options, testing::catalogue());
    data::Wish wish;
    wish.seed = 7;
    wish.condition = "light";
    const std::string condition = model.condition(kind == "classes" ? "light" : "");
    EXPECT_EQ(model.images(model.points({7}, condition), condition).front(),
              engine.generate(data::make_request(wish, engine.offer())));
  }
}

TEST(ExploreModel, SaysWhatItHasNot) {
  const Folder folder("explore-model");
  const Model painter = testing::open(folder, "painter", 64), latent = testing::open(folder, "linear"),
              classes = testing::open(folder, "classes");
  EXPECT_EQ(painter.space_name(), "map");
  EXPECT_THAT(sentence_of([&] { painter.points({1}, ""); }), HasSubstr("paints from a semantic map"));
  EXPECT_THAT(sentence_of([&] { latent.styles(); }), HasSubstr("has no style space"));
  EXPECT_THAT(sentence_of([&] { latent.condition("light"); }), HasSubstr("has no classes"));
  EXPECT_THAT(sentence_of([&] { classes.condition("lihgt"); }), HasSubstr("did you mean \"light\""));
  EXPECT_EQ(classes.condition(""), "dark");
}

}  // namespace
}  // namespace derm::explore
