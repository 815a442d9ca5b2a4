#include "derm/skin/lesion.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <ctime>
#include <numeric>

#include "derm/base/csv.h"
#include "derm/base/error.h"
#include "derm/base/random.h"
#include "derm/base/system.h"
#include "derm/image/codec.h"
#include "derm/image/mask.h"
#include "derm/skin/skin_colour.h"

namespace derm::skin {
namespace {

using image::Image;
using image::Mask;

/// Skin with fine noise and an ellipse of another colour, soft at the rim; its mask beside it.
struct Scene {
  Image picture;
  Mask mask;
};

Scene scene(int w, int h, double cx, double cy, double rx, double ry, image::Rgb skin, image::Rgb spot,
            uint64_t seed = 1) {
  Scene s{Image(w, h, 3), Mask(w, h, 1)};
  Rng rng(seed);
  for (int y = 0; y < h; ++y) {
    for (int x = 0; x < w; ++x) {
      const double d = (std::hypot((x - cx) / rx, (y - cy) / ry) - 1) * std::min(rx, ry);
      const double in = std::clamp(0.5 - d / 4, 0.0, 1.0), noise = 3 * rng.normal();
      const double values[3] = {skin.r + in * (spot.r - skin.r), skin.g + in * (spot.g - skin.g),
                                skin.b + in * (spot.b - skin.b)};
      for (int c = 0; c < 3; ++c)
        s.picture.at(x, y)[c] = static_cast<uint8_t>(std::clamp(values[c] + noise, 0.0, 255.0));
      if (d <= 0) *s.mask.at(x, y) = 255;
    }
  }
  return s;
}

const image::Rgb kFair{224, 180, 155}, kDark{92, 62, 48}, kBrown{120, 75, 55};

TEST(FindLesion, ABrownEllipseOnFairSkinIsFoundToNineTenths) {
  const Scene s = scene(256, 256, 120, 134, 50, 36, kFair, kBrown);
  const Lesion found = find_lesion(s.picture);
  EXPECT_GT(image::mask_iou(found.mask, s.mask), 0.9);
  EXPECT_GT(found.quality, 0.7);
  EXPECT_NEAR(found.box.x, 70, 5);
  EXPECT_NEAR(found.box.w, 100, 9);
}

TEST(FindLesion, SmallAndLargeOnesAreFound) {
  for (const double radius : {8.0, 20.0, 60.0, 95.0}) {
    const Scene s = scene(256, 256, 128, 128, radius, radius * 0.9, kFair, kBrown);
    EXPECT_GT(image::mask_iou(find_lesion(s.picture).mask, s.mask), radius < 10 ? 0.5 : 0.85) << radius;
  }
}

TEST(FindLesion, PinkOnPinkAndBlackOnDarkSkinAreFound) {
  const Scene pink = scene(256, 256, 128, 128, 40, 40, {214, 165, 150}, {205, 128, 122});
  EXPECT_GT(image::mask_iou(find_lesion(pink.picture).mask, pink.mask), 0.85);
  const Scene black = scene(256, 256, 128, 128, 40, 40, kDark, {50, 36, 32});
  EXPECT_GT(image::mask_iou(find_lesion(black.picture).mask, black.mask), 0.85);
}

TEST(FindLesion, AnUprightPictureOfAnySizeGetsAMaskOfItsSize) {
  const Scene s = scene(300, 520, 150, 260, 60, 70, kFair, kBrown);
  const Lesion found = find_lesion(s.picture);
  EXPECT_EQ(found.mask.width, 300);
  EXPECT_EQ(found.mask.height, 520);
  EXPECT_GT(image::mask_iou(found.mask, s.mask), 0.85);
}

TEST(FindLesion, OneRegionWithoutHoles) {
  Scene s = scene(256, 256, 128, 128, 50, 50, kFair, kBrown);
  const Scene pale = scene(256, 256, 128, 128, 12, 12, kBrown, kFair);
  for (size_t i = 0; i < s.mask.pixels.size(); ++i) {  // a skin-coloured middle belongs to the lesion
    if (pale.mask.pixels[i] != 0) std::copy_n(&pale.picture.pixels[3 * i], 3, &s.picture.pixels[3 * i]);
  }
  const Mask found = find_lesion(s.picture).mask;
  EXPECT_EQ(image::connected_components(found).items.size(), 1u);
  EXPECT_EQ(image::mask_area(image::fill_holes(found)), image::mask_area(found));
}

TEST(FindLesion, ClearContrastIsWorthMoreThanNone) {
  const double clear = find_lesion(scene(256, 256, 128, 128, 40, 40, kFair, kBrown).picture).quality;
  const double faint = find_lesion(scene(256, 256, 128, 128, 40, 40, kFair, {222, 179, 154}).picture).quality;
  EXPECT_GT(clear, faint + 0.3);
}

TEST(FindLesion, ABlackPictureHoldsNothingAndDoesNotFail) {
  const Lesion found = find_lesion(Image(64, 64, 3, 0));
  EXPECT_EQ(image::mask_area(found.mask), 0u);
  EXPECT_EQ(found.quality, 0);
  EXPECT_LT(find_lesion(Image(64, 64, 3, 128)).quality, 0.5);
}

TEST(FindLesion, ATinyPictureIsRefused) { EXPECT_THROW(find_lesion(Image(20, 20, 3)), UsageError); }

TEST(FindLesion, TheSamePictureGivesTheSameMask) {
  const Scene s = scene(256, 256, 128, 128, 40, 30, kFair, kBrown, 7);
  EXPECT_EQ(find_lesion(s.picture).mask, find_lesion(s.picture).mask);
}

double rank_correlation(const std::vector<double>& a, const std::vector<double>& b) {
  const auto ranks = [](const std::vector<double>& v) {
    std::vector<size_t> order(v.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::sort(order.begin(), order.end(), [&](size_t x, size_t y) { return v[x] < v[y]; });
    std::vector<double> r(v.size());
    for (size_t i = 0; i < order.size(); ++i) r[order[i]] = static_cast<double>(i);
    return r;
  };
  const auto x = ranks(a), y = ranks(b);
  const double mean = (static_cast<double>(a.size()) - 1) / 2;
  double xy = 0, xx = 0;
  for (size_t i = 0; i < x.size(); ++i) xy += (x[i] - mean) * (y[i] - mean), xx += (x[i] - mean) * (x[i] - mean);
  return xy / xx;
}

struct Figures {
  size_t images = 0;
  double median_iou = 0, correlation = 0, cpu_ms = 0;
};

/// Every `stride`-th masked image of a set with its mask hidden. No images where the set is missing.
Figures measure_set(const std::string& name, size_t stride) {
  const std::filesystem::path root = std::filesystem::path(DERM_SOURCE_DIR) / "../shared/data" / name;
  Figures figures;
  if (!std::filesystem::exists(root / "metadata.csv")) return figures;
  const CsvTable table = CsvTable::read(root / "metadata.csv");
  std::vector<std::pair<std::string, std::string>> pairs;
  for (size_t i = 0; i < table.size(); ++i) {
    if (!table.get(i, "mask").empty()) pairs.emplace_back(table.get(i, "file"), table.get(i, "mask"));
  }
  figures.images = (pairs.size() + stride - 1) / stride;
  std::vector<double> iou(figures.images), quality(figures.images), seconds(figures.images);
  parallel_for(figures.images, [&](size_t k) {
    const auto& [file, mask] = pairs[k * stride];
    const Image picture = image::read_image(root / file);
    timespec from{}, to{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
    const Lesion found = find_lesion(picture);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
    seconds[k] = static_cast<double>(to.tv_sec - from.tv_sec) + 1e-9 * static_cast<double>(to.tv_nsec - from.tv_nsec);
    iou[k] = image::mask_iou(found.mask, image::read_mask(root / mask));
    quality[k] = found.quality;
  });
  figures.correlation = rank_correlation(iou, quality);
  std::nth_element(iou.begin(), iou.begin() + static_cast<long>(iou.size() / 2), iou.end());
  figures.median_iou = iou[iou.size() / 2];
  figures.cpu_ms = 1e3 * std::accumulate(seconds.begin(), seconds.end(), 0.0) / static_cast<double>(figures.images);
  return figures;
}

// DERM_ALL_IMAGES=1 takes every image, as the figures in the documents do.
size_t stride_or_all(size_t stride) { return std::getenv("DERM_ALL_IMAGES") != nullptr ? 1 : stride; }

void record(const Figures& f) {
  ::testing::Test::RecordProperty("images", static_cast<int>(f.images));
  fmt::print("  {} images: median IoU {:.3f}, rank correlation of quality and IoU {:.2f}, {:.1f} ms an image\n",
             f.images, f.median_iou, f.correlation, f.cpu_ms);
}

TEST(FindLesion, AgreesWithIsicMasksInTheMedian) {
  const Figures f = measure_set("isic2017-256", stride_or_all(16));
  if (f.images == 0) GTEST_SKIP() << "../shared/data/isic2017-256 is not there, so there are no masks to compare with";
  record(f);
  EXPECT_GE(f.median_iou, 0.78);
  EXPECT_LE(f.median_iou, 0.92);
  EXPECT_GE(f.correlation, 0.5);
}

TEST(FindLesion, AgreesWithHandDrawnMasksOfClinicalPhotographs) {
  const Figures f = measure_set("padufes20-256", stride_or_all(12));
  if (f.images == 0) GTEST_SKIP() << "../shared/data/padufes20-256 is not there, so there are no masks to compare with";
  record(f);
  EXPECT_GE(f.median_iou, 0.55);
  EXPECT_LE(f.median_iou, 0.85);
  EXPECT_GE(f.correlation, 0.4);
}

}  // namespace
}  // namespace derm::skin
