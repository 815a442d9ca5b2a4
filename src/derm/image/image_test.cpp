#include "derm/image/image.h"

#include <gtest/gtest.h>

#include "derm/base/error.h"

namespace derm::image {
namespace {

/// 1 2 3
/// 4 5 6
Image six() {
  Image image(3, 2, 1);
  image.pixels = {1, 2, 3, 4, 5, 6};
  return image;
}

using Pixels = std::vector<uint8_t>;

TEST(Crop, TakesTheRectangleThatWasNamed) {
  EXPECT_EQ(crop(six(), 1, 0, 2, 2).pixels, (Pixels{2, 3, 5, 6}));
  EXPECT_EQ(crop(six(), 2, 1, 1, 1).pixels, Pixels{6});
}

TEST(Crop, RefusesWhatLeavesTheImage) {
  EXPECT_THROW(crop(six(), 2, 0, 2, 1), UsageError);
  EXPECT_THROW(crop(six(), -1, 0, 2, 1), UsageError);
  EXPECT_THROW(crop(six(), 0, 0, 0, 1), UsageError);
  EXPECT_THROW(crop(six(), 2147483647, 0, 2, 1), UsageError);
}

TEST(FlipHorizontal, MirrorsEachRow) { EXPECT_EQ(flip_horizontal(six()).pixels, (Pixels{3, 2, 1, 6, 5, 4})); }

TEST(QuarterTurns, GoCounterClockwiseAsNumpyRot90) {
  const Image once = quarter_turns(six(), 1);
  EXPECT_EQ(once.width, 2);
  EXPECT_EQ(once.height, 3);
  EXPECT_EQ(once.pixels, (Pixels{3, 6, 2, 5, 1, 4}));
  EXPECT_EQ(quarter_turns(six(), 2).pixels, (Pixels{6, 5, 4, 3, 2, 1}));
  EXPECT_EQ(quarter_turns(six(), 3), quarter_turns(six(), -1));
  EXPECT_EQ(quarter_turns(six(), 3).pixels, (Pixels{4, 1, 5, 2, 6, 3}));
  EXPECT_EQ(quarter_turns(six(), 8), six());
}

TEST(QuarterTurns, KeepTheChannelsOfAPixelTogether) {
  Image image(2, 1, 3);
  image.pixels = {1, 2, 3, 4, 5, 6};
  EXPECT_EQ(quarter_turns(image, 1).pixels, (Pixels{4, 5, 6, 1, 2, 3}));
}

TEST(ToRgb, RepeatsGrey) {
  Image grey(2, 1, 1);
  grey.pixels = {7, 9};
  EXPECT_EQ(to_rgb(grey).pixels, (Pixels{7, 7, 7, 9, 9, 9}));
  EXPECT_EQ(to_rgb(grey).channels, 3);
}

}  // namespace
}  // namespace derm::image
