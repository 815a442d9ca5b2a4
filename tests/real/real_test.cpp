// What the shipped judges and the audit say of photographs. Bounds stand on both sides of what was measured when the
// judges were trained (models/judges/*/README.md): a figure that is too good is as suspicious as one that is too bad.
#include <algorithm>
#include <numeric>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "derm/base/csv.h"
#include "derm/evaluation/audit.h"
#include "derm/evaluation/testing/sets.h"
#include "derm/image/mask.h"
#include "derm/judges/classifier.h"
#include "derm/judges/segmenter.h"
#include "derm/judges/skin_encoder.h"
#include "derm/models/catalogue.h"
#include "derm/prepare/split.h"

namespace derm {
namespace {

namespace fs = std::filesystem;

struct Photograph {
  fs::path file, mask;
  std::string condition, patient, split;
};

/// The photographs of a set under ../shared/data with the split that `dermgan prepare` gives them, which the judges
/// were trained by. None where the set is missing.
std::vector<Photograph> photographs(const std::string& set) {
  const fs::path root = fs::path(DERM_SOURCE_DIR) / "../shared/data" / set;
  std::vector<Photograph> rows;
  std::vector<prepare::SplitItem> items;
  if (!fs::exists(root / "metadata.csv")) return rows;
  const CsvTable table = CsvTable::read(root / "metadata.csv");
  for (size_t i = 0; i < table.size(); ++i) {
    const std::string mask = table.get(i, "mask");
    rows.push_back({.file = root / table.get(i, "file"),
                    .mask = mask.empty() ? fs::path() : root / mask,
                    .condition = table.get(i, "condition"),
                    .patient = table.get(i, "group"),
                    .split = ""});
    items.push_back({.group = "subject " + rows.back().patient, .condition = rows.back().condition});
  }
  const auto splits = prepare::assign_splits(items, 0.70, 0.15);
  for (size_t i = 0; i < rows.size(); ++i) rows[i].split = splits[i];
  return rows;
}

std::vector<Photograph> of_split(const std::vector<Photograph>& all, const std::string& split) {
  std::vector<Photograph> rows;
  std::copy_if(all.begin(), all.end(), std::back_inserter(rows), [&](const auto& p) { return p.split == split; });
  return rows;
}

judges::JudgeOptions shipped(const char* name) {
  return {.bundle = judges::find_judge(name, fs::path(DERM_SOURCE_DIR) / "models/judges"), .device = "cpu"};
}

double median_iou(const std::string& set) {
  const auto test = of_split(photographs(set), "test");
  judges::Segmenter segmenter(shipped(judges::kSegmenter), models::catalogue());
  std::vector<image::Image> pictures;
  std::vector<image::Mask> masks;
  for (const Photograph& p : test) {
    if (p.mask.empty()) continue;
    pictures.push_back(image::read_image(p.file));
    masks.push_back(image::read_mask(p.mask));
  }
  const auto found = segmenter.segment(pictures);
  std::vector<double> iou;
  for (size_t i = 0; i < masks.size(); ++i) iou.push_back(image::mask_iou(found[i].mask, masks[i]));
  EXPECT_GT(iou.size(), 150u);
  std::nth_element(iou.begin(), iou.begin() + static_cast<long>(iou.size() / 2), iou.end());
  return iou[iou.size() / 2];
}

TEST(Segmenter, FindsLesionsOfUnseenDermoscopicImagesWithMedianIou087) {
  if (photographs("isic2017-256").empty()) GTEST_SKIP() << "../shared/data/isic2017-256 is not there";
  const double iou = median_iou("isic2017-256");
  RecordProperty("median_iou", fmt::format("{:.3f}", iou));
  EXPECT_GT(iou, 0.84);
  EXPECT_LT(iou, 0.91);
}

TEST(Segmenter, FindsLesionsOfUnseenClinicalPhotographsWithMedianIou065) {
  if (photographs("padufes20-256").empty()) GTEST_SKIP() << "../shared/data/padufes20-256 is not there";
  const double iou = median_iou("padufes20-256");
  RecordProperty("median_iou", fmt::format("{:.3f}", iou));
  EXPECT_GT(iou, 0.58);
  EXPECT_LT(iou, 0.72);
}

TEST(Classifier, SeesTheConditionOfUnseenPatientsWithBalancedAccuracy055) {
  const auto test = of_split(photographs("padufes20-256"), "test");
  if (test.empty()) GTEST_SKIP() << "../shared/data/padufes20-256 is not there";
  ASSERT_EQ(test.size(), 186u);  // as the classifier's card says
  judges::Classifier classifier(shipped(judges::kClassifierClinical), models::catalogue());
  std::vector<image::Image> pictures;
  for (const Photograph& p : test) pictures.push_back(image::read_image(p.file));
  const auto answers = classifier.probabilities(pictures);
  std::map<std::string, std::pair<int, int>> right;  // of each condition: right, all
  for (size_t i = 0; i < test.size(); ++i) {
    const auto best = std::max_element(answers[i].begin(), answers[i].end()) - answers[i].begin();
    auto& [good, count] = right[test[i].condition];
    good += classifier.conditions()[static_cast<size_t>(best)] == test[i].condition ? 1 : 0;
    ++count;
  }
  ASSERT_EQ(right.size(), 6u);
  double balanced = 0;
  for (const auto& [condition, counts] : right) balanced += counts.first / 6.0 / counts.second;
  RecordProperty("balanced_accuracy", fmt::format("{:.3f}", balanced));
  EXPECT_GT(balanced, 0.44);  // chance is 0.167
  EXPECT_LT(balanced, 0.67);
}

/// Training photographs of 300 patients or so against held-out ones; what is audited takes a generated set's place.
class Audit : public ::testing::Test {
 protected:
  void SetUp() override {
    all_ = photographs("padufes20-256");
    if (all_.empty()) GTEST_SKIP() << "../shared/data/padufes20-256 is not there";
    folder_.emplace("audit-real");
    std::vector<data::Record> records;
    fs::create_directories(*folder_ / "D/images");
    std::map<std::string, size_t> taken;
    for (const Photograph& p : all_) {
      if (++taken[p.split] > (p.split == "train" ? 240u : 100u)) continue;
      data::Record record;
      record.file_name = "images/" + p.file.filename().string();
      record.condition = p.condition;
      record.split = p.split;
      record.subject_id = p.patient;
      fs::copy_file(p.file, *folder_ / "D" / record.file_name);
      records.push_back(std::move(record));
    }
    data::write_data_set(*folder_ / "D", records, {});
    data_ = evaluation::testing::open(*folder_ / "D");
  }

