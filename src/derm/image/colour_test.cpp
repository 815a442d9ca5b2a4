#include "derm/image/colour.h"

#include <cmath>

#include <gtest/gtest.h>

#include "derm/base/error.h"

namespace derm::image {
namespace {

TEST(Srgb, MeetsTheStandardAtItsEndsAndItsSeam) {
  EXPECT_EQ(srgb_to_linear(0), 0);
  EXPECT_NEAR(srgb_to_linear(1), 1, 1e-12);
  EXPECT_NEAR(srgb_to_linear(0.04045), 0.04045 / 12.92, 1e-9);
  EXPECT_NEAR(srgb_to_linear(0.5), 0.21404, 1e-5);
  for (int i = 0; i <= 100; ++i) EXPECT_NEAR(linear_to_srgb(srgb_to_linear(i / 100.0)), i / 100.0, 1e-7);
}

TEST(Lab, OfWhiteBlackAndThePrimaries) {
  const auto expect = [](Rgb colour, double L, double a, double b, double tolerance) {
    const Lab lab = lab_of(colour);
    EXPECT_NEAR(lab.L, L, tolerance) << hex_of(colour);
    EXPECT_NEAR(lab.a, a, tolerance) << hex_of(colour);
    EXPECT_NEAR(lab.b, b, tolerance) << hex_of(colour);
  };
  expect({255, 255, 255}, 100, 0, 0, 1e-3);
  expect({0, 0, 0}, 0, 0, 0, 1e-3);
  expect({128, 128, 128}, 53.585, 0, 0, 1e-3);
  expect({255, 0, 0}, 53.24, 80.09, 67.20, 0.02);
  expect({0, 255, 0}, 87.73, -86.18, 83.18, 0.02);
  expect({0, 0, 255}, 32.30, 79.19, -107.86, 0.02);
}

TEST(Lab, ComesBackToTheSameEightBits) {
  for (int r = 0; r < 256; r += 15) {
    for (int g = 0; g < 256; g += 17) {
      for (int b = 0; b < 256; b += 15) {
        const Rgb colour{uint8_t(r), uint8_t(g), uint8_t(b)};
        ASSERT_EQ(rgb_of(lab_of(colour)), colour) << hex_of(colour);
        ASSERT_TRUE(in_gamut(lab_of(colour))) << hex_of(colour);
      }
    }
  }
}

TEST(Lab, OutsideTheGamutIsSeenAndClipped) {
  EXPECT_FALSE(in_gamut({50, 120, 0}));
  EXPECT_FALSE(in_gamut({100, 0, 10}));
  EXPECT_EQ(rgb_of({150, 0, 0}), (Rgb{255, 255, 255}));
  EXPECT_EQ(rgb_of({-20, 0, 0}), (Rgb{0, 0, 0}));
}

TEST(Ita, IsTheAngleAboveTheMiddleLightness) {
  EXPECT_NEAR(ita_degrees({70, 10, 20}), 45, 1e-12);  // 20 up, 20 along
  EXPECT_NEAR(ita_degrees({50, 10, 20}), 0, 1e-12);
  EXPECT_NEAR(ita_degrees({30, 10, 20}), -45, 1e-12);
  EXPECT_NEAR(ita_degrees({70, 0, -20}), 135, 1e-12);  // bluish: beyond 90, not folded back
  EXPECT_NEAR(ita_degrees({80, 0, 30 / std::sqrt(3.0)}), 60, 1e-9);
}

TEST(Tone, BordersBelongToTheDarkerGroup) {
  EXPECT_EQ(tone_of(55.1), "very_light");
  EXPECT_EQ(tone_of(55), "light");
  EXPECT_EQ(tone_of(41), "intermediate");
  EXPECT_EQ(tone_of(28), "tan");
  EXPECT_EQ(tone_of(10), "brown");
  EXPECT_EQ(tone_of(-29.9), "brown");
  EXPECT_EQ(tone_of(-30), "dark");
  EXPECT_EQ(tone_of(-90), "dark");
}

TEST(Ciede2000, MeetsTheTestPairsOfSharmaWuAndDalal) {
  struct Pair {
    Lab a, b;
    double difference;
  };
  constexpr Pair kPairs[34] = {
      {{50, 2.6772, -79.7751}, {50, 0, -82.7485}, 2.0425},
      {{50, 3.1571, -77.2803}, {50, 0, -82.7485}, 2.8615},
      {{50, 2.8361, -74.0200}, {50, 0, -82.7485}, 3.4412},
      {{50, -1.3802, -84.2814}, {50, 0, -82.7485}, 1.0000},
      {{50, -1.1848, -84.8006}, {50, 0, -82.7485}, 1.0000},
      {{50, -0.9009, -85.5211}, {50, 0, -82.7485}, 1.0000},
      {{50, 0, 0}, {50, -1, 2}, 2.3669},
      {{50, -1, 2}, {50, 0, 0}, 2.3669},
      {{50, 2.4900, -0.0010}, {50, -2.4900, 0.0009}, 7.1792},
      {{50, 2.4900, -0.0010}, {50, -2.4900, 0.0010}, 7.1792},
      {{50, 2.4900, -0.0010}, {50, -2.4900, 0.0011}, 7.2195},
      {{50, 2.4900, -0.0010}, {50, -2.4900, 0.0012}, 7.2195},
      {{50, -0.0010, 2.4900}, {50, 0.0009, -2.4900}, 4.8045},
      {{50, -0.0010, 2.4900}, {50, 0.0010, -2.4900}, 4.8045},
      {{50, -0.0010, 2.4900}, {50, 0.0011, -2.4900}, 4.7461},
      {{50, 2.5, 0}, {50, 0, -2.5}, 4.3065},
      {{50, 2.5, 0}, {73, 25, -18}, 27.1492},
      {{50, 2.5, 0}, {61, -5, 29}, 22.8977},
      {{50, 2.5, 0}, {56, -27, -3}, 31.9030},
      {{50, 2.5, 0}, {58, 24, 15}, 19.4535},
      {{50, 2.5, 0}, {50, 3.1736, 0.5854}, 1.0000},
      {{50, 2.5, 0}, {50, 3.2972, 0}, 1.0000},
      {{50, 2.5, 0}, {50, 1.8634, 0.5757}, 1.0000},
      {{50, 2.5, 0}, {50, 3.2592, 0.3350}, 1.0000},
      {{60.2574, -34.0099, 36.2677}, {60.4626, -34.1751, 39.4387}, 1.2644},
      {{63.0109, -31.0961, -5.8663}, {62.8187, -29.7946, -4.0864}, 1.2630},
      {{61.2901, 3.7196, -5.3901}, {61.4292, 2.2480, -4.9620}, 1.8731},
      {{35.0831, -44.1164, 3.7933}, {35.0232, -40.0716, 1.5901}, 1.8645},
      {{22.7233, 20.0904, -46.6940}, {23.0331, 14.9730, -42.5619}, 2.0373},
      {{36.4612, 47.8580, 18.3852}, {36.2715, 50.5065, 21.2231}, 1.4146},
      {{90.8027, -2.0831, 1.4410}, {91.1528, -1.6435, 0.0447}, 1.4441},
      {{90.9257, -0.5406, -0.9208}, {88.6381, -0.8985, -0.7239}, 1.5381},
      {{6.7747, -0.2908, -2.4247}, {5.8714, -0.0985, -2.2286}, 0.6377},
      {{2.0776, 0.0795, -1.1350}, {0.9033, -0.0636, -0.5514}, 0.9082},
  };
  for (const Pair& p : kPairs) {
    EXPECT_NEAR(ciede2000(p.a, p.b), p.difference, 1e-4) << p.a.L << " " << p.a.a << " " << p.a.b;
    EXPECT_NEAR(ciede2000(p.b, p.a), p.difference, 1e-4) << p.a.L << " " << p.a.a << " " << p.a.b;
    EXPECT_EQ(ciede2000(p.a, p.a), 0);
  }
}

TEST(Monk, TonesAreTheirOwnNearest) {
  for (int tone = 1; tone <= 10; ++tone) EXPECT_EQ(nearest_monk_tone(lab_of(monk_tone(tone))), tone);
  EXPECT_EQ(hex_of(monk_tone(5)), "#d7bd96");
  EXPECT_EQ(hex_of(monk_tone(10)), "#292420");
  EXPECT_THROW(monk_tone(0), UsageError);
  EXPECT_THROW(monk_tone(11), UsageError);
}

TEST(Monk, TonesHaveTheKnownTypologyAngles) {
  constexpr int kAngles[10] = {83, 80, 72, 65, 50, 11, -20, -55, -78, -84};
  for (int tone = 1; tone <= 10; ++tone)
    EXPECT_NEAR(ita_degrees(lab_of(monk_tone(tone))), kAngles[tone - 1], 1) << tone;
}

TEST(Hex, ReadsTheThreeSpellingsAndNothingElse) {
  EXPECT_EQ(rgb_from_hex("#c68642"), (Rgb{0xc6, 0x86, 0x42}));
  EXPECT_EQ(rgb_from_hex("C68642"), (Rgb{0xc6, 0x86, 0x42}));
  EXPECT_EQ(rgb_from_hex("#abc"), (Rgb{0xaa, 0xbb, 0xcc}));
  EXPECT_EQ(hex_of({0xc6, 0x86, 0x42}), "#c68642");
  for (const char* bad : {"", "#", "#ab", "#abcd", "#abcde", "#abcdefa", "#ggg", "##abc", "ita:25"}) {
    EXPECT_EQ(rgb_from_hex(bad), std::nullopt) << bad;
  }
}

}  // namespace
}  // namespace derm::image
