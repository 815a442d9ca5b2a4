#include "derm/phantom/light.h"

#include <gtest/gtest.h>

#include <cmath>

#include "derm/base/error.h"
#include "derm/image/colour.h"
#include "derm/phantom/optics.h"

namespace derm::phantom {
namespace {

// CIE standard illuminants D65 and A at 400, 450, 500, 600, 650 and 700 nm, as published.
TEST(Illuminant, MeetsTheStandardTables) {
  const Spectrum day = illuminant(6504), lamp = illuminant(2856);
  const std::array<int, 6> at = {0, 5, 10, 20, 25, 30};
  const std::array<double, 6> d65 = {82.75, 117.01, 109.35, 90.01, 80.03, 71.61};
  const std::array<double, 6> a = {14.71, 33.09, 59.86, 129.04, 165.03, 198.26};
  for (size_t i = 0; i < at.size(); ++i) {
    EXPECT_NEAR(day[static_cast<size_t>(at[i])], d65[i], 0.3) << wavelength_nm(at[i]);
    EXPECT_NEAR(lamp[static_cast<size_t>(at[i])], a[i], 0.1) << wavelength_nm(at[i]);
  }
}

TEST(Illuminant, OutsideTheLociIsRefused) {
  EXPECT_THROW(illuminant(1500), UsageError);
  EXPECT_THROW(illuminant(30000), UsageError);
}

Linear seen(const Spectrum& reflectance, const SensorWeights& sensor) {
  Linear out{};
  for (size_t c = 0; c < 3; ++c) {
    double sum = 0;
    for (size_t n = 0; n < kBands; ++n) sum += sensor[c][n] * reflectance[n];
    out[c] = static_cast<float>(sum);
  }
  return out;
}

TEST(SensorWeights, WhiteIsWhiteInEveryBalancedLightForObserverAndCamera) {
  Spectrum white;
  white.fill(1);
  for (const double kelvin : {2500.0, 2856.0, 4000.0, 5003.0, 6504.0, 12000.0})
    for (const double camera : {0.0, 0.5, 1.0})
      for (const float c : seen(white, sensor_weights({kelvin, 1, camera})))
        EXPECT_NEAR(c, 1, 0.004) << kelvin << " " << camera;
}

TEST(SensorWeights, WithoutBalanceALampIsYellowAndTheSkyBlue) {
  Spectrum white;
  white.fill(1);
  for (const double camera : {0.0, 1.0}) {
    const Linear lamp = seen(white, sensor_weights({2856, 0, camera})),
                 sky = seen(white, sensor_weights({12000, 0, camera}));
    EXPECT_GT(lamp[0], 1.3f * lamp[2]) << camera;
    EXPECT_LT(sky[0], 0.9f * sky[2]) << camera;
  }
}

// How far light and camera move the colour of skin once white is balanced: as far as cameras do, no farther.
TEST(SensorWeights, SkinKeepsItsColourAboutInBalancedLight) {
  double camera_worst = 0, lamp_worst = 0;
  for (const double melanin : {0.02, 0.06, 0.14, 0.3, 0.5})
    for (const double blood : {0.008, 0.03}) {
      SkinLayers skin;
      skin.melanosome_fraction = melanin;
      skin.blood_fraction = blood;
      const auto lab = [&](const Photometry& how) {
        const Linear rgb = skin_linear(skin, sensor_weights(how));
        return image::lab_of_linear(rgb[0], rgb[1], rgb[2]);
      };
      camera_worst = std::max(camera_worst, image::ciede2000(lab({}), lab({6504, 1, 1})));
      lamp_worst = std::max(lamp_worst, image::ciede2000(lab({}), lab({2856, 1, 0})));
    }
  std::printf("CIEDE2000 from the observer in D65: camera %.2f, lamp %.2f at most\n", camera_worst, lamp_worst);
  EXPECT_GT(camera_worst, 0.3);
  EXPECT_LT(camera_worst, 5);
  EXPECT_GT(lamp_worst, 0.5);
  EXPECT_LT(lamp_worst, 6);
}

}  // namespace
}  // namespace derm::phantom
