#include "derm/base/error.h"

#include <gtest/gtest.h>

namespace derm {
namespace {

TEST(Error, CarriesItsExitCode) {
  EXPECT_EQ(exit_code_of(UsageError("asked wrongly")), 2);
  EXPECT_EQ(exit_code_of(DataError("{} holds nothing", "a.png")), 3);
  EXPECT_EQ(exit_code_of(Interrupted()), 130);
  EXPECT_EQ(exit_code_of(std::runtime_error("ours")), 1);
}

TEST(Error, FormatsItsMessage) {
  const DataError error("{}: line {} has {} fields", "t.csv", 3, 2);
  EXPECT_STREQ(error.what(), "t.csv: line 3 has 2 fields");
}

}  // namespace
}  // namespace derm
