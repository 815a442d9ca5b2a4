#include "derm/loader/colour_shift.h"

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "derm/base/random.h"

namespace derm::loader {
namespace {

/// Largest difference to the exact way in steps of 8 bit, over colours of skin whose red is in [low, high].
double worst_error(const image::Lab& shift, int low, int high) {
  const ColourShift table(shift);
  Rng rng(3);
  double worst = 0;
  for (int i = 0; i < 20000; ++i) {
    const auto red = static_cast<double>(rng.integer(low, high));
    const double green = red * rng.uniform(0.5, 0.95), blue = green * rng.uniform(0.55, 1.05);
    const image::Rgb c{static_cast<uint8_t>(red), static_cast<uint8_t>(green), static_cast<uint8_t>(blue)};
    image::Lab lab = image::lab_of(c);
    lab.L += shift.L, lab.a += shift.a, lab.b += shift.b;
    if (!image::in_gamut(lab)) continue;
    const image::Rgb exact = image::rgb_of(lab);
    float rgb[3] = {static_cast<float>(c.r), static_cast<float>(c.g), static_cast<float>(c.b)};
    table.apply(rgb);
    worst = std::max({worst, std::abs(double{rgb[0]} - exact.r), std::abs(double{rgb[1]} - exact.g),
                      std::abs(double{rgb[2]} - exact.b)});
  }
  return worst;
}

TEST(ColourShift, OfNothingChangesNothing) {
  float rgb[3] = {12.5f, 200, 255};
  ColourShift({0, 0, 0}).apply(rgb);
  EXPECT_NEAR(rgb[0], 12.5, 1e-3);
  EXPECT_NEAR(rgb[1], 200, 1e-3);
  EXPECT_NEAR(rgb[2], 255, 1e-3);
}

constexpr image::Lab kShifts[] = {{8, 3, 3}, {-8, -3, -3}, {8, -3, 3}, {-8, 3, -3}, {8, 3, -3}};

TEST(ColourShift, MeetsTheExactWayWithinAStepOnSkin) {
  // Half a step of it is the rounding of the exact way.
  for (const image::Lab& shift : kShifts) EXPECT_LT(worst_error(shift, 120, 240), 1.0);
}

TEST(ColourShift, MeetsTheExactWayWithinThreeStepsInTheDark) {
  for (const image::Lab& shift : kShifts) EXPECT_LT(worst_error(shift, 20, 120), 3.0);
}

TEST(ColourShift, ClipsToTheGamut) {
  float white[3] = {255, 255, 255}, black[3] = {0, 0, 0};
  ColourShift({8, 0, 0}).apply(white);
  ColourShift({-8, 0, 0}).apply(black);
  for (int c = 0; c < 3; ++c) {
    EXPECT_EQ(white[c], 255.0f);
    EXPECT_EQ(black[c], 0.0f);
  }
}

}  // namespace
}  // namespace derm::loader
