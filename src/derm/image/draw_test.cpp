#include "derm/image/draw.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "derm/base/error.h"

namespace derm::image {
namespace {

constexpr Rgb kWhite{255, 255, 255};

int lit(const Image& image) {
  return static_cast<int>(std::count_if(image.pixels.begin(), image.pixels.end(), [](uint8_t v) { return v != 0; })) /
         image.channels;
}

TEST(DrawText, DrawsTheDotsOfTheFont) {
  Image image(5, 7, 1);
  draw_text(image, 0, 0, "T", kWhite);
  EXPECT_EQ(lit(image), 5 + 6);
  EXPECT_EQ(*image.at(0, 0), 255);
  EXPECT_EQ(*image.at(2, 6), 255);
  EXPECT_EQ(*image.at(0, 1), 0);
}

TEST(DrawText, ScaleTwoMakesFourPixelsOfADot) {
  Image image(10, 14, 3);
  draw_text(image, 0, 0, "T", kWhite, 2);
  EXPECT_EQ(lit(image), 4 * 11);
}

TEST(DrawText, EveryPrintableCharacterDiffersFromEveryOther) {
  std::vector<Image> seen;
  std::vector<std::string> texts;
  for (char c = ' '; c <= '~'; ++c) texts.emplace_back(1, c);
  texts.emplace_back("\u00b0");
  for (const auto& text : texts) {
    Image image(5, 9, 1);
    draw_text(image, 0, 0, text, kWhite);
    EXPECT_EQ(std::count(seen.begin(), seen.end(), image), 0) << text;
    seen.push_back(image);
  }
}

TEST(DrawText, WhatTheFontLacksIsOneQuestionMarkACharacter) {
  Image a(40, 7, 1), b(40, 7, 1);
  draw_text(a, 0, 0, "x\u00e9\u4e2dx\n", kWhite);
  draw_text(b, 0, 0, "x??x?", kWhite);
  EXPECT_EQ(a, b);
  EXPECT_EQ(text_width("25\u00b0"), 17);
  EXPECT_EQ(text_width(""), 0);
}

TEST(DrawText, MayLeaveTheImageOnEachSide) {
  Image image(8, 8, 3);
  for (const int at : {-100, -3, 5, 100}) draw_text(image, at, at, "Ab\xff", kWhite, 3);
  EXPECT_THROW(draw_text(image, 0, 0, "x", kWhite, 0), UsageError);
}

TEST(Rectangles, FillAndFrame) {
  Image image(6, 6, 1);
  fill_rectangle(image, 4, 4, 10, 10, kWhite);
  EXPECT_EQ(lit(image), 4);
  Image framed(6, 6, 1);
  draw_rectangle(framed, 0, 0, 6, 6, kWhite, 2);
  EXPECT_EQ(lit(framed), 36 - 4);
}

TEST(MaskOutline, IsTheSetPixelsBesideUnsetOnes) {
  Mask mask(5, 5, 1);
  fill_rectangle(mask, 1, 1, 3, 3, kWhite);
  Image image(5, 5, 3);
  draw_mask_outline(image, mask, kWhite);
  EXPECT_EQ(lit(image), 8);
  EXPECT_EQ(*image.at(2, 2), 0);
  EXPECT_THROW(draw_mask_outline(image, Mask(4, 5, 1), kWhite), UsageError);
}

TEST(Paste, IsCutAtTheEdges) {
  Image target(4, 4, 3);
  paste(target, Image(3, 3, 1, 255), 2, 2);
  EXPECT_EQ(lit(target), 4);
  paste(target, Image(3, 3, 3, 255), -2, -2);
  EXPECT_EQ(lit(target), 5);
  paste(target, Image(3, 3, 3, 255), -30, 2);
  EXPECT_EQ(lit(target), 5);
}

TEST(DrawGrid, HasRoomForPicturesLabelsAndTitle) {
  Grid grid;
  grid.rows = {{Image(32, 20, 3, 10), Image(32, 20, 1, 20)}, {Image(32, 20, 3, 30), Image()}};
  const Image bare = draw_grid(grid);
  EXPECT_EQ(bare.width, 2 + 2 * 34);
  EXPECT_EQ(bare.height, 2 + 2 * 22);
  EXPECT_EQ(*bare.at(2, 2), 10);
  EXPECT_EQ(*bare.at(2 + 34, 2), 20);
  EXPECT_EQ(*bare.at(2, 2 + 22), 30);
  EXPECT_EQ(*bare.at(2 + 34, 2 + 22), 255);  // missing: stays blank

  grid.title = "A title far longer than the grid is wide";
  grid.column_labels = {"size 0.1", "a label that is too long"};
  grid.row_labels = {"nevus", "melanoma"};
  const Image labelled = draw_grid(grid);
  EXPECT_GE(labelled.width, bare.width + text_width("melanoma"));
  EXPECT_GE(labelled.height, bare.height + 14);
}

TEST(DrawGrid, RefusesMixedSizesAndNoPictures) {
  Grid grid;
  EXPECT_THROW(draw_grid(grid), UsageError);
  grid.rows = {{Image(4, 4, 3), Image(5, 4, 3)}};
  EXPECT_THROW(draw_grid(grid), UsageError);
}

}  // namespace
}  // namespace derm::image
