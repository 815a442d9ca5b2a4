#include "derm/prepare/split.h"

#include <gtest/gtest.h>

#include <map>

#include "derm/base/error.h"

namespace derm::prepare {
namespace {

std::vector<SplitItem> people(int from, int to, const std::string& condition) {
  std::vector<SplitItem> items;
  for (int i = from; i < to; ++i) items.push_back({"p" + std::to_string(i), condition});
  return items;
}

TEST(AssignSplits, TenThousandGroupsFallSeventyFifteenFifteen) {
  std::map<std::string, int> counts;
  for (const std::string& split : assign_splits(people(0, 10000, "nevus"), 0.70, 0.15)) ++counts[split];
  EXPECT_NEAR(counts["train"], 7000, 150);  // three standard deviations are 137
  EXPECT_NEAR(counts["validation"], 1500, 120);
  EXPECT_NEAR(counts["test"], 1500, 120);
}

TEST(AssignSplits, StaysPutWhenImagesAreAdded) {
  const auto before = assign_splits(people(0, 300, "nevus"), 0.7, 0.15);
  auto more = people(0, 500, "nevus");
  for (const SplitItem& item : people(900, 1000, "melanoma")) more.push_back(item);
  const auto after = assign_splits(more, 0.7, 0.15);
  for (size_t i = 0; i < before.size(); ++i) EXPECT_EQ(before[i], after[i]);
}

TEST(AssignSplits, IsTheSameEverywhere) {
  EXPECT_EQ(assign_splits(people(0, 8, "nevus"), 0.5, 0.25), assign_splits(people(0, 8, "nevus"), 0.5, 0.25));
}

TEST(AssignSplits, AGroupNeverStraddlesEvenWithSeveralConditions) {
  std::vector<SplitItem> items;
  for (int i = 0; i < 400; ++i) {
    items.push_back({"p" + std::to_string(i), "nevus"});
    items.push_back({"p" + std::to_string(i), i % 4 == 0 ? "melanoma" : "nevus"});
  }
  const auto splits = assign_splits(items, 0.7, 0.15);
  for (size_t i = 0; i < items.size(); i += 2) EXPECT_EQ(splits[i], splits[i + 1]);
}

TEST(AssignSplits, TheRarestConditionPlacesAGroup) {
  auto alone = people(0, 40, "melanoma");
  const auto by_melanoma = assign_splits(alone, 0.5, 0.25);
  auto mixed = alone;
  for (const SplitItem& item : people(0, 200, "nevus")) mixed.push_back(item);
  const auto both = assign_splits(mixed, 0.5, 0.25);
  for (size_t i = 0; i < alone.size(); ++i) EXPECT_EQ(both[i], by_melanoma[i]);
}

TEST(AssignSplits, SharesOverOneAreRefused) { EXPECT_THROW(assign_splits({}, 0.9, 0.2), UsageError); }

}  // namespace
}  // namespace derm::prepare
