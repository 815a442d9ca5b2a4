#include "derm/phantom/phantom.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <set>

#include <fmt/format.h>

#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/base/system.h"
#include "derm/data/dataset.h"
#include "derm/data/plan.h"
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
    EXPECT_LT(image::ciede2000(skin, p.truth.skin), 2.5) << i;
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

TEST(Phantom, EveryParameterCanBeSetAndChangesThePictureOfEveryCondition) {
  for (const std::string& condition : condition_names()) {
    PhantomOptions options;
    options.size_px = 96;
    options.set = {"condition=" + condition,
                   "hair=1",
                   "ruler=1",
                   "ink=1",
                   "dark_corners=1",
                   "bubbles=1",
                   "vessels=0.5",
                   "defocus=1",
                   "deep=1",
                   "horn=1",
                   "elevation=1",
                   "freckles_per_cm2=5",
                   "pores_per_cm2=50",
                   "field_mm=14",
                   "size=0.7",
                   "gloss=0.8",
                   "illuminant_k=5000",
                   "border_softness=1.3"};
    const Phantom usual = make_phantom(options, 2);
    for (const ParameterInfo& info : parameter_list()) {
      if (info.name == "lesion_mm") continue;  // follows from field_mm and size, which are set here
      PhantomOptions changed = options;
      std::erase_if(changed.set, [&](const std::string& s) { return s.substr(0, s.find('=')) == info.name; });
      const double now = usual.truth.parameters.*info.value;
      const double value = now == info.low ? info.high : info.whole ? info.low : (info.low + now) / 2;
      changed.set.push_back(fmt::format("{}={}", info.name, value));
      const Phantom other = make_phantom(changed, 2);
      EXPECT_TRUE(other.rgb != usual.rgb) << condition << " " << info.name;
    }
  }
}

TEST(Phantom, AskedSizeAndPlaceAreThoseOfTheMask) {
  PhantomOptions options;
  options.size_px = 128;
  options.sweep = {"size=0.2,0.4,0.6"};
  for (int64_t i = 0; i < 36; ++i) {
    const Phantom p = make_phantom(options, i);
    const image::Box box = image::mask_box(p.truth.lesion);
    const Parameters& asked = p.truth.parameters;
    EXPECT_NEAR(std::max(box.w, box.h) / 128, asked.size, 0.035) << i;
    EXPECT_NEAR((box.x + box.w / 2) / 128, asked.x, 0.025) << i;
    EXPECT_NEAR((box.y + box.h / 2) / 128, asked.y, 0.025) << i;
  }
}

TEST(Phantom, TheSameSkinInOtherLightKeepsItsTruthAndChangesItsPicture) {
  PhantomOptions options;
  options.size_px = 64;
  options.set = {"illuminant_k=2856", "white_balance=0.6"};
  const Phantom lamp = make_phantom(options, 1);
  options.set.clear();
  const Phantom day = make_phantom(options, 1);
  EXPECT_EQ(lamp.truth.skin_d65, day.truth.skin_d65);
  EXPECT_EQ(day.truth.skin, day.truth.skin_d65);
  EXPECT_GT(lamp.truth.skin.b, day.truth.skin.b + 5);
  EXPECT_LT(image::ciede2000(skin::measure_skin(lamp.rgb, lamp.truth.lesion).lab, lamp.truth.skin), 2.5);
}

// `prepare` with the mask hidden: how much of the lesion it finds and how well it measures the skin, by tone.
TEST(Phantom, PrepareFindsLesionAndSkinColourInEveryTone) {
  for (const char* look : {"clinical", "dermoscopic"}) {
    PhantomOptions options;
    options.seed = 5;
    options.look = look;
    const size_t count = look == std::string("clinical") ? 72 : 36;
    std::vector<double> overlap(count), error(count);
    std::vector<std::string> tone(count);
    parallel_for(count, [&](size_t i) {
      const Phantom p = make_phantom(options, static_cast<int64_t>(i));
      const skin::Artefacts artefacts = skin::find_artefacts(p.rgb);
      const skin::Lesion found = skin::find_lesion(p.rgb, artefacts);
      overlap[i] = image::mask_iou(found.mask, p.truth.lesion);
      error[i] = image::ciede2000(skin::measure_skin(p.rgb, found.mask, artefacts).lab, p.truth.skin);
      tone[i] = image::tone_of(image::ita_degrees(p.truth.skin));
    });
    std::printf("%s: median IoU %.3f, CIEDE2000 %.2f\n", look, median(overlap), median(error));
    EXPECT_GE(median(overlap), 0.85) << look;
    EXPECT_LE(median(overlap), 0.97) << look;  // above it the lesions would be drawn for the finder
    EXPECT_LE(median(error), 2.0) << look;
    for (const std::string& name : image::tone_names()) {
      std::vector<double> o, e;
      for (size_t i = 0; i < count; ++i)
        if (tone[i] == name) o.push_back(overlap[i]), e.push_back(error[i]);
      ASSERT_EQ(o.size(), count / 6);
      EXPECT_GE(median(o), 0.80) << look << " " << name;
      EXPECT_LE(median(e), 3.0) << look << " " << name;
    }
  }
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
  // Every physical parameter is written down.
  for (const ParameterInfo& info : parameter_list()) EXPECT_TRUE(set.records()[0].extra.count(info.name)) << info.name;
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
