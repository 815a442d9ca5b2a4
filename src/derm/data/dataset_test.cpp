#include "derm/data/dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/data/dataset_writer.h"
#include "derm/image/codec.h"

namespace derm::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class DataSetTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    root_ = fs::temp_directory_path() / ("derm-data-" + std::to_string(getpid()) + "-" + test->name());
    fs::create_directories(root_ / "images");
  }
  void TearDown() override { fs::remove_all(root_); }

  void picture(const std::string& name, int width = 32, int height = 32, uint8_t fill = 100) {
    image::write_png(root_ / name, image::Image(width, height, 3, fill));
  }
  void table(const std::string& text) { write_file(root_ / "metadata.csv", text); }
  std::string refusal() {
    try {
      DataSet::open(root_);
    } catch (const DataError& error) {
      return error.what();
    }
    return "";
  }
  fs::path root_;
};

std::vector<Record> four_records() {
  std::vector<Record> records(4);
  for (size_t i = 0; i < 4; ++i) {
    records[i].file_name = "images/" + std::to_string(i) + ".png";
    records[i].condition = i % 2 ? "nevus" : "melanoma";
    records[i].skin_rgb = image::Rgb{200, 150, 120};
    records[i].boxes = {{4, 5, 10, 12}};
    records[i].quality = 0.25 * static_cast<double>(i);
  }
  records[1].boxes.push_back({20, 20, 4.5, 3});
  records[3].split = "test";
  records[2].extra = {{"age", "60"}, {"note", "with, comma and \"quotes\""}};
  return records;
}

TEST_F(DataSetTest, KeepsTheRowsOfOneConditionWhenAsked) {
  for (int i = 0; i < 4; ++i) picture("images/" + std::to_string(i) + ".png", 32, 32, static_cast<uint8_t>(50 + i));
  write_data_set(root_, four_records(), {{"min_quality", 0.3}});
  const DataSet all = DataSet::open(root_), nevi = all.only({"nevus"});
  ASSERT_EQ(nevi.records().size(), 2u);
  EXPECT_EQ(nevi.records()[0].file_name, "images/1.png");
  EXPECT_EQ(nevi.records()[1].split, "test");
  EXPECT_THAT(nevi.conditions(), ElementsAre("nevus"));
  EXPECT_EQ(nevi.fingerprint(), all.fingerprint());
  EXPECT_EQ(nevi.size_px(), 32);
  EXPECT_EQ(all.only({"nevus", "melanoma"}).records().size(), 4u);
  try {
    all.only({"nevvus"});
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("\"nevvus\""));
    EXPECT_THAT(error.what(), HasSubstr("did you mean \"nevus\"?"));
  }
  EXPECT_THROW(all.only({}), UsageError);
}

TEST_F(DataSetTest, WhatWasWrittenIsReadBack) {
  for (int i = 0; i < 4; ++i) picture("images/" + std::to_string(i) + ".png", 32, 32, static_cast<uint8_t>(50 + i));
  write_data_set(root_, four_records(), {{"min_quality", 0.3}, {"title", "four"}});
  const DataSet set = DataSet::open(root_);
  ASSERT_EQ(set.records().size(), 4u);
  EXPECT_THAT(set.conditions(), ElementsAre("melanoma", "nevus"));
  EXPECT_EQ(set.size_px(), 32);
  EXPECT_EQ(set.min_quality(), 0.3);
  EXPECT_EQ(set.facts()["title"], "four");
  EXPECT_EQ(set.facts()["counts"]["nevus"]["train"], 1);
  EXPECT_EQ(set.facts()["images"], 4);
  EXPECT_EQ(set.fingerprint().size(), 64u);
  EXPECT_EQ(set.fingerprint(), data_set_fingerprint(root_, four_records()));
  const Record& r = set.records()[1];
  ASSERT_EQ(r.boxes.size(), 2u);
  EXPECT_EQ(r.boxes[0], (image::Box{4, 5, 10, 12}));
  EXPECT_EQ(r.boxes[1], (image::Box{20, 20, 4.5, 3}));
  EXPECT_EQ(*r.skin_rgb, (image::Rgb{200, 150, 120}));
  EXPECT_EQ(set.records()[2].extra.at("note"), "with, comma and \"quotes\"");
  EXPECT_EQ(set.records()[3].split, "test");
}

