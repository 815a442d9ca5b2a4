#include "derm/base/special.h"

#include <gtest/gtest.h>

#include "derm/base/error.h"

namespace derm {
namespace {

TEST(Student, HasTheQuantilesOfThePrintedTable) {
  EXPECT_NEAR(student_quantile(0.975, 1), 12.706204736, 1e-8);
  EXPECT_NEAR(student_quantile(0.975, 4), 2.776445105, 1e-8);
  EXPECT_NEAR(student_quantile(0.95, 30), 1.697260887, 1e-8);
  EXPECT_NEAR(student_quantile(0.025, 4), -2.776445105, 1e-8);
  EXPECT_NEAR(student_quantile(0.975, 1e7), 1.959963985, 1e-8);
  EXPECT_EQ(student_quantile(0.5, 3), 0.0);
}

TEST(Student, WithOneDegreeOfFreedomIsCauchy) {
  EXPECT_NEAR(student_cdf(1, 1), 0.75, 1e-12);  // 1/2 + atan(1) / pi
  EXPECT_NEAR(student_cdf(-1, 1), 0.25, 1e-12);
  EXPECT_THROW(student_cdf(1, 0), UsageError);
  EXPECT_THROW(student_quantile(1, 3), UsageError);
}

}  // namespace
}  // namespace derm
