#include "derm/image/resize.h"

#include <gtest/gtest.h>

#include "derm/base/error.h"
#include "derm/base/files.h"

namespace derm::image {
namespace {

/// The same noise as in tools/golden/resize.py.
Image noise(int width, int height, int channels) {
  Image image(width, height, channels);
  uint32_t state =
      static_cast<uint32_t>(width) * 1000003u + static_cast<uint32_t>(height) * 101u + static_cast<uint32_t>(channels);
  for (size_t i = 0; i < image.pixels.size(); ++i) {
    state = state * 1664525u + 1013904223u;
    image.pixels[i] = static_cast<uint8_t>(i / 64 % 3 == 0 ? 255 * (state >> 31) : state >> 24);
  }
  return image;
}

struct Golden {
  int channels;
  Filter filter;
  int w, h, out_w, out_h;
  const char* digest;
};
constexpr Golden kGolden[] = {
#include "derm/image/resize_golden.inc"
};

TEST(Resize, GivesTheBytesThatPillowGives) {
  for (const Golden& g : kGolden) {
    const Image result = resize(noise(g.w, g.h, g.channels), g.out_w, g.out_h, g.filter);
    ASSERT_EQ(result.width, g.out_w);
    ASSERT_EQ(result.height, g.out_h);
    const std::string_view bytes(reinterpret_cast<const char*>(result.pixels.data()), result.pixels.size());
    EXPECT_EQ(sha256_hex(bytes).substr(0, 16), g.digest) << g.w << "x" << g.h << "x" << g.channels << " to " << g.out_w
                                                         << "x" << g.out_h << ", filter " << int(g.filter);
  }
}

TEST(Resize, AveragesABoxByHand) {
  Image image(4, 2, 1);
  image.pixels = {10, 20, 100, 104, 30, 40, 108, 112};
  EXPECT_EQ(resize(image, 2, 1, Filter::box).pixels, (std::vector<uint8_t>{25, 106}));
}

TEST(Resize, KeepsAFlatColourFlat) {
  for (const auto filter :
       {Filter::box, Filter::bilinear, Filter::hamming, Filter::bicubic, Filter::lanczos, Filter::nearest}) {
    EXPECT_EQ(resize(Image(37, 23, 3, 201), 64, 11, filter), Image(64, 11, 3, 201));
  }
}

TEST(Resize, RefusesSizesBelowOneAndEmptyImages) {
  EXPECT_THROW(resize(Image(4, 4, 3), 0, 4), UsageError);
  EXPECT_THROW(resize(Image(4, 4, 3), 4, -1), UsageError);
  EXPECT_THROW(resize(Image(), 4, 4), UsageError);
}

}  // namespace
}  // namespace derm::image
