#include "derm/metrics/resize.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/metrics/testing/python.h"

namespace derm::metrics {
namespace {

TEST(ResizeClean, KeepsAFlatImageAndMapsItsValue) {
  // Weights sum to 1: (200 - 128) / 128 everywhere.
  const auto out = resize_clean(torch::full({1, 3, 40, 70}, 200, at::kByte));
  ASSERT_EQ(out.sizes(), (at::IntArrayRef{1, 3, 299, 299}));
  EXPECT_LT((out - 0.5625).abs().max().item<double>(), 1e-6);
}

TEST(ResizeClean, ClipsTheOvershootOfTheCubicAndDoesNotRound) {
  auto step = torch::zeros({1, 3, 299, 20});
  step.slice(3, 10).fill_(255);
  const auto out = resize_clean(step);
  EXPECT_EQ(out.min().item<float>(), -1.0f);
  EXPECT_EQ(out.max().item<float>(), 127.0f / 128);
  // The edge passes through values that no byte has.
  const auto values = out.mul(128).add(128);
  EXPECT_GT((values - values.round()).abs().max().item<double>(), 0.2);
}

TEST(ResizeLegacy, IsWhatBilinearGivesByHand) {
  // Twice as large, half-pixel centres: 0, 0.25, 0.75, 1 of the step between two pixels.
  auto two = torch::zeros({1, 3, 2, 2});
  two.select(3, 1).fill_(255);
  const auto out = resize_legacy(two, 4);
  EXPECT_TRUE(torch::allclose(out[0][0][0], torch::tensor({-1.0f, -0.5f, 0.5f, 1.0f})));
}

TEST(Resize, AgreesWithPillowAndTorch) {
  const testing::Folder folder;
  if (!testing::python("inception.py", "resize " + folder.path().string())) GTEST_SKIP() << "no Python with torch, PIL";
  const auto expected = testing::tensors_of(folder.path() / "expected.pth");
  for (const char* side : {"64", "200", "299", "512"}) {
    const auto images = expected.at(std::string("images.") + side);
    const double clean = (resize_clean(images) - expected.at(std::string("clean.") + side)).abs().max().item<double>();
    const double legacy =
        (resize_legacy(images) - expected.at(std::string("legacy.") + side)).abs().max().item<double>();
    EXPECT_LE(clean, 1.2e-7) << side;  // the last digit of fp32 at 1
    EXPECT_LE(legacy, 3e-6) << side;
  }
}

TEST(Resize, RefusesWhatIsNoImage) {
  EXPECT_THROW(resize_clean(torch::zeros({3, 8, 8})), UsageError);
  EXPECT_THROW(resize_clean(torch::zeros({1, 3, 8, 8}, at::kLong)), UsageError);
  EXPECT_THROW(resize_clean(torch::zeros({1, 3, 8, 8}), 0), UsageError);
  EXPECT_THROW(resize_legacy(torch::full({1, 3, 8, 8}, NAN)), DataError);
}

}  // namespace
}  // namespace derm::metrics
