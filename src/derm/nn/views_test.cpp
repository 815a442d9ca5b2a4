#include "derm/nn/views.h"

#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "derm/base/error.h"

namespace derm::nn {
namespace {

const ViewOptions kStill = {.least_side = 1, .most_side = 1, .turn_deg = 0};

/// A smooth picture with a region that is exactly where its red is above 0.
std::pair<at::Tensor, at::Tensor> picture(int64_t n) {
  const auto line = torch::linspace(-1, 1, 64);
  const auto red =
      1.2 * torch::exp(-4 * ((line - 0.3).square().unsqueeze(0) + (line + 0.2).square().unsqueeze(1))) - 0.6;
  const auto image = torch::stack({red, 0.5 * red, line.expand({64, 64}) * 0.5}).unsqueeze(0).repeat({n, 1, 1, 1});
  return {image, (red > 0).to(torch::kFloat).reshape({1, 1, 64, 64}).repeat({n, 1, 1, 1})};
}

TEST(Views, WithNothingSwitchedOnAreThePictureOrItsMirrorImage) {
  const auto [image, region] = picture(16);
  at::Generator random = at::detail::createCPUGenerator(3);
  const View view = draw_view(image, region, 64, kStill, random);
  int mirrored = 0;
  for (int64_t i = 0; i < 16; ++i) {
    const double straight = (view.image[i] - image[i]).abs().max().item<double>();
    const double flipped = (view.image[i] - image[i].flip({2})).abs().max().item<double>();
    EXPECT_LT(std::min(straight, flipped), 1e-4);
    mirrored += flipped < straight;
  }
  EXPECT_GT(mirrored, 2);  // 8 expected; below 3 or above 13 by chance in 1 of 200
  EXPECT_LT(mirrored, 14);
}

TEST(Views, MoveTheRegionWithThePicture) {
  const auto [image, region] = picture(8);
  at::Generator random = at::detail::createCPUGenerator(4);
  const View view = draw_view(image, region, 64, {.least_side = 0.6, .most_side = 1.4, .stretch = 0.3}, random);
  const auto from_picture = view.image.narrow(1, 0, 1) > 0, from_region = view.region > 0.5;
  const double both = at::logical_and(from_picture, from_region).sum().item<double>();
  const double either = at::logical_or(from_picture, from_region).sum().item<double>();
  EXPECT_GT(both / either, 0.95);
}

TEST(Views, RepeatWithTheirGeneratorAndDifferWithAnother) {
  const auto [image, region] = picture(4);
  const ViewOptions all = {.least_side = 0.5,
                           .most_side = 1.5,
                           .stretch = 0.2,
                           .light = 0.5,
                           .colour = 0.5,
                           .blur_px = 1.5,
                           .noise = 0.1,
                           .jpeg = 0.5};
  std::vector<at::Tensor> made;
  for (const uint64_t seed : {1, 1, 2}) {
    at::Generator random = at::detail::createCPUGenerator(seed);
    made.push_back(draw_view(image, region, 32, all, random).image);
    EXPECT_EQ(made.back().sizes(), (std::vector<int64_t>{4, 3, 32, 32}));
    EXPECT_LE(made.back().abs().max().item<double>(), 1.0);
  }
  EXPECT_TRUE(torch::equal(made[0], made[1]));
  EXPECT_GT((made[0] - made[2]).abs().mean().item<double>(), 0.01);
}

TEST(Views, OptionsOutOfRangeAreNamed) {
  ViewOptions options;
  options.light = 2;
  EXPECT_THROW(options.validate(), UsageError);
  options = {};
  options.most_side = 0.2;  // below least_side
  EXPECT_THROW(options.validate(), UsageError);
}

TEST(JpegCompressed, LosesMoreTheLowerTheQuality) {
  const auto [image, region] = picture(1);
  at::Generator random = at::detail::createCPUGenerator(5);
  const auto rough = (image + 0.1 * at::randn(image.sizes(), random)).clamp(-1, 1);
  double before = 0;
  for (const float quality : {100.0f, 75.0f, 20.0f}) {
    const auto out = jpeg_compressed(rough, torch::full({1}, quality));
    // Its brightness: colour is kept at half the resolution whatever the quality.
    const auto grey = [](const at::Tensor& t) { return 0.299 * t[0][0] + 0.587 * t[0][1] + 0.114 * t[0][2]; };
    const double lost = (grey(out) - grey(rough)).abs().mean().item<double>() * 127.5;
    if (quality == 100.0f) {
      EXPECT_LT(lost, 1.0);  // of 255: steps of 1 in the frequencies
    }
    EXPECT_GT(lost, before);
    before = lost;
  }
  EXPECT_THROW(jpeg_compressed(torch::zeros({1, 3, 24, 24}), torch::ones({1})), UsageError);
}

}  // namespace
}  // namespace derm::nn
