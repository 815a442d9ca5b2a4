#include "derm/prepare/prepare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "derm/base/csv.h"
#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/base/random.h"
#include "derm/base/system.h"
#include "derm/image/codec.h"
#include "derm/image/draw.h"
#include "derm/image/mask.h"
#include "derm/image/resize.h"

namespace derm::prepare {
namespace {

using image::Image;
using image::Mask;
using ::testing::HasSubstr;

/// Skin with freckles of its own (so that no two are near duplicates) and a brown disc.
Image lesion_picture(uint64_t seed, int w = 96, int h = 96, double cx = 0.5, double cy = 0.5, double radius = 0.2) {
  Rng rng(seed);
  Image picture(w, h, 3);
  image::fill_rectangle(picture, 0, 0, w, h, {224, 180, 155});
  for (int k = 0; k < 25; ++k) {
    const int shade = static_cast<int>(rng.integer(-14, 14));
    image::fill_rectangle(
        picture, static_cast<int>(rng.integer(0, w - 1)), static_cast<int>(rng.integer(0, h - 1)), w / 6, h / 6,
        {static_cast<uint8_t>(224 + shade), static_cast<uint8_t>(180 + shade), static_cast<uint8_t>(155 + shade)});
  }
  for (int y = 0; y < h; ++y) {
    for (int x = 0; x < w; ++x) {
      if (std::hypot(x + 0.5 - cx * w, y + 0.5 - cy * h) < radius * std::min(w, h))
        image::fill_rectangle(picture, x, y, 1, 1, {110, 68, 52});
    }
  }
  return picture;
}

Mask disc_mask(int w, int h, double cx, double cy, double radius) {
  Mask mask(w, h, 1);
  for (int y = 0; y < h; ++y) {
    for (int x = 0; x < w; ++x)
      *mask.at(x, y) = std::hypot(x + 0.5 - cx * w, y + 0.5 - cy * h) < radius * std::min(w, h) ? 255 : 0;
  }
  return mask;
}

/// The check sum of a PNG chunk (CRC-32 of ISO 3309).
uint32_t png_crc(const std::string& bytes, size_t from, size_t to) {
  uint32_t crc = 0xffffffff;
  for (size_t i = from; i < to; ++i) {
    crc ^= static_cast<uint8_t>(bytes[i]);
    for (int k = 0; k < 8; ++k) crc = crc & 1 ? 0xedb88320u ^ (crc >> 1) : crc >> 1;
  }
  return ~crc;
}

class PrepareTest : public ::testing::Test {
 protected:
  void SetUp() override {
    base_ = fs::temp_directory_path() / fmt::format("derm-prepare-{}-{}", getpid(),
                                                    ::testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(base_);
    fs::create_directories(source());
    options_.source = source();
    options_.out = base_ / "out";
    options_.size_px = 64;
  }
  void TearDown() override { fs::remove_all(base_); }
  fs::path source() const { return base_ / "in"; }
  fs::path out() const { return options_.out; }
  void put(const std::string& name, const Image& picture) {
    fs::create_directories((source() / name).parent_path());
    const bool jpeg = name.ends_with(".jpg");
    write_file(source() / name, jpeg ? image::encode_jpeg(picture, 90) : image::encode_png(picture));
  }
  void put_text(const std::string& name, const std::string& text) {
    fs::create_directories((source() / name).parent_path());
    write_file(source() / name, text);
  }
  std::string error() {
    try {
      prepare(options_);
    } catch (const Error& e) {
      return e.what();
    }
    return "nothing was thrown";
  }
  std::vector<data::Record> records() const { return data::DataSet::open(out()).records(); }
  static std::string reason(const Summary& s, const std::string& file) {
    for (const Refused& r : s.refused) {
      if (r.file == file) return r.reason;
    }
    return "(not refused)";
  }
  fs::path base_;
  PrepareOptions options_;
};

TEST_F(PrepareTest, AFolderBecomesADataSetThatOpens) {
  for (int i = 0; i < 6; ++i)
    put(fmt::format("{}/p{}.png", i % 2 ? "melanoma" : "nevus", i), lesion_picture(i, 96, 64));
  const Summary s = prepare(options_);
  EXPECT_EQ(s.layout, "folder");
  EXPECT_EQ(s.read, 6u);
  EXPECT_EQ(s.written, 6u);
  EXPECT_TRUE(s.refused.empty());
  const auto set = data::DataSet::open(out());
  EXPECT_EQ(set.records().size(), 6u);
  EXPECT_EQ(set.size_px(), 64);
  EXPECT_EQ(set.fingerprint(), s.fingerprint);
  EXPECT_EQ(set.fingerprint().size(), 64u);
  EXPECT_DOUBLE_EQ(set.min_quality(), 0.35);
  EXPECT_EQ(set.facts()["prepare"]["region_sources"]["found"], 6);
  for (const data::Record& r : set.records()) {
    EXPECT_EQ(r.extra.at("region_source"), "found");
    ASSERT_TRUE(r.skin_rgb && r.ita_deg && r.quality);
    EXPECT_NEAR(r.skin_rgb->r, 224, 12);
    EXPECT_GT(image::mask_iou(image::read_mask(set.path_of(r.mask_file_name)), disc_mask(64, 64, 0.5, 0.5, 0.2)), 0.7);
  }
  EXPECT_TRUE(fs::exists(out() / "preview.png"));
  EXPECT_EQ(CsvTable::read(out() / "refused.csv").size(), 0u);
  EXPECT_GT(image::read_image(out() / "preview.png").width, 400);
}

TEST_F(PrepareTest, PixelsOfTheSizeAlreadyAreStoredUnchangedOthersAsPilWould) {
  const Image same = lesion_picture(1, 64, 64), larger = lesion_picture(2, 200, 120);
  put("nevus/same.png", same);
  put("nevus/larger.png", larger);
  prepare(options_);
  EXPECT_EQ(image::read_image(out() / "images/same.png"), same);
  EXPECT_EQ(image::read_image(out() / "images/larger.png"),
            image::resize(image::crop(larger, 40, 0, 120, 120), 64, 64));
}

TEST_F(PrepareTest, StretchTakesTheWholePicture) {
  const Image wide = lesion_picture(2, 200, 120);
  put("nevus/wide.png", wide);
  options_.crop = "stretch";
  prepare(options_);
  EXPECT_EQ(image::read_image(out() / "images/wide.png"), image::resize(wide, 64, 64));
}

TEST_F(PrepareTest, CropToTheLesionPutsItInTheMiddle) {
  put("images/a.png", lesion_picture(3, 400, 300, 0.2, 0.3, 0.08));
  put("masks/a.png", disc_mask(400, 300, 0.2, 0.3, 0.08));
  put_text("metadata.csv", "file_name,condition,mask_file_name\nimages/a.png,nevus,masks/a.png\n");
  options_.crop = "lesion";
  prepare(options_);
  const auto r = data::DataSet::open(out()).records()[0];
  EXPECT_NEAR(r.boxes[0].x + r.boxes[0].w / 2, 32, 2);
  EXPECT_NEAR(r.boxes[0].w, 64 / 1.8, 2);
}

TEST_F(PrepareTest, GivenMasksAndBoxesAreUsedBeforeSearching) {
  put("images/a.png", lesion_picture(1));
  put("images/b.png", lesion_picture(2));
  put("images/c.png", lesion_picture(3));
  put("masks/a.png", disc_mask(96, 96, 0.4, 0.5, 0.3));
  put_text("metadata.csv",
           "file_name,condition,mask_file_name,box_x,box_y,box_w,box_h\nimages/a.png,nevus,masks/a.png,,,,\nimages/"
           "b.png,nevus,,30,30,36,48\n"
           "images/c.png,nevus,,,,,\n");
  prepare(options_);
  const auto set = data::DataSet::open(out());
  const auto& r = set.records();
  EXPECT_EQ(r[0].extra.at("region_source"), "mask");
  EXPECT_GT(image::mask_iou(image::read_mask(set.path_of(r[0].mask_file_name)), disc_mask(64, 64, 0.4, 0.5, 0.3)),
            0.95);
  EXPECT_FALSE(r[0].quality.has_value());
  EXPECT_EQ(r[1].extra.at("region_source"), "box");
  EXPECT_EQ(r[1].mask_file_name, "");
  EXPECT_EQ(r[1].boxes[0], (image::Box{20, 20, 24, 32}));
  EXPECT_EQ(r[2].extra.at("region_source"), "found");
}

TEST_F(PrepareTest, RegionsFoundIgnoresMasks) {
  put("images/a.png", lesion_picture(1));
  put("masks/a.png", disc_mask(96, 96, 0.2, 0.2, 0.1));
  put_text("metadata.csv", "file_name,condition,mask_file_name\nimages/a.png,nevus,masks/a.png\n");
  options_.regions = "found";
  prepare(options_);
  const auto set = data::DataSet::open(out());
  EXPECT_GT(
      image::mask_iou(image::read_mask(set.path_of(set.records()[0].mask_file_name)), disc_mask(64, 64, 0.5, 0.5, 0.2)),
      0.7);
}

TEST_F(PrepareTest, EveryRefusalHasItsReason) {
  put("images/good.png", lesion_picture(1));
  put("images/copy.png", lesion_picture(1));
  put("images/box.png", lesion_picture(2));
  put("images/mask.png", lesion_picture(3));
  put("images/tiny.png", Image(20, 20, 3, 100));
  put("masks/mask.png", disc_mask(90, 96, 0.5, 0.5, 0.2));
  put_text("images/broken.png", std::string("\x89PNG\r\n\x1a\n", 8) + "not a picture");
  put_text("images/text.jpg", "hello");
  std::string huge = image::encode_png(Image(32, 32, 3, 9));
  huge[17] = 0x7f;  // the width in the header: 8323104
  const uint32_t crc = png_crc(huge, 12, 29);
  for (size_t k = 0; k < 4; ++k) huge[29 + k] = static_cast<char>(crc >> (24 - 8 * k));
  put_text("images/huge.png", huge);
  put_text("metadata.csv",
           "file_name,condition,mask_file_name,box_x,box_y,box_w,box_h\nimages/good.png,nevus,,,,,\nimages/"
           "copy.png,nevus,,,,,\n"
           "images/box.png,nevus,,80,10,30,20\nimages/mask.png,nevus,masks/mask.png,,,,\nimages/tiny.png,nevus,,,,,\n"
           "images/broken.png,nevus,,,,,\nimages/text.jpg,nevus,,,,,\nimages/huge.png,nevus,,,,,\nimages/"
           "nowhere.png,nevus,,,,,\n"
           "images/good.png,,,,,,\n");
  const Summary s = prepare(options_);
  EXPECT_EQ(s.read, 10u);
  EXPECT_EQ(s.written, 1u);
  EXPECT_EQ(s.duplicates, 1u);
  EXPECT_EQ(reason(s, "images/copy.png"), "duplicate: the same pixels as images/good.png");
  EXPECT_EQ(reason(s, "images/box.png"), "its box (x 80, y 10, w 30, h 20) leaves the image of 96x96 pixels");
  EXPECT_EQ(reason(s, "images/mask.png"), "its mask is 90x96 pixels, the image 96x96");
  EXPECT_EQ(reason(s, "images/tiny.png"), "the image is 20x20 pixels, 32x32 at least are needed");
  EXPECT_THAT(reason(s, "images/broken.png"), HasSubstr("PNG"));
  EXPECT_THAT(reason(s, "images/text.jpg"), HasSubstr("PNG or JPEG"));
  EXPECT_THAT(reason(s, "images/huge.png"), HasSubstr("pixels"));
  EXPECT_EQ(reason(s, "images/nowhere.png"), "there is no image of that name");
  EXPECT_EQ(reason(s, "images/good.png"), "the condition is empty");
  EXPECT_EQ(CsvTable::read(out() / "refused.csv").size(), 9u);
}

TEST_F(PrepareTest, DuplicatesNeverStraddleASplit) {
  std::string table = "file_name,condition,patient_id\n";
  for (int i = 0; i < 24; ++i) {
    const Image picture = lesion_picture(i);
    put(fmt::format("images/a{}.png", i), picture);
    put(fmt::format("images/b{}.png", i), i % 2 ? image::flip_horizontal(picture) : image::quarter_turns(picture, 1));
    put(fmt::format("images/c{}.jpg", i), picture);
    table += fmt::format("images/a{0}.png,nevus,A{0}\nimages/b{0}.png,nevus,B{0}\nimages/c{0}.jpg,nevus,C{0}\n", i);
  }
  put_text("metadata.csv", table);
  const Summary s = prepare(options_);
  EXPECT_EQ(s.written, 72u);
  EXPECT_EQ(s.near_duplicates, 48u);
  std::map<std::string, std::set<std::string>> splits;
  for (const auto& r : records()) splits[r.subject_id.substr(1)].insert(r.split);
  std::set<std::string> seen;
  for (const auto& [number, names] : splits) {
    EXPECT_EQ(names.size(), 1u) << number;
    seen.insert(names.begin(), names.end());
  }
  EXPECT_EQ(seen.size(), 3u);
}

TEST_F(PrepareTest, PatientsNeverStraddleASplit) {
  std::string table = "file_name,condition,patient_id\n";
  for (int i = 0; i < 60; ++i) {
    put(fmt::format("images/a{}.png", i), lesion_picture(i, 40, 40));
    table += fmt::format("images/a{}.png,{},P{}\n", i, i % 3 ? "nevus" : "melanoma", i / 3);
  }
  put_text("metadata.csv", table);
  prepare(options_);
  std::map<std::string, std::set<std::string>> splits;
  for (const auto& r : records()) splits[r.subject_id].insert(r.split);
  EXPECT_EQ(splits.size(), 20u);
  for (const auto& [patient, names] : splits) EXPECT_EQ(names.size(), 1u) << patient;
}

TEST_F(PrepareTest, AGivenSplitStandsUnlessItTearsAPatient) {
  std::string table = "file_name,condition,split,patient_id\n";
  for (int i = 0; i < 6; ++i) put(fmt::format("images/a{}.png", i), lesion_picture(i));
  table += "images/a0.png,nevus,test,P0\nimages/a1.png,nevus,train,P1\nimages/a2.png,nevus,val,P2\n";
  table += "images/a3.png,nevus,test,P3\nimages/a4.png,nevus,train,P3\nimages/a5.png,nevus,test,P5\n";
  put_text("metadata.csv", table);
  prepare(options_);
  std::map<std::string, std::string> split;
  for (const auto& r : records()) split[r.file_name] = r.split;
  EXPECT_EQ(split["images/a0.png"], "test");
  EXPECT_EQ(split["images/a1.png"], "train");
  EXPECT_EQ(split["images/a2.png"], "validation");
  EXPECT_EQ(split["images/a3.png"], "train");
  EXPECT_EQ(split["images/a4.png"], "train");
}

TEST_F(PrepareTest, ThreadsDoNotMatterAndTheSourceStaysAsItIs) {
  for (int i = 0; i < 12; ++i) put(fmt::format("nevus/p{}.png", i), lesion_picture(i));
  const auto before = fs::last_write_time(source() / "nevus/p0.png");
  options_.threads = 1;
  const Summary one = prepare(options_);
  options_.threads = 4;
  options_.out = base_ / "again";
  const Summary four = prepare(options_);
  EXPECT_EQ(one.fingerprint, four.fingerprint);
  EXPECT_EQ(read_file(base_ / "out/metadata.csv"), read_file(base_ / "again/metadata.csv"));
  EXPECT_EQ(fs::last_write_time(source() / "nevus/p0.png"), before);
}

TEST_F(PrepareTest, WhatItWroteItReadsAgain) {
  for (int i = 0; i < 4; ++i) put(fmt::format("nevus/p{}.png", i), lesion_picture(i));
  prepare(options_);
  options_.source = base_ / "out";
  options_.out = base_ / "again";
  const Summary again = prepare(options_);
  EXPECT_EQ(again.written, 4u);
  EXPECT_EQ(again.layout, "csv");
  EXPECT_EQ(read_file(base_ / "out/images/p2.png"), read_file(base_ / "again/images/p2.png"));
}

TEST_F(PrepareTest, NamesThatCollideAreKeptApart) {
  put("nevus/p.png", lesion_picture(1));
  put("melanoma/P.png", lesion_picture(2));
  put("melanoma/sub dir/p.png", lesion_picture(3));
  prepare(options_);
  std::set<std::string> names;
  for (const auto& r : records()) names.insert(r.file_name);
  EXPECT_EQ(names.size(), 3u);
}

TEST_F(PrepareTest, NothingUsableEndsWithTheFirstReasonAndLeavesNothing) {
  put_text("nevus/a.png", "no picture");
  EXPECT_THAT(error(), HasSubstr("none of the 1 images can be used; the first, nevus/a.png:"));
  EXPECT_FALSE(fs::exists(out()));
  EXPECT_EQ(std::distance(fs::directory_iterator(base_), fs::directory_iterator()), 1);
}

TEST_F(PrepareTest, AnOutputInsideTheSourceOrInUseIsRefused) {
  put("nevus/a.png", lesion_picture(1));
  options_.out = source() / "out";
  EXPECT_THROW(prepare(options_), UsageError);
  options_.out = base_ / "out";
  fs::create_directories(base_ / "out");
  write_file(base_ / "out/keep.txt", "mine");
  EXPECT_THROW(prepare(options_), UsageError);
  EXPECT_EQ(read_file(base_ / "out/keep.txt"), "mine");
}

TEST_F(PrepareTest, WrongOptionsAreNamed) {
  put("nevus/a.png", lesion_picture(1));
  options_.regions = "fond";
  EXPECT_THAT(error(), HasSubstr("regions: \"fond\" is not accepted; did you mean \"found\"?"));
  options_.regions = "auto";
  options_.train = 0.9;
  options_.validation = 0.2;
  EXPECT_THAT(error(), HasSubstr("more than 1"));
}

TEST_F(PrepareTest, RealSetsArePreparedOutOfTheBox) {
  const fs::path real = fs::path(DERM_SOURCE_DIR) / "../shared/data";
  if (!fs::exists(real)) GTEST_SKIP() << "../shared/data is not there";
  for (const std::string name : {"padufes20-256", "isic2017-256"}) {
    // A subset in the same shape: every 40th row.
    const CsvTable all = CsvTable::read(real / name / "metadata.csv");
    CsvTable some(all.header());
    fs::remove_all(source());
    fs::create_directories(source() / "images");
    fs::create_directories(source() / "masks");
    for (size_t i = 0; i < all.size(); i += 40) {
      some.add_row(all.row(i));
      fs::copy(real / name / all.get(i, "file"), source() / all.get(i, "file"));
      if (!all.get(i, "mask").empty()) fs::copy(real / name / all.get(i, "mask"), source() / all.get(i, "mask"));
    }
    write_file(source() / "metadata.csv", some.to_string());
    options_.out = base_ / name;
    options_.size_px = 256;
    const Summary s = prepare(options_);
    EXPECT_EQ(s.written, some.size());
    EXPECT_TRUE(s.refused.empty());
    const auto set = data::DataSet::open(options_.out);
    EXPECT_FALSE(set.usable("train").empty());
    // 256 px already: the pixels are the source's own.
    const std::string& file = some.get(0, "file");
    EXPECT_EQ(image::read_image(options_.out / ("images/" + fs::path(file).stem().string() + ".png")),
              image::read_image(source() / file));
  }
}

}  // namespace
}  // namespace derm::prepare
