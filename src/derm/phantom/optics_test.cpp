#include "derm/phantom/optics.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "derm/data/skin_locus.h"
#include "derm/phantom/phantom.h"

namespace derm::phantom {
namespace {

double ita_of(double melanosomes, double blood) { return image::ita_degrees(skin_colour(melanosomes, blood)); }

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

// Median ITA over a range of melanosome fractions at usual amounts of blood.
double median_ita(double low, double high) {
  std::vector<double> itas;
  for (int i = 0; i <= 10; ++i)
    for (const double blood : {0.002, 0.005, 0.01, 0.02, 0.03})
      itas.push_back(ita_of(low + (high - low) * i / 10, blood));
  return median(itas);
}

TEST(SkinOptics, ItaFallsStrictlyWithMelanin) {
  for (const double blood : {0.002, 0.01, 0.05})
    for (double f = 0.002; f < 0.9; f *= 1.15) EXPECT_LT(ita_of(f * 1.15, blood), ita_of(f, blood)) << f;
}

TEST(SkinOptics, RednessRisesWithBlood) {
  for (const double f : {0.013, 0.05, 0.12})
    for (double b = 0.002; b < 0.1; b *= 1.5)
      EXPECT_GT(skin_colour(f, b * 1.5).a, skin_colour(f, b).a) << f << " " << b;
}

TEST(SkinOptics, ItaGoesFromPlusSeventyToMinusSeventyWithoutHoles) {
  double last = ita_of(0.001, 0.008);
  EXPECT_GT(last, 70);
  double widest = 0;
  for (double f = 0.001; f < 0.8; f *= 1.01) {
    const double ita = ita_of(f, 0.008);
    widest = std::max(widest, last - ita);
    last = ita;
  }
  EXPECT_LT(last, -70);
  EXPECT_LT(widest, 2.0);
}

TEST(SkinOptics, MelanosomeFractionsOfLightModerateAndDarkAdultsComeOutSo) {
  const double light = median_ita(0.013, 0.063), moderate = median_ita(0.11, 0.16), dark = median_ita(0.18, 0.43);
  std::printf("median ITA: light %.1f, moderate %.1f, dark %.1f\n", light, moderate, dark);
  EXPECT_GT(light, 41);
  EXPECT_GT(moderate, 10);
  EXPECT_LT(moderate, 41);
  EXPECT_LT(dark, -10);
}

TEST(SkinOptics, BloodWithoutOxygenIsLessRed) {
  SkinLayers skin;
  skin.blood_fraction = 0.03;
  skin.oxygenation = 1;
  const image::Lab arterial = skin_colour(skin);
  skin.oxygenation = 0;
  const image::Lab venous = skin_colour(skin);
  EXPECT_GT(arterial.L, venous.L);
  EXPECT_GT(image::ciede2000(arterial, venous), 1.5);
}

TEST(SkinOptics, AThickerEpidermisIsDarkerAndAThickerDermisLighter) {
  SkinLayers thin, thick;
  thin.epidermis_um = 40;
  thick.epidermis_um = 120;
  EXPECT_GT(skin_colour(thin).L, skin_colour(thick).L + 5);
  SkinLayers shallow, deep;
  shallow.dermis_mm = 0.6;
  deep.dermis_mm = 4;
  EXPECT_GT(image::ciede2000(skin_colour(shallow), skin_colour(deep)), 0.3);
}

// Pigment in the dermis is greyer than as much darkening in the epidermis.
TEST(SkinOptics, DeepPigmentIsGrey) {
  SkinLayers skin;
  skin.melanosome_fraction = 0.03;
  skin.deep_pigment = 0.1;
  const image::Lab deep = skin_colour(skin);
  skin.deep_pigment = 0;
  double low = 0.03, high = 1;
  for (int i = 0; i < 40; ++i) {
    skin.melanosome_fraction = (low + high) / 2;
    (skin_colour(skin).L > deep.L ? low : high) = skin.melanosome_fraction;
  }
  const image::Lab shallow = skin_colour(skin);
  EXPECT_LT(std::hypot(deep.a, deep.b), 5);
  EXPECT_GT(std::hypot(shallow.a, shallow.b), 15);
}

TEST(SkinOptics, ReflectanceIsAShareAndSmallestWhereBloodAndMelaninAbsorbMost) {
  for (const double f : {0.0, 0.05, 0.5, 3.0})
    for (const double b : {0.0, 0.02, 0.3}) {
      SkinLayers skin;
      skin.melanosome_fraction = f;
      skin.blood_fraction = b;
      const Spectrum r = reflectance(skin);
      for (const double v : r) {
        EXPECT_GT(v, 0.0);
        EXPECT_LT(v, 1.0);
      }
      EXPECT_LT(r[2], r[30]);  // 420 nm against 700 nm
    }
}

TEST(SkinOptics, FractionForAnItaGivesThatIta) {
  for (double ita = -70; ita <= 65; ita += 5)
    EXPECT_NEAR(ita_of(melanosome_fraction_for_ita(ita, 0.01), 0.01), ita, 0.01);
}

TEST(SkinOptics, TableAgreesWithTheModel) {
  SkinLayers skin;
  skin.oxygenation = 0.6;
  const SensorWeights sensor = sensor_weights({});
  const SkinTable table(skin, sensor, true);
  for (const double f : {0.004, 0.02, 0.09, 0.3, 0.8, 2.0})
    for (const double b : {0.003, 0.01, 0.04, 0.2})
      for (const double d : {0.0, 0.02, 0.1}) {
        const Linear fast = table.at(static_cast<float>(f), static_cast<float>(b), static_cast<float>(d));
        skin.melanosome_fraction = f;
        skin.blood_fraction = b;
        skin.deep_pigment = d;
        // Deep pigment's first step joins two layerings of the dermis and is coarser.
        EXPECT_LT(image::ciede2000(image::lab_of_linear(fast[0], fast[1], fast[2]), skin_colour(skin)),
                  d == 0 ? 0.35 : 2.5)
            << f << " " << b << " " << d;
      }
}

TEST(SkinOptics, SkinLocusWithoutDataIsThePhantoms) {
  // At 1 % blood the model ends at an ITA of about 70 degrees.
  for (double ita = -75; ita <= 70; ita += 2.5)
    EXPECT_LT(image::ciede2000(data::SkinLocus().at(ita), skin_colour(melanosome_fraction_for_ita(ita, 0.01), 0.01)),
              3.0)
        << ita;
}

}  // namespace
}  // namespace derm::phantom
