#include "derm/data/skin_locus.h"

#include <gtest/gtest.h>

#include <cmath>

#include "derm/base/error.h"
#include "derm/base/random.h"

namespace derm::data {
namespace {

// Colours on a straight locus (a = 12 - ita / 20, b = 18) with some scatter and a few strays.
std::vector<image::Lab> colours(double scatter, int strays = 0) {
  Rng rng(5);
  std::vector<image::Lab> out;
  for (int i = 0; i < 400; ++i) {
    const double ita = -20 + 70.0 * i / 399;
    const double b = 18 + scatter * rng.normal();
    out.push_back({50 + b * std::tan(ita * M_PI / 180), 12 - ita / 20 + scatter * rng.normal(), b});
  }
  for (int i = 0; i < strays; ++i) out.push_back({70, 60, 30});
  return out;
}

TEST(SkinLocus, PointsHaveTheItaThatWasAskedFor) {
  const SkinLocus known = SkinLocus::fit(colours(1));
  for (const SkinLocus& locus : {SkinLocus(), known})
    for (double ita = -89.5; ita <= 89.5; ita += 1) {
      const image::Lab lab = locus.at(ita);
      EXPECT_NEAR(image::ita_degrees(lab), ita, 1e-6);
      EXPECT_TRUE(image::in_gamut(lab)) << ita;
    }
}

TEST(SkinLocus, EndsOfTheScaleAreGreys) {
  EXPECT_NEAR(SkinLocus().at(90).b, 0, 1e-9);
  EXPECT_NEAR(SkinLocus().at(-90).a, 0, 1e-9);
  EXPECT_THROW(SkinLocus().at(90.5), UsageError);
  EXPECT_THROW(SkinLocus().at(std::nan("")), UsageError);
}

TEST(SkinLocus, PercentilesAreThoseOfTheData) {
  const SkinLocus locus = SkinLocus::fit(colours(0));
  EXPECT_NEAR(locus.low_ita(), -16.5, 0.1);  // -20 + 5 % of 70
  EXPECT_NEAR(locus.high_ita(), 46.5, 0.1);
}

TEST(SkinLocus, FollowsTheDataThroughScatterAndStrays) {
  const SkinLocus locus = SkinLocus::fit(colours(1.5, 12));
  for (double ita = -15; ita <= 45; ita += 5) {
    EXPECT_NEAR(locus.at(ita).a, 12 - ita / 20, 0.8) << ita;
    EXPECT_NEAR(locus.at(ita).b, 18, 0.8) << ita;
  }
}

TEST(SkinLocus, PassesIntoThePhantomsWithin15Degrees) {
  const SkinLocus locus = SkinLocus::fit(colours(0)), none;
  EXPECT_LT(image::ciede2000(locus.at(locus.low_ita() - 15.1), none.at(locus.low_ita() - 15.1)), 1e-6);
  EXPECT_LT(image::ciede2000(locus.at(locus.high_ita() + 15.1), none.at(locus.high_ita() + 15.1)), 1e-6);
  for (double ita = -80; ita < 80; ita += 0.5)
    EXPECT_LT(image::ciede2000(locus.at(ita), locus.at(ita + 0.5)), 1.0) << ita;
}

TEST(SkinLocus, ColoursBeyondTheDataCountAsExtrapolated) {
  const SkinLocus locus = SkinLocus::fit(colours(1));
  EXPECT_FALSE(locus.extrapolated(locus.at(20)));
  EXPECT_FALSE(locus.extrapolated(locus.at(locus.low_ita())));
  EXPECT_TRUE(locus.extrapolated(locus.at(locus.low_ita() - 1)));
  EXPECT_TRUE(locus.extrapolated(locus.at(60)));
  image::Lab red = locus.at(20);
  red.a += 15;
  EXPECT_TRUE(locus.extrapolated(red));
  int outside = 0;
  for (const image::Lab& lab : colours(1)) outside += locus.extrapolated(lab);
  EXPECT_GT(outside, 400 * 0.09);
  EXPECT_LT(outside, 400 * 0.16);
}

TEST(SkinLocus, SevenColoursAreTooFew) {
  const std::vector<image::Lab> all = colours(1);
  EXPECT_FALSE(SkinLocus::fit({all.begin(), all.begin() + 7}).known());
  EXPECT_TRUE(SkinLocus::fit({all.begin(), all.begin() + 8}).known());
  EXPECT_TRUE(SkinLocus().extrapolated({65, 10, 18}));
}

TEST(SkinLocus, EqualColoursGiveThatColour) {
  const SkinLocus locus = SkinLocus::fit(std::vector<image::Lab>(20, image::Lab{65, 10, 18}));
  EXPECT_LT(image::ciede2000(locus.at(image::ita_degrees({65, 10, 18})), {65, 10, 18}), 0.01);
  EXPECT_FALSE(locus.extrapolated({65, 10, 18}));
}

TEST(SkinLocus, ComesBackFromJson) {
  const SkinLocus locus = SkinLocus::fit(colours(1));
  const SkinLocus back = SkinLocus::from_json(nlohmann::json::parse(locus.to_json().dump()));
  for (double ita = -60; ita <= 60; ita += 7) EXPECT_EQ(back.at(ita), locus.at(ita));
  EXPECT_FALSE(SkinLocus::from_json(SkinLocus().to_json()).known());
  EXPECT_THROW(SkinLocus::from_json({{"knots", {{1, 2}}}}), DataError);
}

TEST(ParseSkin, TakesItsForms) {
  const SkinLocus locus;
  EXPECT_NEAR(image::ita_degrees(parse_skin("ita:-25.5", locus)), -25.5, 1e-6);
  EXPECT_EQ(image::hex_of(image::rgb_of(parse_skin("#c68642", locus))), "#c68642");
  EXPECT_EQ(image::rgb_of(parse_skin("monk:6", locus)), image::monk_tone(6));
}

TEST(ParseSkin, NamesTheFormsWhenItIsNotOneOfThem) {
  for (const char* text :
       {"", "brown", "ita:", "ita:abc", "ita:100", "monk:0", "monk:11", "monk:2.5", "like:", "#12345"}) {
    try {
      parse_skin(text, SkinLocus());
      ADD_FAILURE() << text << " was accepted";
    } catch (const UsageError& error) {
      EXPECT_NE(std::string(error.what()).find("ita:DEGREES"), std::string::npos) << error.what();
    }
  }
  EXPECT_THROW(parse_skin("like:no-such-photo.jpg", SkinLocus()), DataError);
}

}  // namespace
}  // namespace derm::data
