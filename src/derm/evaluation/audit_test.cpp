#include "derm/evaluation/audit.h"

#include <algorithm>
#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "derm/base/error.h"
#include "derm/evaluation/testing/sets.h"
#include "derm/image/colour.h"

namespace derm::evaluation {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

TEST(Turned, IsEightDifferentCopies) {
  image::Image image(2, 2, 1);
  image.pixels = {1, 2, 3, 4};
  std::vector<std::vector<uint8_t>> seen;
  for (int t = 0; t < 8; ++t) {
    seen.push_back(turned(image, t).pixels);
    for (int u = 0; u < t; ++u) EXPECT_NE(seen[static_cast<size_t>(u)], seen.back());
  }
  EXPECT_EQ(seen[0], image.pixels);
  EXPECT_EQ(seen[4], (std::vector<uint8_t>{2, 1, 4, 3}));  // mirrored
  EXPECT_EQ(seen[1], (std::vector<uint8_t>{2, 4, 1, 3}));  // a quarter turn counter-clockwise
}

/// 320 phantoms, of which about 224 are training ones; what a generator might have made of them.
class AuditTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new testing::Folder("audit");
    data_ = testing::phantoms(*folder_ / "D", 320, 64, 1);
  }
  static void TearDownTestSuite() {
    data_.reset();
    delete folder_;
  }
  static AuditResult audit_of(const std::shared_ptr<const data::DataSet>& made) {
    const auto extractor = metrics::random_extractor();
    return audit(ImageSet::real(data_, {"train"}), ImageSet::real(data_, {"validation", "test"}),
                 ImageSet::synthetic(made), *extractor, FeatureCache(*folder_ / "cache"));
  }
  /// 100 training images changed as `change` says.
  static AuditResult audit_of_copies(const std::string& name,
                                     const std::function<image::Image(const image::Image&, size_t)>& change,
                                     int quality = 0) {
    std::vector<size_t> rows = data_->of_split("train");
    rows.resize(100);
    return audit_of(testing::derived(*data_, rows, *folder_ / name, change, quality));
  }
  static testing::Folder* folder_;
  static std::shared_ptr<const data::DataSet> data_;
};
testing::Folder* AuditTest::folder_ = nullptr;
std::shared_ptr<const data::DataSet> AuditTest::data_;

TEST_F(AuditTest, PassesFreshImagesOfOthers) {
  for (const uint64_t seed : {2, 3}) {
    const AuditResult r = audit_of(testing::phantoms(*folder_ / ("fresh" + std::to_string(seed)), 100, 64, seed));
    EXPECT_TRUE(r.passed) << r.to_json().dump(1);
    for (const AuditSpace& s : r.spaces) {
      EXPECT_LT(s.share_first, 0.1);
      EXPECT_LT(s.share_fifth, 0.2);
      EXPECT_NEAR(s.nearest_is_training, s.expected, 0.15);
      EXPECT_NEAR(s.expected, 0.7, 0.05);  // 224 of 320
      EXPECT_NEAR(s.distances.smaller, 0.5, 0.12);
    }
  }
}

TEST_F(AuditTest, FindsEveryCopyAndTheTurnThatUndoesIt) {
  const AuditResult r = audit_of_copies(
      "mirrored", [](const image::Image& image, size_t i) { return turned(image, static_cast<int>(i % 8)); });
  EXPECT_FALSE(r.passed);
  const std::vector<size_t> rows = data_->of_split("train");
  for (const AuditSpace& s : r.spaces) {
    EXPECT_EQ(s.copies.size(), 100u) << s.name;
    EXPECT_EQ(s.share_first, 1);
    EXPECT_EQ(s.nearest_is_training, 1);
    for (size_t i = 0; i < 100; ++i) {
      EXPECT_EQ(s.synthetic[i].training, i);
      EXPECT_LT(s.synthetic[i].distance, 1e-3);
    }
  }
  // What turns it back shows the training photograph.
  const ImageSet training = ImageSet::real(data_, {"train"});
  const Nearest& one = r.spaces[1].synthetic[6];
  EXPECT_EQ(turned(turned(training.image(6), 6), one.turn), training.image(one.training));
}

