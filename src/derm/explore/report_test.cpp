// The parts of `explore` that measure whole sets: the map and truncation.
#include <gmock/gmock.h>

#include "derm/base/csv.h"
#include "derm/base/files.h"
#include "derm/explore/map.h"
#include "derm/explore/testing/models.h"
#include "derm/explore/truncation.h"

namespace derm::explore {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::ElementsAre;
using testing::Folder;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::sentence_of;

TEST(Numbers, AreARangeOrAList) {
  EXPECT_THAT(parse_numbers("0..1:3", "--psi"), ElementsAre(0, 0.5, 1));
  EXPECT_THAT(parse_numbers("0.3,0.7", "--psi"), ElementsAre(0.3, 0.7));
  EXPECT_THAT(sentence_of([] { parse_numbers("0.3,x", "--psi"); }), HasSubstr("'x' is no number"));
  EXPECT_THAT(sentence_of([] { parse_numbers("1..0:3", "--psi"); }), HasSubstr("LOW below HIGH"));
  EXPECT_THAT(sentence_of([] { parse_numbers("", "--psi"); }), HasSubstr("is no number"));
}

/// 100 phantoms, about 70 of them in train.
class Sets : public ::testing::Test {
 protected:
  Sets() : folder_("explore-sets"), data_(evaluation::testing::phantoms(folder_ / "D", 100, 32, 1)) {}
  evaluation::ImageSet photographs() { return evaluation::ImageSet::real(data_, {"train"}); }
  Folder folder_;
  std::shared_ptr<const data::DataSet> data_;
};

TEST_F(Sets, TruncationShrinksVarietyToNothingAtZero) {
  const Model model = testing::open(folder_, "style");
  TruncationOptions options;
  options.psis = {0, 1};
  options.shown = 2;
  evaluation::FidelityOptions fidelity;
  fidelity.extractors = {metrics::random_extractor()};
  fidelity.draws = 3;
  fidelity.halvings = 1;
  fidelity.pairs = 3;
  const auto steps =
      write_truncation(model, options, photographs(), fidelity, evaluation::FeatureCache({}), folder_ / "out");
  ASSERT_EQ(steps.size(), 2u);
  const std::string space = fidelity.extractors[0]->name();
  // At 0 all images are the average: recall and coverage see one point, and pairs are alike.
  EXPECT_EQ(steps[0].figures.find("recall", space)->value, 0);
  EXPECT_NEAR(steps[0].figures.find("MS-SSIM", "")->value, 1, 1e-6);
  EXPECT_EQ(steps[1].figures.n_synthetic, photographs().size());
  EXPECT_GT(CsvTable::read(folder_ / "out/truncation.csv").size(), 10u);
  EXPECT_FALSE(fs::exists(folder_ / "out/measured"));
  EXPECT_THAT(read_file(folder_ / "out/report.html"), AllOf(HasSubstr("psi 0.00"), HasSubstr("<svg")));
  options.psis = {0.5};
  EXPECT_THAT(sentence_of([&] {
                write_truncation(model, options, {}, fidelity, evaluation::FeatureCache({}), folder_ / "one");
              }),
              HasSubstr("two or more"));
  options.psis = {0.5, 3};
  EXPECT_THAT(sentence_of([&] {
                write_truncation(model, options, {}, fidelity, evaluation::FeatureCache({}), folder_ / "one");
              }),
              HasSubstr("psi 3"));
  EXPECT_THAT(sentence_of([&] {
                write_truncation(testing::open(folder_, "linear"), options, {}, fidelity, evaluation::FeatureCache({}),
                                 folder_ / "one");
              }),
              HasSubstr("no style space"));
}

TEST_F(Sets, AMapTellsDarkenedPhotographsFromPhotographs) {
  const std::vector<size_t> train = data_->of_split("train");
  const auto dark = evaluation::testing::derived(*data_, train, folder_ / "dark", [](image::Image image, size_t) {
    for (uint8_t& v : image.pixels) v = static_cast<uint8_t>(v / 8);
    return image;
  });
  MapOptions options;
  options.count = 60;
  options.tsne.perplexity = 8;
  options.tsne.iterations = 100;
  const auto extractor = metrics::random_extractor();
  const MapResult apart = write_map(photographs(), evaluation::ImageSet::synthetic(dark), *extractor,
                                    evaluation::FeatureCache({}), options, folder_ / "map");
  EXPECT_EQ(apart.photographs, 60u);
  EXPECT_EQ(apart.neighbours.accuracy, 1);
  EXPECT_EQ(CsvTable::read(folder_ / "map/map.csv").size(), 120u);
  const std::string page = read_file(folder_ / "map/report.html");
  EXPECT_THAT(page, AllOf(HasSubstr("100 % of the images"), HasSubstr("<svg"), Not(HasSubstr("<img")),
                          Not(HasSubstr("<script"))));
  options.tsne.perplexity = 100;
  EXPECT_THAT(sentence_of([&] {
                write_map(photographs(), evaluation::ImageSet::synthetic(dark), *extractor,
                          evaluation::FeatureCache({}), options, folder_ / "again");
              }),
              HasSubstr("below a third"));
  EXPECT_FALSE(fs::exists(folder_ / "again"));
}

}  // namespace
}  // namespace derm::explore
