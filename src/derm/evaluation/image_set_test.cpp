#include "derm/evaluation/image_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/base/system.h"
#include "derm/base/testing/sentence.h"
#include "derm/evaluation/features.h"
#include "derm/evaluation/testing/sets.h"
#include "derm/image/resize.h"

namespace derm::evaluation {
namespace {

using derm::testing::sentence_of;
using ::testing::AllOf;
using ::testing::HasSubstr;

/// Mean of each channel: what an extractor could be at its smallest. Counts how often it is asked.
class Means : public metrics::Extractor {
 public:
  int asked = 0;
  std::string label = "means";
  std::string name() const override { return label; }
  std::string sha256() const override { return "none"; }
  std::string resize_kernel() const override { return "none"; }
  int64_t dimension() const override { return 3; }
  at::Tensor features(const at::Tensor& images) override {
    ++asked;
    return images.mean({2, 3});
  }
};

TEST(ImageSet, TakesTheRowsOfASplitAndKnowsTheirPatients) {
  const testing::Folder folder("image-set");
  const auto data = testing::phantoms(folder / "D", 40, 32, 1);
  const ImageSet set = ImageSet::real(data, {"train"});
  EXPECT_EQ(set.size(), data->of_split("train").size());
  EXPECT_EQ(ImageSet::real(data, {"validation", "test"}).size(), 40 - set.size());
  EXPECT_EQ(set.size_px(), 32);
  EXPECT_FALSE(set.items()[0].tone.empty());
  EXPECT_TRUE(shared_patients(set, ImageSet::real(data, {"validation"})).empty());
  EXPECT_EQ(shared_patients(set, set).size(), set.size());
  EXPECT_FALSE(set.has_requests());
  EXPECT_THAT(sentence_of([&] { ImageSet::real(data, {"holdout"}); }), HasSubstr("train, validation, test"));
  size_t next = 0;
  set.stream(
      [&](size_t first, const std::vector<image::Image>& images) {
        EXPECT_EQ(first, next);
        for (size_t i = 0; i < images.size(); ++i) EXPECT_EQ(images[i], set.image(first + i));
        next += images.size();
      },
      5);
  EXPECT_EQ(next, set.size());
}

TEST(ImageSet, ReducesAsTrainingDoesAndNeverEnlarges) {
  const testing::Folder folder("image-set-size");
  const auto data = testing::phantoms(folder / "D", 8, 64, 1);
  ImageSet set = ImageSet::synthetic(data);
  const image::Image whole = set.image(3);
  set.reduce_to(32);
  EXPECT_EQ(set.image(3), image::resize(whole, 32, 32, image::Filter::lanczos));
  EXPECT_THAT(sentence_of([&] { set.reduce_to(128); }), AllOf(HasSubstr("64 px"), HasSubstr("128 px")));
}

TEST(ImageSet, NamesTheFileThatIsCorruptOrOfAnotherSize) {
  const testing::Folder folder("image-set-bad");
  const auto data = testing::phantoms(folder / "D", 20, 32, 1);
  const ImageSet set = ImageSet::synthetic(data);
  Means means;
  write_file(data->path_of(data->records()[7].file_name), "no image");
  EXPECT_THAT(sentence_of([&] { extract(set, means, "test"); }), HasSubstr(data->records()[7].file_name));
  write_file(data->path_of(data->records()[7].file_name), image::encode_png(image::Image(16, 32, 3)));
  EXPECT_THAT(sentence_of([&] { extract(set, means, "test"); }),
              AllOf(HasSubstr(data->records()[7].file_name), HasSubstr("16 x 32"), HasSubstr("32 x 32")));
  EXPECT_THAT(sentence_of([&] { set.request(0); }), HasSubstr("requested_condition"));
}

TEST(Extract, StreamsManyImagesInConstantMemory) {
  // 2000 rows of one file: 64 px images would take 25 MB at once, their features take 24 KB.
  const testing::Folder folder("stream");
  fs::create_directories(folder / "D/images");
  std::string table = "file_name,condition\n";
  for (int i = 0; i < 2000; ++i) {
    const std::string name = "images/" + std::to_string(i) + ".png";
    if (i == 0)
      write_file(folder / "D" / name, image::encode_png(image::Image(256, 256, 3, 7)));
    else
      fs::create_hard_link(folder / "D/images/0.png", folder / "D" / name);
    table += name + ",nevus\n";
  }
  write_file(folder / "D/metadata.csv", table);
  const ImageSet set = ImageSet::synthetic(testing::open(folder / "D"));
  Means means;
  extract(set.subset({0, 1, 2, 3, 4, 5, 6, 7}), means, "warm");
  const uint64_t before = resident_memory_bytes();
  const at::Tensor features = extract(set, means, "stream");
  EXPECT_EQ(features.size(0), 2000);
  EXPECT_NEAR(features[1999][0].item<double>(), 7 / 127.5 - 1, 1e-5);
  EXPECT_LT(static_cast<double>(resident_memory_bytes()) - static_cast<double>(before), 120e6);  // all: 393 MB
}

TEST(FeatureCache, KeepsWhatItMadeAndMakesAgainWhatChangedOrIsDamaged) {
  const testing::Folder folder("cache");
  const auto data = testing::phantoms(folder / "D", 12, 32, 1);
  const ImageSet set = ImageSet::synthetic(data);
  const FeatureCache cache(folder / "kept");
  Means means;
  const at::Tensor first = cache.features(set, means, "test");
  EXPECT_EQ(means.asked, 1);
  EXPECT_TRUE(at::equal(cache.features(set, means, "test"), first));
  EXPECT_EQ(means.asked, 1);  // from the cache
  const fs::path file = cache.file_of(set, means);
  std::string bytes = read_file(file);
  bytes.back() ^= 1;  // one bit of one feature
  write_file(file, bytes);
  EXPECT_TRUE(at::equal(cache.features(set, means, "test"), first));
  EXPECT_EQ(means.asked, 2);
  write_file(file, "cut");
  EXPECT_TRUE(at::equal(cache.features(set, means, "test"), first));
  EXPECT_EQ(means.asked, 3);
  // An image that was changed in place.
  write_file(data->path_of(data->records()[0].file_name), image::encode_png(image::Image(32, 32, 3, 9)));
  EXPECT_FALSE(at::equal(cache.features(set, means, "test"), first));
  EXPECT_EQ(means.asked, 4);
  means.label = "other";
  cache.features(set, means, "test");
  EXPECT_EQ(means.asked, 5);
  FeatureCache({}).features(set, means, "test");
  EXPECT_EQ(means.asked, 6);
}

}  // namespace
}  // namespace derm::evaluation
