#include "derm/image/codec.h"

#include <cstdlib>
#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "derm/base/error.h"
#include "derm/base/files.h"

namespace derm::image {
namespace {

using testing::HasSubstr;

const std::filesystem::path kFolder = std::filesystem::path(DERM_SOURCE_DIR) / "src/derm/image/testdata";

Image gradient(int width, int height, int channels) {
  Image image(width, height, channels);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < channels; ++c)
        image.at(x, y)[c] = static_cast<uint8_t>(c == 0 ? 3 * x : c == 1 ? 2 * y : x + y);
    }
  }
  return image;
}

std::filesystem::path temporary(const std::string& name) {
  return std::filesystem::path(testing::TempDir()) / ("derm_codec_" + name);
}

template <class F>
std::string message_of(const F& call) {
  try {
    call();
  } catch (const DataError& error) {
    return error.what();
  }
  return "(no DataError)";
}

TEST(ReadImage, ReadsEachKindAsPillowDoes) {
  std::ifstream lines(kFolder / "expected.txt");
  std::string line;
  int count = 0;
  while (std::getline(lines, line)) {
    std::istringstream fields(line);
    std::string name, hex;
    int width = 0, height = 0, channels = 0, tolerance = 0;
    fields >> name >> width >> height >> channels >> tolerance >> hex;
    const Image image = read_image(kFolder / name);
    ++count;
    ASSERT_EQ(image.width, width) << name;
    ASSERT_EQ(image.height, height) << name;
    ASSERT_EQ(image.channels, channels) << name;
    ASSERT_EQ(image.pixels.size() * 2, hex.size()) << name;
    int worst = 0;
    for (size_t i = 0; i < image.pixels.size(); ++i) {
      worst = std::max(worst, std::abs(image.pixels[i] - std::stoi(hex.substr(2 * i, 2), nullptr, 16)));
    }
    EXPECT_LE(worst, tolerance) << name;
  }
  EXPECT_EQ(count, 24);
}

TEST(ReadImage, GoesByContentNotByName) {
  const auto path = temporary("really_a.png");
  write_file(path, encode_jpeg(gradient(20, 10, 3)));
  EXPECT_EQ(read_image(path).width, 20);
}

TEST(Png, RoundTripIsExact) {
  for (const int channels : {1, 3}) {
    const Image image = gradient(67, 41, channels);
    EXPECT_EQ(decode_image(encode_png(image), "memory"), image);
  }
  const Image one(1, 1, 3, 200);
  EXPECT_EQ(decode_image(encode_png(one), "memory"), one);
}

TEST(Png, TheSameImageAndTextGiveTheSameBytes) {
  const TextChunks text = {{"dermgan", "{\"seed\": 7}"}, {"Comment", "caf\u00e9"}};
  EXPECT_EQ(encode_png(gradient(64, 64, 3), text), encode_png(gradient(64, 64, 3), text));
}

TEST(PngText, RoundTripsLatinAndOtherWriting) {
  const TextChunks text = {{"ascii", "{\"skin\": \"#c68642\", \"seed\": 7}"},
                           {"latin", "caf\u00e9 25\u00b0"},
                           {"other", "\u76ae\u819a \U0001f642"},
                           {"lines", "one\ntwo\ttab"},
                           {"empty", ""},
                           {"long", std::string(100000, 'x') + "\u4e2d"}};
  const auto path = temporary("text.png");
  write_png(path, gradient(9, 9, 3), text);
  EXPECT_EQ(read_png_text(path), text);
  EXPECT_EQ(read_image(path), gradient(9, 9, 3));
}

TEST(PngText, IsTextWhereLatinWillDoAndItxtElsewhere) {
  const Image image(2, 2, 1);
  EXPECT_THAT(encode_png(image, {{"k", "caf\u00e9"}}), HasSubstr("tEXtk"));
  EXPECT_THAT(encode_png(image, {{"k", "\u4e2d"}}), HasSubstr("iTXtk"));
  EXPECT_THAT(encode_png(image, {{"k", "a\nb"}}), HasSubstr("iTXtk"));
}

TEST(PngText, RefusesKeywordsAndTextThatPngCannotHold) {
  const Image image(2, 2, 1);
  for (const std::string& keyword :
       {std::string(), std::string(80, 'k'), std::string(" k"), std::string("a  b"), std::string("\u00e9")}) {
    EXPECT_THROW(encode_png(image, {{keyword, "x"}}), UsageError) << keyword;
  }
  for (const std::string& bad :
       {std::string("\xff"), std::string("a\0b", 3), std::string("\xc3"), std::string("\xed\xa0\x80")}) {
    EXPECT_THROW(encode_png(image, {{"k", bad}}), UsageError);
  }
}

TEST(PngText, OfAJpegIsAnError) {
  const auto path = temporary("text.jpg");
  write_file(path, encode_jpeg(gradient(8, 8, 3)));
  EXPECT_THROW(read_png_text(path), DataError);
}

TEST(Jpeg, ComesBackAlmostTheSame) {
  const Image image = gradient(64, 48, 3);
  const Image back = decode_image(encode_jpeg(image, 95), "memory");
  ASSERT_EQ(back.pixels.size(), image.pixels.size());
  double sum = 0;
  for (size_t i = 0; i < image.pixels.size(); ++i) sum += std::abs(image.pixels[i] - back.pixels[i]);
  EXPECT_LT(sum / static_cast<double>(image.pixels.size()), 2);
  EXPECT_EQ(decode_image(encode_jpeg(gradient(30, 20, 1)), "memory").channels, 1);
  EXPECT_LT(encode_jpeg(image, 30).size(), encode_jpeg(image, 95).size());
  EXPECT_THROW(encode_jpeg(image, 0), UsageError);
  EXPECT_THROW(encode_jpeg(image, 101), UsageError);
}