TEST_F(DataSetTest, RowByRowGivesTheSameFilesAsAtOnce) {
  fs::create_directories(root_ / "masks");
  std::vector<Record> records = four_records();
  for (int i = 0; i < 4; ++i) {
    picture("images/" + std::to_string(i) + ".png", 32, 32, static_cast<uint8_t>(50 + i));
    if (i == 1) continue;  // a row without a mask
    records[static_cast<size_t>(i)].mask_file_name = "masks/" + std::to_string(i) + ".png";
    image::write_png(root_ / records[static_cast<size_t>(i)].mask_file_name, image::Mask(32, 32, 1, 255));
  }
  const nlohmann::json facts = {{"min_quality", 0.3}, {"title", "four"}};
  write_data_set(root_, records, facts);
  const std::string table = read_file(root_ / "metadata.csv"), json = read_file(root_ / "dataset.json");
  {
    DataSetWriter writer(root_, {"note", "age"}, facts);
    for (const Record& record : records) writer.add(record);
    writer.finish();
  }
  EXPECT_EQ(read_file(root_ / "metadata.csv"), table);
  EXPECT_EQ(read_file(root_ / "dataset.json"), json);
  EXPECT_EQ(std::distance(fs::directory_iterator(root_), fs::directory_iterator()), 4);  // nothing is left behind
}

TEST_F(DataSetTest, RowByRowRefusesDisorderAndUnknownColumns) {
  for (int i = 0; i < 4; ++i) picture("images/" + std::to_string(i) + ".png");
  const std::vector<Record> records = four_records();
  DataSetWriter writer(root_, {}, {});
  EXPECT_THROW(writer.finish(), DataError);  // not one row
  writer.add(records[1]);
  EXPECT_THROW(writer.add(records[0]), UsageError);
  EXPECT_THROW(writer.add(records[2]), UsageError);  // "age" was not announced
}

TEST_F(DataSetTest, RowsBelowTheQualityAreNotUsable) {
  for (int i = 0; i < 4; ++i) picture("images/" + std::to_string(i) + ".png");
  write_data_set(root_, four_records(), {{"min_quality", 0.3}});
  const DataSet set = DataSet::open(root_);
  EXPECT_THAT(set.of_split("train"), ElementsAre(0, 1, 2));
  EXPECT_THAT(set.usable("train"), ElementsAre(2));  // qualities 0, 0.25, 0.5
  EXPECT_THAT(set.usable("test"), ElementsAre(3));
  EXPECT_THROW(set.usable("valid"), UsageError);
}

TEST_F(DataSetTest, RowWithoutQualitySkinOrRegionCountsAccordingly) {
  for (int i = 0; i < 4; ++i) picture("images/" + std::to_string(i) + ".png");
  std::vector<Record> records = four_records();
  records[0].quality.reset();   // not given: usable
  records[1].skin_rgb.reset();  // no skin colour: not
  records[2].boxes.clear();     // no region: not
  write_data_set(root_, records, {});
  EXPECT_THAT(DataSet::open(root_).usable("train"), ElementsAre(0));
}

TEST_F(DataSetTest, AnyImageFolderWithAConditionColumnWillDo) {
  picture("images/a.png", 40, 40);
  picture("images/b.png", 40, 40);
  table("file_name,condition\nimages/a.png,eczema\nimages/b.png,acne\n");
  const DataSet set = DataSet::open(root_);
  EXPECT_EQ(set.size_px(), 40);
  EXPECT_EQ(set.fingerprint(), "");
  EXPECT_THAT(set.conditions(), ElementsAre("acne", "eczema"));
  EXPECT_EQ(set.records()[0].split, "train");
  EXPECT_TRUE(set.usable("train").empty());
}

TEST_F(DataSetTest, SizeIsZeroWhenTheImagesDiffer) {
  picture("images/a.png", 40, 40);
  picture("images/b.png", 50, 50);
  table("file_name,condition\nimages/a.png,eczema\nimages/b.png,acne\n");
  EXPECT_EQ(DataSet::open(root_).size_px(), 0);
}

TEST_F(DataSetTest, JpegHeadersGiveTheirSizeToo) {
  write_file(root_ / "images/a.jpg", image::encode_jpeg(image::Image(48, 48, 3, 90)));
  table("file_name,condition\nimages/a.jpg,acne\n");
  EXPECT_EQ(DataSet::open(root_).size_px(), 48);
}

TEST_F(DataSetTest, MissingColumnIsNamedWithTheNearest) {
  picture("images/a.png");
  table("file_name,conditions\nimages/a.png,acne\n");
  EXPECT_THAT(refusal(), HasSubstr("condition"));
  EXPECT_THAT(refusal(), HasSubstr("conditions"));
}

TEST_F(DataSetTest, BoxOutsideTheImageIsNamedWithItsRow) {
  picture("images/a.png");
  picture("images/b.png");
  table("file_name,condition,box_x,box_y,box_w,box_h\nimages/a.png,acne,1,1,5,5\nimages/b.png,acne,20,1,20,5\n");
  EXPECT_THAT(refusal(), HasSubstr("row 3, column box_x"));
  EXPECT_THAT(refusal(), HasSubstr("32 x 32"));
}

