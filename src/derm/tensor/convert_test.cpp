#include "derm/tensor/convert.h"

#include <cmath>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "derm/base/error.h"

namespace derm::tensor {
namespace {

image::Image ramp(int width, int height) {
  image::Image picture(width, height, 3);
  for (size_t i = 0; i < picture.pixels.size(); ++i) picture.pixels[i] = static_cast<uint8_t>(i * 7 % 256);
  return picture;
}

TEST(TensorOf, PlanesAreRedGreenBlueFromMinusOneToOne) {
  image::Image picture(2, 1, 3);
  picture.pixels = {0, 255, 51, 102, 153, 204};
  // 51 / 127.5 - 1 = -0.6
  EXPECT_TRUE(torch::allclose(
      tensor_of(picture), torch::tensor({-1.0, -0.2, 1.0, 0.2, -0.6, 0.6}).to(at::kFloat).view({3, 1, 2}), 0, 1e-6));
}

TEST(TensorOf, GreyIsRepeated) {
  const auto t = tensor_of(image::Image(3, 2, 1, 255));
  EXPECT_TRUE(torch::equal(t, torch::ones({3, 2, 3})));
}

TEST(ImagesOf, EveryByteComesBack) {
  const auto picture = ramp(32, 16);
  EXPECT_EQ(image_of(tensor_of(picture)), picture);
}

TEST(ImagesOf, TypeAndMemoryFormatDoNotMatter) {
  const auto picture = ramp(8, 8);
  const auto batch = torch::stack({tensor_of(picture), tensor_of(picture)});
  EXPECT_EQ(images_of(batch.contiguous(at::MemoryFormat::ChannelsLast).to(at::kDouble))[1], picture);
}

TEST(ImagesOf, RoundsAndClips) {
  // (v + 1) 127.5: 127.4 rounds to 127, 127.6 to 128
  const auto t = torch::tensor({-3.0, 127.4 / 127.5 - 1, 127.6 / 127.5 - 1, 1.2, double{INFINITY}, double{NAN}})
                     .to(at::kFloat)
                     .view({1, 1, 6})
                     .repeat({3, 1, 1});
  const auto picture = image_of(t);
  const int expected[6] = {0, 127, 128, 255, 255, 0};
  for (int x = 0; x < 6; ++x) EXPECT_EQ(picture.at(x, 0)[0], expected[x]) << x;
}

TEST(ImagesOf, ABatchOfFiveChannelsIsRefused) { EXPECT_THROW(images_of(torch::zeros({1, 5, 2, 2})), UsageError); }

}  // namespace
}  // namespace derm::tensor