TEST(Encode, RefusesImagesWithoutPixels) {
  EXPECT_THROW(encode_png(Image()), UsageError);
  EXPECT_THROW(encode_jpeg(Image()), UsageError);
  Image broken(4, 4, 3);
  broken.pixels.pop_back();
  EXPECT_THROW(encode_png(broken), UsageError);
  EXPECT_THROW(encode_png(Image(2, 2, 4)), UsageError);
}

TEST(Mask, CountsLuminanceFromTheMiddleUp) {
  const auto path = temporary("mask.png");
  Image image(4, 1, 3);
  image.pixels = {255, 0, 0, /**/ 0, 255, 0, /**/ 127, 127, 127, /**/ 128, 128, 128};  // luminance 76, 150, 127, 128
  write_png(path, image);
  EXPECT_EQ(read_mask(path).pixels, (std::vector<uint8_t>{0, 255, 0, 255}));
  EXPECT_EQ(read_mask(path).channels, 1);
}

TEST(Mask, TransparentIsOutside) {
  // rgba.png: alpha 0 in the first column, where the image itself is read as white.
  EXPECT_EQ(read_image(kFolder / "rgba.png").pixels[0], 255);
  EXPECT_EQ(read_mask(kFolder / "rgba.png").pixels[0], 0);
}

TEST(BadInput, EachIsNamedWithWhereAndWhat) {
  const auto decode = [](const std::string& bytes) { return message_of([&] { decode_image(bytes, "a.png"); }); };
  EXPECT_THAT(decode(""), HasSubstr("a.png: is empty"));
  EXPECT_THAT(decode("GIF89a......"), HasSubstr("is a GIF"));
  EXPECT_THAT(decode(std::string("\0\0\0\x18"
                                 "ftypheic",
                                 12)),
              HasSubstr("HEIC"));
  EXPECT_THAT(decode("hello"), HasSubstr("starts with 68 65 6c 6c"));
  EXPECT_THAT(message_of([] { read_image("no/such/file.png"); }), HasSubstr("no/such/file.png"));
}

TEST(BadInput, AnyFileCutShortIsAnError) {
  for (const char* name :
       {"rgb.png", "interlaced_alpha.png", "palette_alpha.png", "exif6.jpg", "progressive.jpg", "cmyk.jpg"}) {
    const std::string bytes = read_file(kFolder / name);
    for (size_t length = 0; length < bytes.size(); ++length) {
      EXPECT_THROW(decode_image(std::string_view(bytes).substr(0, length), name), DataError) << name << " " << length;
    }
  }
}

TEST(BadInput, ChangedBytesGiveAnImageOrAnErrorAndNothingElse) {
  uint32_t state = 1;
  const auto random = [&](uint32_t below) {
    state = state * 1664525u + 1013904223u;
    return (state >> 8) % below;
  };
  for (const auto& entry : std::filesystem::directory_iterator(kFolder)) {
    if (entry.path().extension() == ".txt") continue;
    const std::string bytes = read_file(entry.path());
    for (int trial = 0; trial < 200; ++trial) {
      std::string hurt = bytes;
      for (uint32_t k = 0; k <= random(4); ++k)
        hurt[random(static_cast<uint32_t>(hurt.size()))] = static_cast<char>(random(256));
      try {
        Limits limits;
        limits.max_pixels = 1 << 22;
        const Image image = decode_image(hurt, "hurt", limits);
        EXPECT_EQ(image.pixels.size(), static_cast<size_t>(image.width) * image.height * image.channels);
      } catch (const DataError&) {
      }
    }
  }
}

TEST(Limits, AreCheckedOnTheHeader) {
  Limits limits;
  limits.max_pixels = 99;
  EXPECT_THAT(message_of([&] { decode_image(encode_png(Image(10, 10, 3)), "a.png", limits); }),
              HasSubstr("10x10 pixels, more than the 99"));
  EXPECT_THAT(message_of([&] { decode_image(encode_jpeg(Image(10, 10, 3)), "a.jpg", limits); }),
              HasSubstr("more than the 99"));
  limits.max_pixels = 100;
  EXPECT_EQ(decode_image(encode_png(Image(10, 10, 3)), "a.png", limits).width, 10);
  limits.max_file_bytes = 20;
  EXPECT_THROW(decode_image(encode_png(Image(10, 10, 3)), "a.png", limits), DataError);
}

TEST(Limits, APngTooShortForItsSizeTakesNoMemory) {
  std::string bytes = encode_png(Image(2000, 2000, 1));
  EXPECT_EQ(decode_image(bytes, "a.png").width, 2000);  // flat colour packs a thousandfold and is still fine
  bytes.resize(1000);
  EXPECT_THAT(message_of([&] { decode_image(bytes, "a.png"); }), HasSubstr("cut short"));
}

TEST(Limits, AJpegTooShortForItsSizeTakesNoMemory) {
  std::string bytes = encode_jpeg(Image(2000, 2000, 1, 90));
  EXPECT_EQ(decode_image(bytes, "a.jpg").width, 2000);
  bytes.resize(4000);
  EXPECT_THAT(message_of([&] { decode_image(bytes, "a.jpg"); }), HasSubstr("cut short"));
}

}  // namespace
}  // namespace derm::image
