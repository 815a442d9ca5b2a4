#include "derm/explore/interpolate.h"

#include <gmock/gmock.h>

#include "derm/data/plan.h"
#include "derm/explore/testing/models.h"

namespace derm::explore {
namespace {

using testing::Folder;
using ::testing::HasSubstr;
using testing::sentence_of;

TEST(Walk, StopsAtItsSeedsAndIsHalfwayInBetween) {
  const Folder folder("walk");
  const Model model = testing::open(folder, "style");
  PathOptions options;
  options.seeds = {1, 2, 3};
  options.frames = 4;
  const std::vector<image::Image> way = walk(model, options);
  ASSERT_EQ(way.size(), 9u);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(way[4 * i], model.images(model.points({options.seeds[i]}, ""), "").front());
  // The generator is linear in w: so are the colours, but for rounding.
  for (int c = 0; c < 3; ++c) EXPECT_NEAR(way[2].pixels[c], (way[0].pixels[c] + way[4].pixels[c]) / 2.0, 1);
  options.loop = true;
  EXPECT_EQ(walk(model, options).size(), 12u);
  options.psi = 0;
  const std::vector<image::Image> still = walk(model, options);
  EXPECT_EQ(still[0], still[5]);  // the average alone
}

TEST(Walk, MixesConditionsInStylesAndNowhereElse) {
  const Folder folder("walk");
  PathOptions options;
  options.seeds = {1, 1};
  options.conditions = {"dark", "light"};
  EXPECT_EQ(walk(testing::open(folder, "classes"), options).size(), 25u);
  EXPECT_THAT(sentence_of([&] { walk(testing::open(folder, "linear"), options); }), HasSubstr("has no classes"));
  options.conditions.clear();
  options.psi = 0.5;
  EXPECT_THAT(sentence_of([&] { walk(testing::open(folder, "linear"), options); }), HasSubstr("no style space"));
  options.seeds = {1};
  EXPECT_THAT(sentence_of([&] { walk(testing::open(folder, "linear"), options); }), HasSubstr("two stops"));
  options.psi = 1;
  options.seeds = {1, 2};
  EXPECT_THAT(sentence_of([&] { walk(testing::open(folder, "painter", 64), options); }), HasSubstr("semantic map"));
}

TEST(Requests, GoOverInSkinAndPlace) {
  const data::Offer offer = recipe::stand_in_offer();
  const data::Request a = request_of_text("condition=dark,skin=ita:10,size=0.2,x=0.3,shape=ellipse", offer);
  const data::Request b = request_of_text("condition=dark,skin=ita:50,size=0.4,x=0.7,shape=ellipse,seed=5", offer);
  const data::Request half = request_between(a, b, 0.5);
  EXPECT_NEAR(half.regions[0].x, 0.5, 1e-12);
  EXPECT_NEAR(half.regions[0].w, 0.3, 1e-12);
  EXPECT_NEAR(half.skin.L, (a.skin.L + b.skin.L) / 2, 1e-12);
  EXPECT_THAT(sentence_of([&] { request_between(a, request_of_text("shape=box", offer), 0.5); }),
              HasSubstr("ellipse does not go over into one of the shape box"));
  EXPECT_THAT(sentence_of([&] { request_of_text("siz=0.3", offer); }), HasSubstr("did you mean \"size\""));
  EXPECT_THAT(sentence_of([&] { request_of_text("x=0.3,x=0.4", offer); }), HasSubstr("given twice"));
}

TEST(Requests, BecomeImagesThatBeginAndEndAsGenerateMakesThem) {
  const Folder folder("requests");
  const Model model = testing::open(folder, "painter", 64);
  const data::Request a = request_of_text("condition=dark,skin=ita:20,size=0.4", model.offer());
  const data::Request b = request_of_text("condition=light,skin=ita:20,size=0.4", model.offer());
  const std::vector<image::Image> way = images_between(model, a, b, 5, true);
  ASSERT_EQ(way.size(), 8u);
  generation::EngineOptions options;
  options.bundle = folder / "painter";
  options.precision = "fp32";
  generation::Engine engine(options, testing::catalogue());
  EXPECT_EQ(way[0], engine.generate(a));
  EXPECT_EQ(way[4], engine.generate(b));
  EXPECT_EQ(way[5], way[3]);
  // The painter darkens the region by the condition's plane: the mixture lies in between.
  const auto middle = [](const image::Image& image) { return static_cast<int>(image.at(32, 32)[1]); };
  const auto [low, high] = std::minmax(middle(way[0]), middle(way[4]));
  EXPECT_LT(low + 2, high);
  EXPECT_GT(middle(way[2]), low);
  EXPECT_LT(middle(way[2]), high);
}

TEST(Requests, OfAMapThatTellsConditionsByColourKeepTheirCondition) {
  const Folder folder("requests");
  const Model model = testing::open(folder, "map", 64);
  const data::Request a = request_of_text("condition=dark,size=0.4", model.offer()),
                      b = request_of_text("condition=light,size=0.4", model.offer());
  EXPECT_THAT(sentence_of([&] { images_between(model, a, b, 3, false); }), HasSubstr("may be a third condition's"));
  EXPECT_EQ(images_between(model, a, a, 3, false).size(), 3u);
  EXPECT_THAT(sentence_of([&] { images_between(model, a, a, 1, false); }), HasSubstr("2 to 5000"));
  EXPECT_THAT(sentence_of([&] { images_between(testing::open(folder, "style"), a, b, 3, false); }),
              HasSubstr("takes no requests but seeds"));
}

TEST(Frames, AreWrittenOneByOneAndAsAnAnimation) {
  const Folder folder("frames");
  const std::vector<image::Image> frames = {image::Image(4, 4, 3, 10), image::Image(4, 4, 3, 200)};
  write_frames(folder / "way", frames, 50, {{"image_manipulation", "synthetic"}});
  EXPECT_EQ(image::read_image(folder / "way/frames/000001.png"), frames[1]);
  EXPECT_EQ(image::read_image(folder / "way/animation.png"), frames[0]);
  EXPECT_EQ(image::read_png_text(folder / "way/frames/000000.png").at("image_manipulation"), "synthetic");
}

}  // namespace
}  // namespace derm::explore
