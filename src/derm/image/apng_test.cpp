#include "derm/image/apng.h"

#include <unistd.h>

#include <cstdio>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/base/testing/sentence.h"

namespace derm::image {
namespace {

using derm::testing::sentence_of;
using ::testing::HasSubstr;

std::vector<Image> frames() {
  std::vector<Image> result;
  for (int i = 0; i < 3; ++i) {
    Image frame(7, 5, 3);
    for (size_t p = 0; p < frame.pixels.size(); ++p) frame.pixels[p] = static_cast<uint8_t>(p * (i + 2) % 256);
    result.push_back(std::move(frame));
  }
  return result;
}

TEST(Apng, IsThePngOfItsFirstFrameToWhoeverKnowsNoAnimation) {
  const std::string bytes = encode_apng(frames(), 40, {{"image_manipulation", "synthetic"}});
  EXPECT_EQ(decode_image(bytes, "animation"), frames()[0]);
  EXPECT_EQ(bytes, encode_apng(frames(), 40, {{"image_manipulation", "synthetic"}}));
  const auto path = std::filesystem::temp_directory_path() / ("derm-apng-" + std::to_string(getpid()) + ".png");
  write_file(path, bytes);
  EXPECT_EQ(read_png_text(path).at("image_manipulation"), "synthetic");
  std::filesystem::remove(path);
}

TEST(Apng, HoldsThreeFramesOfFortyMillisecondsAsPillowReadsThem) {
  if (std::system("/usr/bin/python3 -c 'import PIL' 2>/dev/null") != 0) GTEST_SKIP() << "no Python with Pillow";
  const auto path = std::filesystem::temp_directory_path() / ("derm-apng-" + std::to_string(getpid()) + ".png");
  write_file(path, encode_apng(frames(), 40));
  const std::string script =
      "from PIL import Image\\n"
      "im = Image.open('" +
      path.string() +
      "')\\n"
      "print(im.n_frames, im.info['loop'], end=' ')\\n"
      "for i in range(im.n_frames):\\n"
      "    im.seek(i)\\n"
      "    print(int(im.info['duration']), im.convert('RGB').tobytes().hex(), end=' ')\\n";
  FILE* pipe = popen(("printf \"" + script + "\" | /usr/bin/python3 -").c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  std::string said;
  char buffer[4096];
  while (const size_t n = fread(buffer, 1, sizeof buffer, pipe)) said.append(buffer, n);
  EXPECT_EQ(pclose(pipe), 0);
  std::filesystem::remove(path);
  std::string expected = "3 0 ";
  for (const Image& frame : frames()) {
    expected += "40 ";
    for (const uint8_t v : frame.pixels) expected += fmt::format("{:02x}", v);
    expected += " ";
  }
  EXPECT_EQ(said, expected);
}

TEST(Apng, RefusesWhatMakesNoAnimation) {
  EXPECT_THAT(sentence_of([] { encode_apng({}, 40); }), HasSubstr("no frames"));
  EXPECT_THAT(sentence_of([] { encode_apng(frames(), 0); }), HasSubstr("1 to 65535"));
  std::vector<Image> odd = frames();
  odd.push_back(Image(7, 6, 3));
  EXPECT_THAT(sentence_of([&] { encode_apng(odd, 40); }), HasSubstr("7x5 with 3 channels, another 7x6"));
}

}  // namespace
}  // namespace derm::image