  evaluation::AuditResult audit_of(const std::string& split,
                                   const std::function<image::Image(const image::Image&, size_t)>& change) {
    std::vector<size_t> rows = data_->of_split(split);
    rows.resize(80);
    const auto made = evaluation::testing::derived(*data_, rows, *folder_ / "made", change);
    judges::SkinEncoder encoder(shipped(judges::kSkinEncoder), models::catalogue());
    return evaluation::audit(evaluation::ImageSet::real(data_, {"train"}), evaluation::ImageSet::real(data_, {"test"}),
                             evaluation::ImageSet::synthetic(made), encoder,
                             evaluation::FeatureCache(*folder_ / "cache"));
  }

  std::vector<Photograph> all_;
  std::optional<evaluation::testing::Folder> folder_;
  std::shared_ptr<const data::DataSet> data_;
};

TEST_F(Audit, PassesPhotographsOfOtherPatients) {
  const auto r = audit_of("validation", [](const image::Image& image, size_t) { return image; });
  EXPECT_TRUE(r.passed) << r.to_json().dump(1);
  for (const auto& space : r.spaces) {
    EXPECT_TRUE(space.copies.empty()) << space.name;
    EXPECT_LT(space.share_fifth, 0.2) << space.name;
    EXPECT_NEAR(space.nearest_is_training, space.expected, 0.15) << space.name;
  }
}

TEST_F(Audit, RefusesTrainingPhotographsMirroredTurnedAndSlightlyRecoloured) {
  const auto r = audit_of("train", [](const image::Image& image, size_t i) {
    image::Image changed = evaluation::turned(image, static_cast<int>(i % 8));
    const double gain = 0.96 + 0.02 * static_cast<double>(i % 5);
    for (uint8_t& v : changed.pixels) v = static_cast<uint8_t>(std::min(255.0, v * gain));
    return changed;
  });
  EXPECT_FALSE(r.passed);
  EXPECT_FALSE(r.reasons.empty());
  for (const auto& space : r.spaces) EXPECT_GT(space.nearest_is_training, 0.9) << space.name;
}

}  // namespace
}  // namespace derm