TEST_F(AuditTest, IsNotFooledByASlightColourChange) {
  const AuditResult r = audit_of_copies("recoloured", [](const image::Image& image, size_t i) {
    image::Image changed = image;
    const int shift = static_cast<int>(i % 5) * 4 - 8;
    for (size_t p = 0; p < changed.pixels.size(); ++p) {
      const double v = changed.pixels[p] * (1.04 - 0.02 * static_cast<double>(p % 3)) + shift;
      changed.pixels[p] = static_cast<uint8_t>(std::clamp(v, 0.0, 255.0));
    }
    return image::flip_horizontal(changed);
  });
  EXPECT_FALSE(r.passed);
  EXPECT_GT(r.spaces[1].share_first, 0.9);
  EXPECT_GT(r.spaces[1].nearest_is_training, 0.95);
}

TEST_F(AuditTest, IsNotFooledByCompression) {
  const AuditResult r = audit_of_copies(
      "jpeg", [](const image::Image& image, size_t) { return image; }, 60);
  EXPECT_FALSE(r.passed);
  for (const AuditSpace& s : r.spaces) EXPECT_GT(s.nearest_is_training, 0.9) << s.name;
}

TEST_F(AuditTest, FindsOneCopyAmongManyFreshImages) {
  testing::phantoms(*folder_ / "one", 100, 64, 9);
  fs::copy_file(data_->path_of(data_->records()[data_->of_split("train")[33]].file_name),
                *folder_ / "one" / testing::open(*folder_ / "one")->records()[70].file_name,
                fs::copy_options::overwrite_existing);
  const AuditResult r = audit_of(testing::open(*folder_ / "one"));
  EXPECT_FALSE(r.passed);
  for (const AuditSpace& s : r.spaces) EXPECT_THAT(s.copies, ::testing::ElementsAre(70)) << s.name;
  EXPECT_EQ(closest_images(r, 20).size(), 20u);
  EXPECT_EQ(closest_images(r, 20).front(), 70u);
  EXPECT_THAT(r.reasons.front(), HasSubstr(ImageSet::synthetic(testing::open(*folder_ / "one")).items()[70].file_name));
}

TEST_F(AuditTest, DoesNotTakeSoftImagesForCopies) {
  // Blurred fresh images lie nearer to everything; nearer to training than held-out ones do, and yet they copy nobody.
  const auto fresh = testing::phantoms(*folder_ / "soft-source", 100, 64, 12);
  std::vector<size_t> rows(100);
  std::iota(rows.begin(), rows.end(), size_t{0});
  const AuditResult r =
      audit_of(testing::derived(*fresh, rows, *folder_ / "soft", [](const image::Image& image, size_t) {
        image::Image soft = image;
        for (int y = 0; y < image.height; ++y) {
          for (int x = 0; x < image.width; ++x) {
            for (int c = 0; c < 3; ++c) {
              int sum = 0;
              for (int dy = -3; dy <= 3; ++dy) {
                for (int dx = -3; dx <= 3; ++dx) {
                  sum += image.at(std::clamp(x + dx, 0, image.width - 1), std::clamp(y + dy, 0, image.height - 1))[c];
                }
              }
              soft.at(x, y)[c] = static_cast<uint8_t>((sum + 24) / 49);
            }
          }
        }
        return soft;
      }));
  EXPECT_GT(r.spaces[1].distances.smaller, 0.6);  // by distance alone they would look like copies
  EXPECT_TRUE(r.passed) << r.to_json().dump(1);
}

TEST_F(AuditTest, RefusesWhatGivesNoVerdict) {
  const auto extractor = metrics::random_extractor();
  const ImageSet training = ImageSet::real(data_, {"train"}), held = ImageSet::real(data_, {"validation", "test"});
  std::vector<size_t> few(63);
  std::iota(few.begin(), few.end(), size_t{0});
  const FeatureCache none({});
  EXPECT_THROW(audit(training, held, training.subset(few), *extractor, none), DataError);
  EXPECT_THROW(audit(training, held.subset(few), training, *extractor, none), DataError);
  EXPECT_THROW(audit(training, training, training, *extractor, none), DataError);  // the same patients
}

}  // namespace
}  // namespace derm::evaluation
