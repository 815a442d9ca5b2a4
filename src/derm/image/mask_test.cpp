#include "derm/image/mask.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "derm/base/error.h"

namespace derm::image {
namespace {

Mask mask_of(const std::vector<std::string>& rows) {
  Mask mask(static_cast<int>(rows.at(0).size()), static_cast<int>(rows.size()), 1);
  for (int y = 0; y < mask.height; ++y) {
    for (int x = 0; x < mask.width; ++x) *mask.at(x, y) = rows[y].at(x) == '#' ? 255 : 0;
  }
  return mask;
}

Mask noise_mask(int width, int height, uint32_t seed, int one_in) {
  Mask mask(width, height, 1);
  for (auto& p : mask.pixels) {
    seed = seed * 1664525u + 1013904223u;
    p = (seed >> 8) % static_cast<uint32_t>(one_in) == 0 ? 255 : 0;
  }
  return mask;
}

TEST(Mask, AreaAndBox) {
  const Mask mask = mask_of({".....", ".##..", "...#."});
  EXPECT_EQ(mask_area(mask), 3u);
  EXPECT_EQ(mask_box(mask), (Box{1, 1, 3, 2}));
  EXPECT_EQ(mask_box(Mask(5, 5, 1)), Box{});
}

TEST(Mask, IouCountsSharedOverAll) {
  EXPECT_DOUBLE_EQ(mask_iou(mask_of({"##."}), mask_of({".##"})), 1.0 / 3);
  EXPECT_EQ(mask_iou(mask_of({"..."}), mask_of({"..."})), 1);
  EXPECT_EQ(mask_iou(mask_of({"#.."}), mask_of({"..#"})), 0);
  EXPECT_THROW(mask_iou(Mask(2, 2, 1), Mask(2, 3, 1)), UsageError);
  EXPECT_THROW(mask_iou(Mask(2, 2, 3), Mask(2, 2, 3)), UsageError);
}

TEST(Distance, OfAKnightsMoveIsRootFive) {
  const auto distance = distance_to(mask_of({"#...", "....", "...."}));
  EXPECT_FLOAT_EQ(distance[0], 0);
  EXPECT_FLOAT_EQ(distance[3], 3);
  EXPECT_FLOAT_EQ(distance[1 * 4 + 2], std::sqrt(5.0f));
  EXPECT_FLOAT_EQ(distance[2 * 4 + 3], std::sqrt(13.0f));
}

TEST(Distance, EqualsTheSearchOverAllPixels) {
  for (const int one_in : {2, 10, 60, 400}) {
    const Mask mask = noise_mask(37, 29, 7, one_in);
    const auto distance = distance_to(mask);
    for (int y = 0; y < mask.height; ++y) {
      for (int x = 0; x < mask.width; ++x) {
        double least = std::numeric_limits<double>::infinity();
        for (int v = 0; v < mask.height; ++v) {
          for (int u = 0; u < mask.width; ++u) {
            if (*mask.at(u, v)) least = std::min(least, std::sqrt(double((u - x) * (u - x) + (v - y) * (v - y))));
          }
        }
        ASSERT_EQ(distance[static_cast<size_t>(y) * mask.width + x], static_cast<float>(least)) << x << " " << y;
      }
    }
  }
}

TEST(Distance, ToAnEmptyMaskIsInfinite) {
  EXPECT_EQ(distance_to(Mask(3, 3, 1))[4], std::numeric_limits<float>::infinity());
}

TEST(Dilate, ByADiscGivesADisc) {
  Mask dot(7, 7, 1);
  *dot.at(3, 3) = 255;
  EXPECT_EQ(dilate(dot, 2), mask_of({".......", "...#...", "..###..", ".#####.", "..###..", "...#...", "......."}));
  EXPECT_EQ(dilate(dot, 0), dot);
  EXPECT_EQ(mask_area(dilate(Mask(4, 4, 1), 3)), 0u);
}

TEST(Erode, UndoesTheDilationOfADiscAndSparesTheEdgeOfTheImage) {
  Mask dot(9, 9, 1);
  *dot.at(4, 4) = 255;
  EXPECT_EQ(erode(dilate(dot, 2), 2), dot);
  EXPECT_EQ(erode(Mask(4, 4, 1, 255), 2), Mask(4, 4, 1, 255));
  EXPECT_EQ(erode(mask_of({"###.."}), 1), mask_of({"##..."}));
}

TEST(FillHoles, FillsWhatTheBorderCannotReach) {
  EXPECT_EQ(fill_holes(mask_of({".###.", ".#.#.", ".###."})), mask_of({".###.", ".###.", ".###."}));
  // Open to the border: no hole. A diagonal gap is closed, since components hold together by their corners.
  EXPECT_EQ(fill_holes(mask_of({"#.#", "#.#", "###"})), mask_of({"#.#", "#.#", "###"}));
  EXPECT_EQ(fill_holes(mask_of({"..#..", ".#.#.", "..#.."})), mask_of({"..#..", ".###.", "..#.."}));
}

TEST(Components, HoldTogetherByCornersLargestFirst) {
  const auto found = connected_components(mask_of({"#....##", ".....##", "#.#....", ".#....."}));
  ASSERT_EQ(found.items.size(), 3u);
  EXPECT_EQ(found.items[0].area, 4u);
  EXPECT_EQ(found.items[0].box, (Box{5, 0, 2, 2}));
  EXPECT_DOUBLE_EQ(found.items[0].cx, 5.5);
  EXPECT_DOUBLE_EQ(found.items[0].cy, 0.5);
  EXPECT_EQ(found.items[1].area, 3u);
  EXPECT_EQ(found.items[2].area, 1u);
  EXPECT_EQ(found.labels[0], 3);
  EXPECT_EQ(found.labels[6], 1);
  EXPECT_EQ(found.labels[1], 0);
  EXPECT_EQ(found.labels[3 * 7 + 1], found.items[1].label);
}

TEST(GaussianBlur, KeepsTheSumOfADotAndFallsOffAsTheBell) {
  std::vector<float> plane(41 * 41, 0);
  plane[20 * 41 + 20] = 1;
  const auto blurred = gaussian_blur(plane, 41, 41, 2);
  double sum = 0;
  for (const float v : blurred) sum += v;
  EXPECT_NEAR(sum, 1, 1e-5);
  EXPECT_NEAR(blurred[20 * 41 + 22] / blurred[20 * 41 + 20], std::exp(-0.5), 1e-5);
  EXPECT_NEAR(blurred[22 * 41 + 22] / blurred[20 * 41 + 20], std::exp(-1.0), 1e-5);
}

TEST(GaussianBlur, KeepsAFlatPlaneAtTheEdgesAndAnswersToSigmaZero) {
  for (const float v : gaussian_blur(std::vector<float>(5 * 3, 4), 5, 3, 10)) EXPECT_NEAR(v, 4, 1e-5);
  const std::vector<float> plane = {1, 2, 3, 4};
  EXPECT_EQ(gaussian_blur(plane, 2, 2, 0), plane);
  EXPECT_THROW(gaussian_blur(plane, 3, 2, 1), UsageError);
}

TEST(Otsu, SplitsTwoHeapsInTheMiddle) {
  EXPECT_DOUBLE_EQ(otsu_threshold({0, 0, 1, 9, 10, 10}), 5);
  EXPECT_DOUBLE_EQ(otsu_threshold({10, 0}), 5);
  EXPECT_EQ(otsu_threshold({3, 3, 3}), 0);
  EXPECT_EQ(otsu_threshold({}), 0);
  EXPECT_DOUBLE_EQ(otsu_threshold({0, 10, std::nanf("")}), 5);
}

}  // namespace
}  // namespace derm::image
