#include "derm/skin/skin_colour.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "derm/base/error.h"
#include "derm/image/draw.h"
#include "derm/phantom/phantom.h"

namespace derm::skin {
namespace {

using image::Image;
using image::Mask;

const image::Rgb kSkin{224, 180, 155};

Image skin_with_disc(double radius, Mask* mask) {
  Image picture(256, 256, 3);
  *mask = Mask(256, 256, 1);
  image::fill_rectangle(picture, 0, 0, 256, 256, kSkin);
  for (int y = 0; y < 256; ++y) {
    for (int x = 0; x < 256; ++x) {
      if (std::hypot(x - 128, y - 128) > radius) continue;
      image::fill_rectangle(picture, x, y, 1, 1, {110, 70, 55});
      *mask->at(x, y) = 255;
    }
  }
  return picture;
}

TEST(MeasureSkin, EvenSkinIsMeasuredExactly) {
  Mask lesion;
  const Image picture = skin_with_disc(50, &lesion);
  const SkinColour skin = measure_skin(picture, lesion);
  EXPECT_LT(image::ciede2000(skin.lab, image::lab_of(kSkin)), 0.05);
  EXPECT_EQ(skin.rgb, kSkin);
  EXPECT_NEAR(skin.ita_deg, image::ita_degrees(image::lab_of(kSkin)), 0.1);
  EXPECT_EQ(skin.tone, image::tone_of(skin.ita_deg));
  EXPECT_NEAR(skin.share, 1 - 3.14159 * 65 * 65 / 65536, 0.04);  // radius 50 and a margin of 15 px
}

TEST(MeasureSkin, FindsTheLesionItselfIfNoneIsGiven) {
  Mask lesion;
  const Image picture = skin_with_disc(60, &lesion);
  EXPECT_LT(image::ciede2000(measure_skin(picture, Mask()).lab, image::lab_of(kSkin)), 0.1);
}

TEST(MeasureSkin, AnEmptyMaskMeansNoLesionAndALesionOverAllStillAnswers) {
  Mask lesion;
  const Image picture = skin_with_disc(20, &lesion);
  EXPECT_LT(image::ciede2000(measure_skin(picture, Mask(256, 256, 1)).lab, image::lab_of(kSkin)), 0.1);
  const SkinColour none = measure_skin(picture, Mask(256, 256, 1, 255));
  EXPECT_EQ(none.share, 0);
  EXPECT_GT(none.lab.L, 0);
}

TEST(MeasureSkin, AMaskOfAnotherSizeIsRefused) {
  EXPECT_THROW(measure_skin(Image(64, 64, 3, 200), Mask(32, 32, 1)), UsageError);
}

double median_error(const phantom::PhantomOptions& options, bool given_mask, double* worst_tenth) {
  std::vector<double> errors;
  for (int64_t i = 0; i < options.count; ++i) {
    const phantom::Phantom made = phantom::make_phantom(options, i);
    const SkinColour skin = measure_skin(made.rgb, given_mask ? made.truth.lesion : Mask());
    errors.push_back(image::ciede2000(skin.lab, made.truth.skin));
  }
  std::sort(errors.begin(), errors.end());
  *worst_tenth = errors[errors.size() * 9 / 10];
  return errors[errors.size() / 2];
}

TEST(MeasureSkin, AgreesWithMadeSkinUnderHairRulerInkAndDarkCorners) {
  phantom::PhantomOptions options;
  options.count = 48;
  options.seed = 11;
  options.hair = options.ruler = options.ink = options.dark_corners = 1;
  double p90 = 0, p90_found = 0;
  const double median = median_error(options, true, &p90), found = median_error(options, false, &p90_found);
  fmt::print(
      "  all artefacts on {} images: median CIEDE2000 {:.2f} (p90 {:.2f}); lesion found too: {:.2f} (p90 {:.2f})\n",
      options.count, median, p90, found, p90_found);
  EXPECT_LE(median, 2.0);
  EXPECT_LE(found, 2.0);
}

}  // namespace
}  // namespace derm::skin
