#include "derm/phantom/phantom.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/base/system.h"
#include "derm/data/dataset.h"
#include "derm/data/plan.h"
#include "derm/data/skin_locus.h"
#include "derm/image/mask.h"
#include "derm/phantom/optics.h"
#include "derm/prepare/source.h"
#include "derm/skin/artefacts.h"
#include "derm/skin/lesion.h"
#include "derm/skin/skin_colour.h"

namespace derm::phantom {
namespace {

namespace fs = std::filesystem;

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

double ita_of(double melanosomes, double blood) { return image::ita_degrees(skin_colour(melanosomes, blood)); }

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

TEST(SkinOptics, MelanosomeFractionsOfLightModerateAndDarkAdultsComeOutSo) {
  EXPECT_GT(median_ita(0.013, 0.063), 41);
  EXPECT_GT(median_ita(0.11, 0.16), 10);
  EXPECT_LT(median_ita(0.11, 0.16), 41);
  EXPECT_LT(median_ita(0.18, 0.43), -10);
}

TEST(SkinOptics, FractionForAnItaGivesThatIta) {
  for (double ita = -70; ita <= 65; ita += 5)
    EXPECT_NEAR(ita_of(melanosome_fraction_for_ita(ita, 0.01), 0.01), ita, 0.01);
}

TEST(SkinOptics, TableAgreesWithTheModel) {
  for (const double f : {0.004, 0.02, 0.09, 0.3, 0.8, 2.0})
    for (const double b : {0.003, 0.01, 0.04, 0.2}) {
      const Linear fast = SkinTable::get().at(static_cast<float>(f), static_cast<float>(b));
      EXPECT_LT(image::ciede2000(image::lab_of_linear(fast[0], fast[1], fast[2]), skin_colour(f, b)), 0.35)
          << f << " " << b;
    }
}

TEST(SkinOptics, SkinLocusWithoutDataIsThePhantoms) {
  // At 1 % blood the model ends at an ITA of about 70 degrees.
  for (double ita = -75; ita <= 70; ita += 2.5)
    EXPECT_LT(image::ciede2000(data::SkinLocus().at(ita), skin_colour(melanosome_fraction_for_ita(ita, 0.01), 0.01)),
              3.0)
        << ita;
}

TEST(Phantom, ConditionNamesAreThoseOfPrepare) {
  for (const std::string& name : condition_names()) EXPECT_EQ(prepare::condition_name(name), name);
}

TEST(Phantom, IsTheSameOnEveryRunAndDiffersByIndexAndSeed) {
  PhantomOptions options;
  options.size_px = 96;
  const Phantom a = make_phantom(options, 5), b = make_phantom(options, 5), c = make_phantom(options, 11);
  EXPECT_EQ(a.rgb, b.rgb);
  EXPECT_EQ(a.truth.lesion, b.truth.lesion);
  EXPECT_NE(a.rgb, c.rgb);
  options.seed = 1;
  EXPECT_NE(make_phantom(options, 5).rgb, a.rgb);
}

TEST(Phantom, LesionLiesInsideTheImageAndLooksUnlikeTheSkin) {
  PhantomOptions options;
  options.size_px = 128;
  options.hair = options.ruler = options.ink = options.dark_corners = 0;
  for (int64_t i = 0; i < 36; ++i) {
    const Phantom p = make_phantom(options, i);
    const image::Box box = image::mask_box(p.truth.lesion);
    EXPECT_GT(box.w, 8) << i;
    EXPECT_GT(box.x, 0) << i;
    EXPECT_GT(box.y, 0) << i;
    EXPECT_LT(box.x + box.w, 128) << i;
    EXPECT_LT(box.y + box.h, 128) << i;
    std::array<double, 3> inside{}, outside{};
    double n_inside = 0, n_outside = 0;
    const image::Mask grown = image::dilate(p.truth.lesion, 12);
    for (int y = 0; y < 128; ++y)
      for (int x = 0; x < 128; ++x) {
        const bool in = *p.truth.lesion.at(x, y) > 0;
        if (!in && *grown.at(x, y) > 0) continue;
        for (size_t c = 0; c < 3; ++c) (in ? inside : outside)[c] += image::srgb_to_linear(p.rgb.at(x, y)[c] / 255.0);
        (in ? n_inside : n_outside) += 1;
      }
    const image::Lab lesion = image::lab_of_linear(inside[0] / n_inside, inside[1] / n_inside, inside[2] / n_inside);
    const image::Lab skin =
        image::lab_of_linear(outside[0] / n_outside, outside[1] / n_outside, outside[2] / n_outside);
    EXPECT_LT(image::ciede2000(skin, p.truth.skin), 1.0) << i;
    EXPECT_GT(image::ciede2000(skin, lesion), 1.5) << i << " " << p.truth.condition;
  }
}

TEST(Phantom, LeavingOutHairChangesNothingElse) {
  PhantomOptions options;
  options.size_px = 96;
  options.ruler = options.ink = options.dark_corners = 0;
  options.hair = 0;
  const Phantom bare = make_phantom(options, 3);
  options.hair = 1;
  const Phantom hairy = make_phantom(options, 3);
  EXPECT_FALSE(bare.truth.hair);
  EXPECT_TRUE(hairy.truth.hair);
  EXPECT_EQ(bare.truth.lesion, hairy.truth.lesion);
  EXPECT_EQ(bare.truth.skin, hairy.truth.skin);
  size_t same = 0;
  for (size_t i = 0; i < bare.rgb.pixels.size(); ++i) same += bare.rgb.pixels[i] == hairy.rgb.pixels[i];
  EXPECT_GT(same, bare.rgb.pixels.size() / 2);
  EXPECT_LT(same, bare.rgb.pixels.size());
}

TEST(Phantom, MeasuredSkinColourIsTheTrueOneUnderHairRulerInkAndDarkCorners) {
  PhantomOptions options;
  options.size_px = 192;
  options.hair = options.ruler = options.ink = options.dark_corners = 1;
  std::vector<double> known(60), found(60);
  parallel_for(known.size(), [&](size_t i) {
    const Phantom p = make_phantom(options, static_cast<int64_t>(i));
    const skin::Artefacts artefacts = skin::find_artefacts(p.rgb);
    known[i] = image::ciede2000(skin::measure_skin(p.rgb, p.truth.lesion, artefacts).lab, p.truth.skin);
    found[i] = image::ciede2000(skin::measure_skin(p.rgb, skin::find_lesion(p.rgb, artefacts).mask, artefacts).lab,
                                p.truth.skin);
  });
  RecordProperty("median_with_mask", std::to_string(median(known)));
  RecordProperty("median_lesion_found", std::to_string(median(found)));
  std::printf("median CIEDE2000: %.2f with the mask, %.2f with the lesion found\n", median(known), median(found));
  EXPECT_LT(median(known), 2.0);
  EXPECT_LT(median(found), 2.0);
}

TEST(Phantom, WrongOptionsAreRefused) {
  const auto refused = [](auto change) {
    PhantomOptions options;
    change(options);
    try {
      options.validate();
    } catch (const UsageError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_THAT(refused([](PhantomOptions& o) { o.count = 0; }), testing::HasSubstr("count"));
  EXPECT_THAT(refused([](PhantomOptions& o) { o.size_px = 8; }), testing::HasSubstr("size_px"));
  EXPECT_THAT(refused([](PhantomOptions& o) { o.hair = 1.5; }), testing::HasSubstr("hair"));
  EXPECT_THAT(refused([](PhantomOptions& o) { o.conditions = {"nevis"}; }), testing::HasSubstr("nevus"));
}

class WritePhantoms : public testing::Test {
 protected:
  void SetUp() override { root_ = fs::temp_directory_path() / ("derm-phantom-" + std::to_string(getpid())); }
  void TearDown() override { fs::remove_all(root_); }
  fs::path root_;
};

TEST_F(WritePhantoms, GivesADataSetBalancedOverConditionToneAndSize) {
  PhantomOptions options;
  options.out = root_ / "set";
  options.count = 108;  // 6 conditions x 6 tones x 3 sizes
  options.size_px = 32;
  write_phantoms(options);
  const data::DataSet set = data::DataSet::open(options.out);
  EXPECT_EQ(set.records().size(), 108u);
  EXPECT_EQ(set.size_px(), 32);
  EXPECT_EQ(set.conditions(), condition_names());
  std::map<std::string, int> tones, conditions;
  std::set<std::string> subjects;
  for (const data::Record& r : set.records()) {
    ++tones[r.tone];
    ++conditions[r.condition];
    subjects.insert(r.subject_id);
  }
  EXPECT_EQ(tones.size(), 6u);
  for (const auto& [tone, count] : tones) EXPECT_EQ(count, 18) << tone;
  for (const auto& [condition, count] : conditions) EXPECT_EQ(count, 18) << condition;
  EXPECT_EQ(subjects.size(), 108u);
  // 18 of a condition are two short of 14 + 3 + 3.
  EXPECT_EQ(set.usable("train").size(), 6u * 13u);
  EXPECT_EQ(set.usable("validation").size(), 6u * 3u);
  EXPECT_EQ(set.usable("test").size(), 6u * 2u);
  const data::Offer offer = data::offer_of(set);
  EXPECT_LT(offer.locus.low_ita(), -35);
  EXPECT_GT(offer.locus.high_ita(), 55);
}

TEST_F(WritePhantoms, GivesTheSameBytesOnAnyNumberOfThreads) {
  PhantomOptions options;
  options.count = 8;
  options.size_px = 48;
  options.out = root_ / "a";
  write_phantoms(options);
  options.out = root_ / "b";
  write_phantoms(options);
  EXPECT_EQ(data::DataSet::open(root_ / "a").fingerprint(), data::DataSet::open(root_ / "b").fingerprint());
  std::vector<image::Image> serial(8), parallel(8);
  parallel_for(
      8, [&](size_t i) { serial[i] = make_phantom(options, static_cast<int64_t>(i)).rgb; }, 1);
  parallel_for(
      8, [&](size_t i) { parallel[i] = make_phantom(options, static_cast<int64_t>(i)).rgb; }, 4);
  EXPECT_EQ(serial, parallel);
}

TEST_F(WritePhantoms, LeavesNothingBehindWhenRefused) {
  PhantomOptions options;
  options.out = root_ / "set";
  options.count = 0;
  EXPECT_THROW(write_phantoms(options), UsageError);
  EXPECT_FALSE(fs::exists(root_ / "set"));
}

}  // namespace
}  // namespace derm::phantom
