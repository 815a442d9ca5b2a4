#include "derm/utility/folds.h"

#include <algorithm>
#include <map>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "derm/base/error.h"

namespace derm::utility {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::vector<std::string> kConditions = {"common", "rare"};

/// 120 patients of one to four images, one in six of them rare.
std::vector<Row> made_rows() {
  std::vector<Row> rows;
  for (int p = 0; p < 120; ++p)
    for (int i = 0; i <= p % 4; ++i)
      rows.push_back({"p" + std::to_string(p), p % 6 == 0 ? size_t{1} : size_t{0}, "train"});
  return rows;
}

TEST(Folds, AskEveryPatientOnceAndKeepEachOnOneSide) {
  const std::vector<Row> rows = made_rows();
  const auto folds = make_folds(rows, kConditions, 5, 0.15, 3);
  ASSERT_EQ(folds.size(), 5u);
  std::vector<int> tested(rows.size(), 0);
  for (const Fold& fold : folds) {
    std::map<std::string, std::set<int>> sides;
    int side = 0;
    for (const auto* part : {&fold.train, &fold.validation, &fold.test}) {
      EXPECT_TRUE(std::is_sorted(part->begin(), part->end()));
      for (const size_t row : *part) sides[rows[row].patient].insert(side);
      ++side;
    }
    EXPECT_EQ(fold.train.size() + fold.validation.size() + fold.test.size(), rows.size());
    for (const auto& [patient, on] : sides) EXPECT_EQ(on.size(), 1u) << patient;
    for (const size_t row : fold.test) ++tested[row];
    // 300 images, 40 of them rare: a fifth tested, 15 % of the rest to validate on.
    EXPECT_NEAR(static_cast<double>(fold.test.size()), 60, 4);
    EXPECT_NEAR(static_cast<double>(fold.validation.size()), 36, 5);
    const auto rare = [&](const std::vector<size_t>& part) {
      return static_cast<double>(
          std::count_if(part.begin(), part.end(), [&](size_t r) { return rows[r].condition == 1; }));
    };
    EXPECT_NEAR(rare(fold.test), 8, 3);
    EXPECT_GE(rare(fold.validation), 2);
  }
  EXPECT_EQ(std::count(tested.begin(), tested.end(), 1), static_cast<std::ptrdiff_t>(rows.size()));
}

TEST(Folds, DoNotDependOnTheOrderOfTheRows) {
  std::vector<Row> rows = made_rows();
  const auto names = [](const std::vector<Row>& of, const std::vector<size_t>& part) {
    std::set<std::string> patients;
    for (const size_t row : part) patients.insert(of[row].patient);
    return patients;
  };
  const auto one = make_folds(rows, kConditions, 5, 0.15, 3);
  std::vector<Row> turned(rows.rbegin(), rows.rend());
  const auto other = make_folds(turned, kConditions, 5, 0.15, 3);
  for (size_t f = 0; f < 5; ++f) EXPECT_EQ(names(rows, one[f].test), names(turned, other[f].test));
  EXPECT_NE(names(rows, one[0].test), names(rows, make_folds(rows, kConditions, 5, 0.15, 4)[0].test));
}

TEST(Folds, OfOneAreTheSetsOwnSplitsAndRefuseAPatientOnBothSides) {
  std::vector<Row> rows = {{"a", 0, "train"}, {"b", 1, "train"}, {"c", 0, "validation"}, {"d", 1, "test"}};
  const auto folds = make_folds(rows, kConditions, 1, 0.15, 0);
  EXPECT_THAT(folds[0].train, ElementsAre(0, 1));
  EXPECT_THAT(folds[0].validation, ElementsAre(2));
  EXPECT_THAT(folds[0].test, ElementsAre(3));
  rows.push_back({"a", 0, "test"});
  try {
    make_folds(rows, kConditions, 1, 0.15, 0);
    FAIL() << "a patient was on both sides";
  } catch (const DataError& e) {
    EXPECT_THAT(e.what(), HasSubstr("a is on both sides: in the split train and in test"));
  }
}

TEST(Folds, WantAPatientOfEachConditionInEach) {
  const std::vector<Row> rows = {{"a", 0, ""}, {"b", 0, ""}, {"c", 0, ""}, {"d", 0, ""}, {"e", 1, ""}, {"e", 1, ""}};
  EXPECT_THROW(make_folds(rows, kConditions, 3, 0.15, 0), UsageError);
}

TEST(Limited, KeepsSoManyOfEachAndNestsThem) {
  const std::vector<Row> rows = made_rows();
  std::vector<size_t> all(rows.size());
  for (size_t i = 0; i < all.size(); ++i) all[i] = i;
  const auto count = [&](const std::vector<size_t>& part, size_t k) {
    return std::count_if(part.begin(), part.end(), [&](size_t r) { return rows[r].condition == k; });
  };
  const auto few = limited(all, rows, kConditions, parse_regime("16"), 9);
  EXPECT_EQ(count(few, 0), 16);
  EXPECT_EQ(count(few, 1), 16);
  const auto more = limited(all, rows, kConditions, parse_regime("32"), 9);
  EXPECT_TRUE(std::includes(more.begin(), more.end(), few.begin(), few.end()));
  EXPECT_EQ(limited(all, rows, kConditions, parse_regime("all"), 9), all);
  const auto thin = limited(all, rows, kConditions, parse_regime("rare=5"), 9);
  EXPECT_EQ(count(thin, 1), 5);
  EXPECT_EQ(count(thin, 0), count(all, 0));
}

TEST(Compose, AddsEquallyManyWhateverTheyAre) {
  // Six common, two rare.
  std::vector<Row> rows;
  for (int i = 0; i < 8; ++i) rows.push_back({"p" + std::to_string(i), i < 6 ? size_t{0} : size_t{1}, ""});
  const std::vector<size_t> train = {0, 1, 2, 3, 4, 5, 6, 7};
  const auto of = [&](const char* arm, std::vector<bool> fill = {true, true}, double to = 1.0) {
    return compose(parse_arm(arm), train, rows, fill, to, 1);
  };
  EXPECT_EQ(of("real").size(), 8);
  EXPECT_EQ(of("real+duplicates=2").photographs.size(), 24u);
  EXPECT_THAT(of("real+synthetic=2").synthetic, ElementsAre(12, 4));
  EXPECT_EQ(of("real+synthetic=2").size(), of("real+duplicates=2").size());
  EXPECT_EQ(of("real+synthetic=0.5").size(), of("real+duplicates=0.5").size());
  EXPECT_THAT(of("real+fill=synthetic").synthetic, ElementsAre(0, 4));
  EXPECT_THAT(of("real+fill=synthetic", {true, false}).synthetic, ElementsAre(0, 0));
  EXPECT_THAT(of("real+fill=synthetic", {true, true}, 0.5).synthetic, ElementsAre(0, 1));
  EXPECT_EQ(of("real+fill=duplicates").size(), 12);
  const Composition filled = of("real+fill=duplicates");
  EXPECT_EQ(std::count_if(filled.photographs.begin(), filled.photographs.end(), [](size_t r) { return r >= 6; }), 6);
  EXPECT_THAT(of("synthetic=1").photographs, testing::IsEmpty());
  EXPECT_EQ(of("synthetic=1").size(), 8);
}

}  // namespace
}  // namespace derm::utility
