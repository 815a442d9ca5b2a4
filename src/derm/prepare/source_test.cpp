#include "derm/prepare/source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "derm/base/error.h"
#include "derm/base/files.h"

namespace derm::prepare {
namespace {

using ::testing::HasSubstr;

/// Tables and empty stand-ins for images: reading a source opens no image.
class SourceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::temp_directory_path() /
            fmt::format("derm-source-{}-{}", getpid(), ::testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(root_);
    fs::create_directories(root_);
  }
  void TearDown() override { fs::remove_all(root_); }
  void put(const std::string& name, const std::string& text = "") {
    fs::create_directories((root_ / name).parent_path());
    write_file(root_ / name, text);
  }
  Source read(const std::string& layout = "auto") {
    options_.source = options_.source.empty() ? root_ : options_.source;
    options_.layout = layout;
    return read_source(options_);
  }
  std::string error() {
    try {
      read();
    } catch (const Error& e) {
      return e.what();
    }
    return "nothing was thrown";
  }
  fs::path root_;
  PrepareOptions options_;
};

TEST_F(SourceTest, FoldersNameConditions) {
  put("BCC/a.jpg");
  put("nevus/b.png");
  put("nevus/deep/c.JPEG");
  const Source s = read();
  EXPECT_EQ(s.layout, "folder");
  ASSERT_EQ(s.rows.size(), 3u);
  EXPECT_EQ(s.rows[0].condition, "basal_cell_carcinoma");
  EXPECT_EQ(s.rows[1].condition, "nevus");
  EXPECT_EQ(s.rows[2].condition, "deep");
}

TEST_F(SourceTest, FoldersNameSplitsToo) {
  put("train/nevus/a.png");
  put("val/nevus/b.png");
  put("test/melanoma/c.png");
  const Source s = read();
  ASSERT_EQ(s.rows.size(), 3u);
  EXPECT_EQ(s.rows[0].split, "test");
  EXPECT_EQ(s.rows[0].condition, "melanoma");
  EXPECT_EQ(s.rows[2].split, "validation");
}

TEST_F(SourceTest, FlatFolderWithoutTableSaysWhatToDo) {
  put("a.png");
  EXPECT_THAT(error(), HasSubstr("1 images lie flat"));
}

TEST_F(SourceTest, EmptyFolderIsRefused) { EXPECT_THAT(error(), HasSubstr("holds no image and no table")); }

TEST_F(SourceTest, MissingSourceIsRefused) {
  options_.source = root_ / "nowhere";
  EXPECT_THAT(error(), HasSubstr("there is no such folder or file"));
}

TEST_F(SourceTest, OtherFormatsAreListed) {
  put("nevus/a.png");
  put("nevus/b.tiff");
  const Source s = read();
  ASSERT_EQ(s.refused.size(), 1u);
  EXPECT_EQ(s.refused[0].file, "nevus/b.tiff");
}

TEST_F(SourceTest, OurOwnSetsWithTheirAliases) {
  put("images/a.jpg");
  put("images/b.jpg");
  put("masks/a.png");
  put("metadata.csv",
      "file,dataset,condition,split,fitzpatrick,source_id,licence,mask,group,lesion_id,age,sex,site\n"
      "images/a.jpg,pad,nevus,train,2,ID1,CC-BY-4.0,masks/a.png,P1,7,50,female,arm\n"
      "images/b.jpg,pad,melanoma,train,,ID2,CC-BY-4.0,,P2,8,,,\n");
  const Source s = read();
  EXPECT_EQ(s.layout, "csv");
  ASSERT_EQ(s.rows.size(), 2u);
  const SourceRow& r = s.rows[0];
  EXPECT_EQ(r.image, root_ / "images/a.jpg");
  EXPECT_EQ(r.mask, root_ / "masks/a.png");
  EXPECT_EQ(r.subject_id, "P1");
  EXPECT_EQ(r.lesion_id, "7");
  EXPECT_EQ(r.license, "CC-BY-4.0");
  EXPECT_EQ(r.source, "pad");
  EXPECT_EQ(r.fitzpatrick, "2");
  EXPECT_EQ(r.split, "");  // the same on every row is none
  EXPECT_EQ(r.extra.at("age"), "50");
  EXPECT_EQ(r.extra.at("source_id"), "ID1");
  EXPECT_TRUE(s.rows[1].mask.empty());
}

TEST_F(SourceTest, Isic2017JoinsGroundTruthMetadataAndMasks) {
  put("ISIC-2017_Training_Data/ISIC_0000000.jpg");
  put("ISIC-2017_Training_Data/ISIC_0000001.jpg");
  put("ISIC-2017_Training_Data/ISIC_0000001_superpixels.png");
  put("ISIC-2017_Training_Data/ISIC_0000002.jpg");
  put("ISIC-2017_Training_Part1_GroundTruth/ISIC_0000000_segmentation.png");
  put("ISIC-2017_Training_Data/ISIC-2017_Training_Data_metadata.csv",
      "image_id,age_approximate,sex\nISIC_0000000,55,female\nISIC_0000001,30,female\nISIC_0000002,40,male\n");
  put("ISIC-2017_Training_Part3_GroundTruth.csv",
      "image_id,melanoma,seborrheic_keratosis\nISIC_0000000,0.0,0.0\nISIC_0000001,1.0,0.0\nISIC_0000002,0.0,1.0\nISIC_"
      "0000009,0.0,1.0\n");
  const Source s = read();
  EXPECT_EQ(s.layout, "isic");
  ASSERT_EQ(s.rows.size(), 3u);
  EXPECT_EQ(s.rows[0].condition, "nevus");
  EXPECT_EQ(s.rows[1].condition, "melanoma");
  EXPECT_EQ(s.rows[2].condition, "seborrheic_keratosis");
  EXPECT_EQ(s.rows[0].mask.filename(), "ISIC_0000000_segmentation.png");
  EXPECT_EQ(s.rows[0].extra.at("age"), "55");
  ASSERT_EQ(s.refused.size(), 1u);
  EXPECT_EQ(s.refused[0].file, "ISIC_0000009");
  EXPECT_EQ(s.refused[0].reason, "there is no image of that name");
}

TEST_F(SourceTest, Isic2019OneHotAndItsContradictions) {
  for (const char* name : {"a", "b", "c", "d"}) put(std::string("images/") + name + ".jpg");
  put("gt.csv", "image,MEL,NV,BCC,UNK\na,1.0,0.0,0.0,0\nb,0,1,0,0\nc,1,1,0,0\nd,0,0,0,1\n");
  const Source s = read();
  EXPECT_EQ(s.layout, "isic");
  ASSERT_EQ(s.rows.size(), 2u);
  EXPECT_EQ(s.rows[0].condition, "melanoma");
  EXPECT_EQ(s.rows[1].condition, "nevus");
  ASSERT_EQ(s.refused.size(), 2u);
  EXPECT_THAT(s.refused[0].reason, HasSubstr("two conditions at once"));
  EXPECT_THAT(s.refused[1].reason, HasSubstr("none of the condition columns"));
}

TEST_F(SourceTest, Ham10000) {
  put("HAM10000_images_part_1/ISIC_0027419.jpg");
  put("HAM10000_images_part_2/ISIC_0025030.jpg");
  put("HAM10000_segmentations_lesion_tschandl/ISIC_0027419_segmentation.png");
  put("hmnist_8_8_L.csv", "pixel0000,label\n3,2\n");
  put("HAM10000_metadata.csv",
      "lesion_id,image_id,dx,dx_type,age,sex,localization\nHAM_0000118,ISIC_0027419,bkl,histo,80.0,male,scalp\n"
      "HAM_0000118,ISIC_0025030,akiec,histo,80.0,male,scalp\n");
  const Source s = read();
  EXPECT_EQ(s.layout, "ham10000");
  ASSERT_EQ(s.rows.size(), 2u);
  EXPECT_EQ(s.rows[0].condition, "benign_keratosis");
  EXPECT_EQ(s.rows[0].lesion_id, "HAM_0000118");
  EXPECT_EQ(s.rows[0].extra.at("site"), "scalp");
  EXPECT_EQ(s.rows[0].extra.at("confirmed_by"), "histo");
  EXPECT_FALSE(s.rows[0].mask.empty());
  EXPECT_EQ(s.rows[1].condition, "actinic_keratosis");
}

TEST_F(SourceTest, PadUfes20) {
  put("imgs_part_1/PAT_8_15_820.png");
  put("metadata.csv",
      "patient_id,lesion_id,age,gender,fitspatrick,region,diagnostic,img_id,biopsed\nPAT_8,15,8,FEMALE,3.0,ARM,NEV,PAT_"
      "8_15_820.png,False\n");
  const Source s = read();
  EXPECT_EQ(s.layout, "pad-ufes-20");
  ASSERT_EQ(s.rows.size(), 1u);
  EXPECT_EQ(s.rows[0].condition, "nevus");
  EXPECT_EQ(s.rows[0].subject_id, "PAT_8");
  EXPECT_EQ(s.rows[0].fitzpatrick, "3");
  EXPECT_EQ(s.rows[0].extra.at("site"), "ARM");
}

TEST_F(SourceTest, Fitzpatrick17k) {
  put("images/5e82a45bc5d78bd24ae9202d194423f8.jpg");
  put("fitzpatrick17k.csv",
      "md5hash,fitzpatrick_scale,fitzpatrick_centaur,label,nine_partition_label,three_partition_label,qc,url\n"
      "5e82a45bc5d78bd24ae9202d194423f8,3,3,drug induced pigmentary changes,inflammatory,non-neoplastic,,http://a\n");
  const Source s = read();
  EXPECT_EQ(s.layout, "fitzpatrick17k");
  ASSERT_EQ(s.rows.size(), 1u);
  EXPECT_EQ(s.rows[0].condition, "drug_induced_pigmentary_changes");
  EXPECT_EQ(s.rows[0].fitzpatrick, "3");
  EXPECT_EQ(s.rows[0].extra.at("three_partition_label"), "non-neoplastic");
}

TEST_F(SourceTest, ScinJoinsCasesAndLabels) {
  put("images/-1.png");
  put("images/-2.png");
  put("images/-3.png");
  put("scin_cases.csv",
      "case_id,age_group,sex_at_birth,fitzpatrick_skin_type,image_1_path,image_2_path,image_3_path\n"
      "c1,AGE_30_TO_39,FEMALE,FST2,dataset/images/-1.png,dataset/images/-2.png,\nc2,,,NONE_IDENTIFIED,dataset/images/"
      "-3.png,,\n");
  put("scin_labels.csv",
      "case_id,dermatologist_skin_condition_on_label_name,weighted_skin_condition_label\n"
      "c1,\"['Urticaria', 'Eczema']\",\"{'Urticaria': 0.27, 'Eczema': 0.73}\"\nc2,[],{}\n");
  const Source s = read();
  EXPECT_EQ(s.layout, "scin");
  ASSERT_EQ(s.rows.size(), 2u);
  EXPECT_EQ(s.rows[0].condition, "eczema");
  EXPECT_EQ(s.rows[0].subject_id, "c1");
  EXPECT_EQ(s.rows[1].subject_id, "c1");
  EXPECT_EQ(s.rows[0].fitzpatrick, "2");
  ASSERT_EQ(s.refused.size(), 1u);
  EXPECT_EQ(s.refused[0].reason, "the condition is empty");
}

TEST_F(SourceTest, AnyTableByItsColumnNames) {
  put("pics/x1.png");
  put("table.csv", "Bild;Befund;Mensch\nx1;Melanom;M7\n");
  options_.columns = {{"file_name", "Bild"}, {"condition", "Befund"}, {"subject_id", "Mensch"}};
  const Source s = read();
  ASSERT_EQ(s.rows.size(), 1u);
  EXPECT_EQ(s.rows[0].condition, "melanom");
  EXPECT_EQ(s.rows[0].subject_id, "M7");
}

TEST_F(SourceTest, AColumnThatIsNotThereNamesTheNearest) {
  put("pics/x1.png");
  put("table.csv", "image,diagnose\nx1,nevus\n");
  options_.columns = {{"condition", "diagnoze"}};
  options_.source = root_ / "table.csv";
  EXPECT_THAT(error(),
              HasSubstr("there is no column \"diagnoze\" (asked for as condition); did you mean \"diagnose\"?"));
}

TEST_F(SourceTest, ATableWithoutConditionListsItsColumns) {
  put("pics/x1.png");
  put("table.csv", "image,finding\nx1,nevus\n");
  options_.source = root_ / "table.csv";
  EXPECT_THAT(error(), HasSubstr("no column says the condition; the columns are image, finding"));
}

TEST_F(SourceTest, ATableWithoutFileListsItsColumns) {
  put("pics/x1.png");
  put("table.csv", "picture,dx\nx1,nevus\n");
  options_.source = root_ / "table.csv";
  EXPECT_THAT(error(), HasSubstr("no column names the image; the columns are picture, dx"));
}

TEST_F(SourceTest, FurtherTablesAreJoinedByImageName) {
  put("images/a.png");
  put("images/b.png");
  put("main.csv", "file_name,condition\nimages/a.png,nevus\nimages/b.png,melanoma\n");
  put("patients.csv", "image,patient_id\na,P1\nb,P2\nc,P3\n");
  options_.source = root_ / "main.csv";
  options_.csv = {"patients.csv"};
  const Source s = read();
  ASSERT_EQ(s.rows.size(), 2u);
  EXPECT_EQ(s.rows[1].subject_id, "P2");
}

TEST_F(SourceTest, RowsWithoutConditionOrMaskFileAreListed) {
  put("a.png");
  put("b.png");
  put("c.png");
  put("metadata.csv", "file_name,condition,mask_file_name\na.png,,\nb.png,nevus,m.png\nc.png,unknown,\n");
  const Source s = read();
  EXPECT_TRUE(s.rows.empty());
  ASSERT_EQ(s.refused.size(), 3u);
  EXPECT_EQ(s.refused[0].reason, "the condition is empty");
  EXPECT_EQ(s.refused[1].reason, "there is no mask of the name m.png");
  EXPECT_EQ(s.refused[2].reason, "the condition is unknown (unknown)");
}

TEST_F(SourceTest, SplitsThatDifferStandAndOddOnesAreRefused) {
  put("a.png");
  put("b.png");
  put("metadata.csv", "file_name,condition,split\na.png,nevus,training\nb.png,nevus,test\n");
  EXPECT_EQ(read().rows[0].split, "train");
  put("metadata.csv", "file_name,condition,split\na.png,nevus,fold1\nb.png,nevus,test\n");
  EXPECT_THAT(error(), HasSubstr("'fold1' is not one of train, validation, test"));
}

TEST_F(SourceTest, BoxesByColumnsAndAsJson) {
  put("a.png");
  put("metadata.csv",
      "file_name,condition,box_x,box_y,box_w,box_h,boxes\na.png,nevus,10,20,30,40,\"[[1, 2, 3, 4]]\"\n");
  const Source s = read();
  ASSERT_EQ(s.rows[0].boxes.size(), 2u);
  EXPECT_EQ(s.rows[0].boxes[0], (image::Box{10, 20, 30, 40}));
  EXPECT_EQ(s.rows[0].boxes[1], (image::Box{1, 2, 3, 4}));
}

TEST_F(SourceTest, ATableCannotPointOutOfTheFolder) {
  put("a.png");
  put("metadata.csv", "file_name,condition\n../../etc/passwd,nevus\n/etc/hostname,nevus\na.png,nevus\n");
  EXPECT_EQ(read().rows.size(), 1u);
}

TEST_F(SourceTest, OnlyWantedConditionsAndUnknownOnesNamed) {
  put("nevus/a.png");
  put("melanoma/b.png");
  options_.conditions = {"MEL"};
  EXPECT_EQ(read().rows.size(), 1u);
  options_.conditions = {"melanomma"};
  EXPECT_THAT(error(), HasSubstr("did you mean \"melanoma\"?"));
}

TEST_F(SourceTest, UnknownLayoutOffersTheNearest) {
  put("nevus/a.png");
  options_.source = root_;
  EXPECT_THROW(read("ham1000"), UsageError);
}

TEST(ConditionName, KnownCodesAndSpellings) {
  EXPECT_EQ(condition_name("BCC"), "basal_cell_carcinoma");
  EXPECT_EQ(condition_name("Melanocytic nevus"), "nevus");
  EXPECT_EQ(condition_name(" Seborrhoeic Keratosis "), "seborrheic_keratosis");
  EXPECT_EQ(condition_name("Bowen's disease"), "bowens_disease");
  EXPECT_EQ(condition_name("Lichen planus / lichenoid"), "lichen_planus_lichenoid");
  EXPECT_EQ(condition_name("UNK"), "");
  EXPECT_EQ(condition_name("  "), "");
}

}  // namespace
}  // namespace derm::prepare
