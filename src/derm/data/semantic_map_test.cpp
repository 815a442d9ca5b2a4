#include "derm/data/semantic_map.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <numbers>
#include <numeric>

#include "derm/base/error.h"
#include "derm/image/mask.h"

namespace derm::data {
namespace {

Region region_of(Shape shape, double x, double y, double w, double h) {
  Region region;
  region.condition = "nevus";
  region.shape = shape;
  region.x = x, region.y = y, region.w = w, region.h = h;
  return region;
}

Request request_of_region(const Region& region) {
  Request request;
  request.regions = {region};
  request.skin = {70, 5, 20};
  return request;
}

double sum(const std::vector<float>& v) { return std::accumulate(v.begin(), v.end(), 0.0); }

TEST(Rasterise, BoxOfHalfTheSideCoversAQuarter) {
  const auto cover = rasterise(region_of(Shape::box, 0.5, 0.5, 0.5, 0.5), 64, 0, 0);
  EXPECT_EQ(sum(cover), 32.0 * 32.0);
  EXPECT_EQ(cover[16 * 64 + 16], 1.0f);
  EXPECT_EQ(cover[15 * 64 + 16], 0.0f);
}

TEST(Rasterise, EllipseHasTheAreaOfAnEllipse) {
  const auto cover = rasterise(region_of(Shape::ellipse, 0.5, 0.5, 0.6, 0.3), 256, 0, 0);
  EXPECT_NEAR(sum(cover) / (256.0 * 256.0), std::numbers::pi / 4 * 0.6 * 0.3, 0.001);
}

TEST(Rasterise, RampIsHalfOnTheOutlineAndEndsAtItsHalfWidth) {
  // The left side of the box stands at 0.25; pixel centres lie at (i + 0.5) / 200, edge 0.05.
  const auto cover = rasterise(region_of(Shape::box, 0.5, 0.5, 0.5, 0.5), 200, 0.05, 0);
  const float* row = cover.data() + 100 * 200;
  EXPECT_EQ(row[39], 0.0f);                        // 0.1975, more than 0.05 outside
  EXPECT_NEAR(row[49], 0.5 - 0.0025 / 0.1, 1e-5);  // 0.2475
  EXPECT_NEAR(row[54], 0.5 + 0.0225 / 0.1, 1e-5);  // 0.2725
  EXPECT_EQ(row[60], 1.0f);                        // 0.3025
}

TEST(Rasterise, BlobTouchesAllFourSidesOfItsBox) {
  for (uint64_t seed = 0; seed < 40; ++seed) {
    const auto cover = rasterise(region_of(Shape::blob, 0.45, 0.55, 0.5, 0.3), 400, 0, seed);
    image::Mask mask(400, 400, 1);
    for (size_t i = 0; i < cover.size(); ++i) mask.pixels[i] = cover[i] >= 0.5f ? 255 : 0;
    const image::Box box = image::mask_box(mask);
    EXPECT_NEAR(box.x, 80, 2) << seed;
    EXPECT_NEAR(box.y, 160, 2) << seed;
    EXPECT_NEAR(box.w, 200, 3) << seed;
    EXPECT_NEAR(box.h, 120, 3) << seed;
    const double share = sum(cover) / (200.0 * 120.0);
    EXPECT_GT(share, 0.5) << seed;
    EXPECT_LT(share, 0.92) << seed;
    EXPECT_EQ(image::connected_components(mask).items.size(), 1u) << seed;
  }
}

TEST(Rasterise, BlobFollowsItsSeedAndTheSizeDoesNotChangeItsForm) {
  const Region region = region_of(Shape::blob, 0.5, 0.5, 0.6, 0.6);
  EXPECT_EQ(rasterise(region, 64, 0.01, 3), rasterise(region, 64, 0.01, 3));
  EXPECT_NE(rasterise(region, 64, 0.01, 3), rasterise(region, 64, 0.01, 4));
  const auto small = rasterise(region, 64, 0.02, 3), large = rasterise(region, 256, 0.02, 3);
  double worst = 0;
  for (int y = 0; y < 64; ++y)
    for (int x = 0; x < 64; ++x) {
      double mean = 0;
      for (int j = 0; j < 4; ++j)
        for (int i = 0; i < 4; ++i) mean += large[static_cast<size_t>((4 * y + j) * 256 + 4 * x + i)] / 16.0;
      worst = std::max(worst, std::abs(mean - small[static_cast<size_t>(y * 64 + x)]));
    }
  EXPECT_LT(worst, 0.12);
}

TEST(Rasterise, BlobRampHasItsHalfWidth) {
  // Over all outlines the ramp must neither vanish nor spread: its area is (outline length) x (2 edge) within bounds.
  const auto cover = rasterise(region_of(Shape::blob, 0.5, 0.5, 0.6, 0.6), 256, 0.02, 5);
  const auto soft = std::count_if(cover.begin(), cover.end(), [](float v) { return v > 0 && v < 1; });
  const double length = static_cast<double>(soft) / (256.0 * 256.0) / 0.04;
  EXPECT_GT(length, 0.9 * std::numbers::pi * 0.6);
  EXPECT_LT(length, 1.4 * std::numbers::pi * 0.6);
}

TEST(Rasterise, MaskIsTakenAtAnySize) {
  Region region = region_of(Shape::mask, 0.5, 0.5, 0.5, 0.5);
  region.mask = image::Mask(32, 32, 1);
  for (int y = 8; y < 24; ++y)
    for (int x = 8; x < 24; ++x) *region.mask.at(x, y) = 255;
  EXPECT_EQ(sum(rasterise(region, 32, 0, 0)), 256.0);
  EXPECT_NEAR(sum(rasterise(region, 128, 0, 0)), 4096.0, 150.0);
  const auto soft = rasterise(region, 128, 0.02, 0);
  EXPECT_NEAR(sum(soft), 4096.0, 20.0);
  EXPECT_NEAR(soft[64 * 128 + 64], 1.0, 1e-5);
  EXPECT_EQ(soft[0], 0.0f);
}

TEST(EncodeMap, PlanesHoldConditionRegionAndSkin) {
  MapSpec spec;
  spec.conditions = {"melanoma", "nevus"};
  spec.size_px = 32;
  EXPECT_EQ(spec.channels(), 6);
  const auto map = encode_map(request_of_region(region_of(Shape::box, 0.5, 0.5, 0.5, 0.5)), spec);
  ASSERT_EQ(map.size(), 6u * 1024u);
  const auto at = [&](size_t plane) { return map[plane * 1024 + 16 * 32 + 16]; };
  EXPECT_EQ(at(0), 0.0f);
  EXPECT_EQ(at(1), 1.0f);
  EXPECT_EQ(at(2), 1.0f);
  EXPECT_FLOAT_EQ(at(3), 0.4f);  // (70 - 50) / 50
  EXPECT_FLOAT_EQ(at(4), 0.1f);
  EXPECT_FLOAT_EQ(at(5), 0.4f);
  EXPECT_EQ(map[1 * 1024], 0.0f);
}

TEST(EncodeMap, RgbHasSkinGroundAndAColourForEachCondition) {
  MapSpec spec;
  spec.encoding = Encoding::rgb;
  spec.conditions = {"melanoma", "nevus"};
  spec.size_px = 32;
  Request request = request_of_region(region_of(Shape::box, 0.5, 0.5, 0.5, 0.5));
  const auto nevus = encode_map(request, spec);
  const image::Rgb ground = image::rgb_of(request.skin);
  EXPECT_FLOAT_EQ(nevus[0], static_cast<float>(ground.r) / 127.5f - 1);
  EXPECT_FLOAT_EQ(nevus[1024], static_cast<float>(ground.g) / 127.5f - 1);
  request.regions[0].condition = "melanoma";
  const auto melanoma = encode_map(request, spec);
  double apart = 0;
  for (size_t c = 0; c < 3; ++c) apart += std::abs(nevus[c * 1024 + 16 * 32 + 16] - melanoma[c * 1024 + 16 * 32 + 16]);
  EXPECT_GT(apart, 0.5);
  for (const float v : nevus) EXPECT_TRUE(v >= -1 && v <= 1);
}

TEST(EncodeMap, ThirtyConditionsHaveThirtyColours) {
  MapSpec spec;
  spec.encoding = Encoding::rgb;
  spec.size_px = 8;
  for (int i = 0; i < 30; ++i) spec.conditions.push_back("c" + std::to_string(i));
  std::vector<std::array<float, 3>> colours;
  for (const std::string& condition : spec.conditions) {
    Request request = request_of_region(region_of(Shape::box, 0.5, 0.5, 1, 1));
    request.regions[0].condition = condition;
    const auto map = encode_map(request, spec);
    colours.push_back({map[36], map[64 + 36], map[128 + 36]});
  }
  std::sort(colours.begin(), colours.end());
  EXPECT_EQ(std::unique(colours.begin(), colours.end()), colours.end());
}

TEST(EncodeMap, UnionOfTwoRegionsIsTheirMaximum) {
  MapSpec spec;
  spec.conditions = {"melanoma", "nevus"};
  spec.size_px = 64;
  spec.edge = 0;
  Request request = request_of_region(region_of(Shape::box, 0.25, 0.25, 0.25, 0.25));
  request.regions.push_back(region_of(Shape::box, 0.75, 0.75, 0.25, 0.25));
  request.regions[1].condition = "melanoma";
  const auto map = encode_map(request, spec);
  const auto plane = [&](size_t p) {
    return std::accumulate(map.begin() + static_cast<ptrdiff_t>(p * 4096),
                           map.begin() + static_cast<ptrdiff_t>((p + 1) * 4096), 0.0);
  };
  EXPECT_EQ(plane(0), 256.0);
  EXPECT_EQ(plane(1), 256.0);
  EXPECT_EQ(plane(2), 512.0);
  EXPECT_EQ(image::mask_area(region_mask(request, 64)), 512u);
}

TEST(EncodeMap, UnknownConditionIsRefused) {
  MapSpec spec;
  spec.conditions = {"melanoma"};
  EXPECT_THROW(encode_map(request_of_region(region_of(Shape::box, 0.5, 0.5, 0.5, 0.5)), spec), UsageError);
}

TEST(EncodeMap, PictureShowsTheRegionInAnotherColourThanTheGround) {
  const Request request = request_of_region(region_of(Shape::ellipse, 0.5, 0.5, 0.5, 0.5));
  const image::Image picture = map_picture(request, {"nevus"}, 64);
  const image::Rgb ground = image::rgb_of(request.skin);
  EXPECT_EQ(picture.at(0, 0)[0], ground.r);
  EXPECT_NE(picture.at(32, 32)[0], ground.r);
}

TEST(EncodeMap, TakesAFewMillisecondsAt256Pixels) {
  MapSpec spec;
  spec.conditions = {"a", "b", "c", "d", "e", "nevus"};
  const Request request = request_of_region(region_of(Shape::blob, 0.5, 0.5, 0.6, 0.6));
  encode_map(request, spec);
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 20; ++i) encode_map(request, spec);
  const double ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count() / 20;
  RecordProperty("milliseconds", std::to_string(ms));
  EXPECT_LT(ms, 25.0);  // about 1 ms; the bound leaves room for sanitizers and busy machines
}

TEST(Encoding, NamesComeBack) {
  EXPECT_EQ(encoding_from_name(encoding_name(Encoding::rgb)), Encoding::rgb);
  EXPECT_EQ(encoding_from_name("planes"), Encoding::planes);
  EXPECT_THROW(encoding_from_name("labels"), UsageError);
}

}  // namespace
}  // namespace derm::data