TEST_F(DataSetTest, WrongCellsAreRefused) {
  picture("images/a.png");
  const auto with = [&](const std::string& column, const std::string& value) {
    table("file_name,condition," + column + "\nimages/a.png,acne," + value + "\n");
    return refusal();
  };
  EXPECT_THAT(with("split", "training"), HasSubstr("train, validation, test"));
  EXPECT_THAT(with("skin_rgb", "brown"), HasSubstr("not a colour"));
  EXPECT_THAT(with("quality", "1.5"), HasSubstr("0 to 1"));
  EXPECT_THAT(with("ita_deg", "abc"), HasSubstr("abc"));
  EXPECT_THAT(with("box_x", "3"), HasSubstr("only 1 of box_x"));
  EXPECT_THAT(with("boxes", "nonsense"), HasSubstr("JSON"));
  EXPECT_THAT(with("mask_file_name", "masks/none.png"), HasSubstr("no file"));
  EXPECT_THAT(with("mask_file_name", "../a.png"), HasSubstr("mask_file_name"));
}

TEST_F(DataSetTest, MissingEmptyAndRepeatedThingsAreRefused) {
  EXPECT_THAT(refusal(), HasSubstr("metadata.csv is missing"));
  table("file_name,condition\n");
  EXPECT_THAT(refusal(), HasSubstr("no rows"));
  table("file_name,condition\nimages/gone.png,acne\n");
  EXPECT_THAT(refusal(), HasSubstr("images/gone.png"));
  picture("images/a.png");
  table("file_name,condition\nimages/a.png,acne\nimages/a.png,acne\n");
  EXPECT_THAT(refusal(), HasSubstr("row 3"));
  table("file_name,condition\nimages/a.png,\n");
  EXPECT_THAT(refusal(), HasSubstr("empty in every row"));
  fs::remove_all(root_);
  EXPECT_THAT(refusal(), HasSubstr("no such folder"));
}

TEST_F(DataSetTest, FingerprintFollowsContentAndRowsButNotTheirOrder) {
  for (int i = 0; i < 4; ++i) picture("images/" + std::to_string(i) + ".png", 32, 32, static_cast<uint8_t>(50 + i));
  std::vector<Record> records = four_records();
  const std::string first = data_set_fingerprint(root_, records);
  std::swap(records[0], records[3]);
  EXPECT_EQ(data_set_fingerprint(root_, records), first);
  records[0].condition = "acne";
  EXPECT_NE(data_set_fingerprint(root_, records), first);
  records = four_records();
  picture("images/0.png", 32, 32, 99);
  EXPECT_NE(data_set_fingerprint(root_, records), first);
}

TEST(RequestOf, BoxBecomesFractionsOfTheSide) {
  Record record = four_records()[1];
  const Request request = request_of(record, image::Mask(), 32, Shape::box);
  ASSERT_EQ(request.regions.size(), 2u);
  EXPECT_DOUBLE_EQ(request.regions[0].x, 9.0 / 32);  // 4 + 10 / 2
  EXPECT_DOUBLE_EQ(request.regions[0].y, 11.0 / 32);
  EXPECT_DOUBLE_EQ(request.regions[0].w, 10.0 / 32);
  EXPECT_DOUBLE_EQ(request.regions[0].h, 12.0 / 32);
  EXPECT_EQ(request.regions[0].condition, "nevus");
  EXPECT_EQ(request.skin, image::lab_of(image::Rgb{200, 150, 120}));
  validate(request, {"nevus"});
}

TEST(RequestOf, MaskIsTakenWhenAskedForAndThere) {
  const Record record = four_records()[0];
  image::Mask mask(32, 32, 1);
  for (int y = 8; y < 16; ++y)
    for (int x = 4; x < 20; ++x) *mask.at(x, y) = 255;
  const Request drawn = request_of(record, mask, 32, Shape::mask);
  EXPECT_EQ(drawn.regions[0].shape, Shape::mask);
  EXPECT_EQ(drawn.regions[0].mask, mask);
  EXPECT_DOUBLE_EQ(drawn.regions[0].w, 0.5);
  EXPECT_EQ(request_of(record, image::Mask(), 32, Shape::mask).regions[0].shape, Shape::blob);
  EXPECT_EQ(request_of(record, mask, 32, Shape::ellipse).regions[0].shape, Shape::ellipse);
  Record bare = record;
  bare.boxes.clear();
  EXPECT_DOUBLE_EQ(request_of(bare, mask, 32, Shape::box).regions[0].w, 0.5);
  EXPECT_THROW(request_of(bare, image::Mask(), 32, Shape::box), DataError);
  EXPECT_THROW(request_of(record, image::Mask(8, 9, 1), 32, Shape::mask), DataError);
  bare.skin_rgb.reset();
  EXPECT_THROW(request_of(bare, mask, 32, Shape::box), DataError);
}

}  // namespace
}  // namespace derm::data
