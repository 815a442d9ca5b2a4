#include "derm/skin/artefacts.h"

#include <gtest/gtest.h>

#include <cmath>

#include "derm/base/error.h"
#include "derm/image/draw.h"
#include "derm/image/mask.h"

namespace derm::skin {
namespace {

using image::Image;
using image::Mask;

Image plain_skin(int side = 256) {
  Image picture(side, side, 3);
  image::fill_rectangle(picture, 0, 0, side, side, {224, 180, 155});
  return picture;
}

void draw_disc(Image& picture, double cx, double cy, double radius, image::Rgb colour) {
  for (int y = 0; y < picture.height; ++y) {
    for (int x = 0; x < picture.width; ++x) {
      if (std::hypot(x - cx, y - cy) <= radius) image::fill_rectangle(picture, x, y, 1, 1, colour);
    }
  }
}

double share_of(const Mask& mask) {
  return static_cast<double>(image::mask_area(mask)) / static_cast<double>(mask.pixels.size());
}

TEST(Artefacts, PlainSkinHasNone) { EXPECT_EQ(image::mask_area(find_artefacts(plain_skin()).any()), 0u); }

TEST(Artefacts, ACurvedDarkLineIsHair) {
  Image picture = plain_skin();
  for (int x = 20; x < 230; ++x) {
    const int y = 60 + static_cast<int>(40 * std::sin(x / 40.0));
    image::fill_rectangle(picture, x, y, 2, 3, {60, 40, 30});
  }
  const Artefacts found = find_artefacts(picture);
  EXPECT_GT(*found.hair.at(100, 60 + static_cast<int>(40 * std::sin(100 / 40.0)) + 1), 0);
  EXPECT_LT(share_of(found.hair), 0.05);
  EXPECT_EQ(image::mask_area(found.border), 0u);
}

TEST(Artefacts, ASmallRoundLesionIsNoHair) {
  Image picture = plain_skin();
  draw_disc(picture, 128, 128, 4, {90, 55, 45});
  EXPECT_EQ(image::mask_area(find_artefacts(picture).hair), 0u);
}

TEST(Artefacts, AVioletRingIsInkAndTheLesionInItIsNot) {
  Image picture = plain_skin();
  draw_disc(picture, 128, 128, 80, {85, 60, 150});
  draw_disc(picture, 128, 128, 72, {224, 180, 155});
  draw_disc(picture, 128, 128, 30, {120, 75, 55});
  const Artefacts found = find_artefacts(picture);
  EXPECT_GT(*found.ink.at(128 + 76, 128), 0);
  EXPECT_EQ(*found.ink.at(128, 128), 0);
}

TEST(Artefacts, ABlueStickerAtTheEdgeIsInkAndABlueBlackLesionInTheMiddleIsNot) {
  Image picture = plain_skin();
  draw_disc(picture, 250, 40, 50, {40, 130, 200});
  draw_disc(picture, 128, 140, 35, {50, 55, 75});
  const Artefacts found = find_artefacts(picture);
  EXPECT_GT(*found.ink.at(240, 40), 0);
  EXPECT_EQ(*found.ink.at(128, 140), 0);
}

TEST(Artefacts, TheBlackRoundADermoscopeIsBorder) {
  Image picture(256, 256, 3, 4);
  draw_disc(picture, 128, 128, 120, {224, 180, 155});
  draw_disc(picture, 128, 128, 30, {90, 55, 45});
  const Artefacts found = find_artefacts(picture);
  EXPECT_GT(*found.border.at(3, 3), 0);
  EXPECT_GT(*found.border.at(252, 252), 0);
  EXPECT_EQ(*found.border.at(128, 128), 0);
  EXPECT_EQ(*found.border.at(128, 60), 0);
}

TEST(Artefacts, ADarkLesionThatFillsTheMiddleAndReachesACornerIsNoBorder) {
  Image picture = plain_skin();
  draw_disc(picture, 70, 70, 110, {35, 22, 18});
  EXPECT_EQ(image::mask_area(find_artefacts(picture).border), 0u);
}

TEST(Artefacts, AStraightScaleWithTicksIsARuler) {
  Image picture = plain_skin();
  image::fill_rectangle(picture, 40, 220, 170, 2, {50, 50, 50});
  for (int x = 40; x < 210; x += 8) image::fill_rectangle(picture, x, 212, 2, 10, {50, 50, 50});
  const Artefacts found = find_artefacts(picture);
  EXPECT_GT(*found.ruler.at(120, 221), 0);
}

TEST(Artefacts, AGlintIsAReflection) {
  Image picture = plain_skin();
  draw_disc(picture, 90, 90, 3, {255, 255, 255});
  const Artefacts found = find_artefacts(picture);
  EXPECT_GT(*found.reflection.at(90, 90), 0);
  EXPECT_LT(share_of(found.reflection), 0.01);
}

TEST(Artefacts, MasksHaveThePicturesSize) {
  Image picture(700, 430, 3, 200);
  const Artefacts found = find_artefacts(picture);
  EXPECT_EQ(found.any().width, 700);
  EXPECT_EQ(found.any().height, 430);
}

TEST(Artefacts, ATinyPictureIsRefused) { EXPECT_THROW(find_artefacts(Image(31, 40, 3)), UsageError); }

}  // namespace
}  // namespace derm::skin
