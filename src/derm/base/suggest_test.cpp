#include "derm/base/suggest.h"

#include <gtest/gtest.h>

namespace derm {
namespace {

TEST(EditDistance, CountsChangesByHand) {
  EXPECT_EQ(edit_distance("", ""), 0);
  EXPECT_EQ(edit_distance("abc", ""), 3);
  EXPECT_EQ(edit_distance("", "abcd"), 4);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3);
  EXPECT_EQ(edit_distance("flaw", "lawn"), 2);
}

TEST(EditDistance, CountsASwapOfNeighboursAsOne) {
  EXPECT_EQ(edit_distance("batch_szie", "batch_size"), 1);
  EXPECT_EQ(edit_distance("ca", "abc"), 3);  // optimal string alignment; unrestricted Damerau would say 2
}

TEST(NearestName, FindsTheTypo) {
  const std::vector<std::string> known = {"batch_size", "lr_generator", "lr_discriminator", "ema"};
  EXPECT_EQ(nearest_name("batch_szie", known), "batch_size");
  EXPECT_EQ(nearest_name("batch-size", known), "batch_size");
  EXPECT_EQ(nearest_name("LR_Generater", known), "lr_generator");
  EXPECT_EQ(nearest_name("lr_gen", known), "lr_generator");  // cut short
  EXPECT_EQ(nearest_name("colour", known), "");
  EXPECT_EQ(nearest_name("xyz", known), "");
  EXPECT_EQ(nearest_name("", known), "");
  EXPECT_EQ(nearest_name("a", std::vector<std::string>{"b", "c"}), "");
  EXPECT_EQ(nearest_name(std::string(100000, 'x'), known), "");
}

TEST(DidYouMean, OffersTheNearestOrTheList) {
  const std::vector<std::string> known = {"train", "generate"};
  EXPECT_EQ(did_you_mean("trian", known), "; did you mean \"train\"?");
  EXPECT_EQ(did_you_mean("qqqqqq", known), "; known: train, generate");
  EXPECT_EQ(did_you_mean("x", {}), "");
  std::vector<std::string> many;
  for (int i = 0; i < 15; ++i) many.push_back("option_" + std::string(1, static_cast<char>('a' + i)));
  const std::string list = did_you_mean("qqqqqq", many);
  EXPECT_NE(list.find("option_l and 3 more"), std::string::npos) << list;
  EXPECT_EQ(list.find("option_m"), std::string::npos) << list;
}

}  // namespace
}  // namespace derm
