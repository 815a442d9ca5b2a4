#include "derm/base/random.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include <gtest/gtest.h>

#include "derm/base/error.h"

namespace derm {
namespace {

// The expected numbers come from a computation in Python's unlimited integers, written after the published definitions
// of splitmix64 and xoshiro256++; that one gives the published 41943041, 58720359, ... from the state 1, 2, 3, 4.
TEST(Rng, GivesThePublishedSequence) {
  Rng zero(0);
  EXPECT_EQ(zero.next(), 5987356902031041503u);
  EXPECT_EQ(zero.next(), 7051070477665621255u);
  EXPECT_EQ(zero.next(), 6633766593972829180u);
  EXPECT_EQ(zero.next(), 211316841551650330u);
  Rng other(1234567);
  EXPECT_EQ(other.next(), 437095814655224680u);
  EXPECT_EQ(other.next(), 8127161015984454572u);
}

TEST(Seeds, AreTheSameEverywhere) {
  EXPECT_EQ(mix_seed(0, 0), 0xa706dd2f4d197e6fu);
  EXPECT_EQ(mix_seed(0, 1), 0xb382a305f4414f5eu);
  EXPECT_EQ(mix_seed(7, 3), 0x9aaf21d8296e1e3du);
  EXPECT_NE(mix_seed(7, 3), mix_seed(3, 7));
  // FNV-1a of "foobar" is 85944171f73967e8, as its authors list it; then splitmix64's next number.
  EXPECT_EQ(hash_text("foobar"), 0x5df295413403de4fu);
  EXPECT_EQ(hash_text(""), 0xc3817c016ba4ff30u);
}

TEST(Rng, UniformStaysBelowOne) {
  Rng rng(1);
  EXPECT_EQ(Rng(0).uniform(), static_cast<double>(5987356902031041503u >> 11) / 9007199254740992.0);
  double sum = 0;
  for (int i = 0; i < 100000; ++i) {
    const double value = rng.uniform();
    ASSERT_GE(value, 0.0);
    ASSERT_LT(value, 1.0);
    sum += value;
  }
  EXPECT_NEAR(sum / 100000, 0.5, 0.005);  // five standard errors are 0.0046
}

TEST(Rng, IntegerReachesBothEndsAlikeWithoutBias) {
  Rng rng(2);
  std::array<int, 6> counts{};
  for (int i = 0; i < 60000; ++i) ++counts[static_cast<size_t>(rng.integer(-2, 3) + 2)];
  for (const int count : counts) EXPECT_NEAR(count, 10000, 460);  // five standard deviations of 91
  EXPECT_EQ(rng.integer(7, 7), 7);
  EXPECT_THROW(rng.integer(1, 0), UsageError);
}

TEST(Rng, IntegerHasNoBiasOverASpanThatDoesNotDivideTheRange) {
  // Of a span of 3/4 of 2^64, value % span alone would give the lowest third twice as often: 1/2 instead of 1/3.
  Rng rng(3);
  const int64_t low = std::numeric_limits<int64_t>::min();
  const int64_t high = int64_t{1} << 62;  // low + 3 * 2^62
  const int64_t third = low + (int64_t{1} << 62);
  int in_lowest_third = 0;
  for (int i = 0; i < 30000; ++i) in_lowest_third += rng.integer(low, high) < third;
  EXPECT_NEAR(in_lowest_third, 10000, 410);
  rng.integer(low, std::numeric_limits<int64_t>::max());  // every number: no division by zero
}

TEST(Rng, NormalHasMeanZeroAndDeviationOne) {
  Rng rng(4);
  double sum = 0, squares = 0;
  int beyond_two = 0;
  for (int i = 0; i < 100000; ++i) {
    const double value = rng.normal();
    sum += value;
    squares += value * value;
    beyond_two += std::abs(value) > 2;
  }
  EXPECT_NEAR(sum / 100000, 0, 0.016);
  EXPECT_NEAR(squares / 100000, 1, 0.023);
  EXPECT_NEAR(beyond_two, 4550, 330);
}

TEST(Rng, ChanceKeepsItsExtremes) {
  Rng rng(5);
  for (int i = 0; i < 1000; ++i) {
    EXPECT_FALSE(rng.chance(0));
    EXPECT_TRUE(rng.chance(1));
  }
}

TEST(Rng, ShuffleKeepsEveryElementAndRepeats) {
  std::vector<int> a(100);
  std::iota(a.begin(), a.end(), 0);
  std::vector<int> b = a, sorted = a;
  Rng(6).shuffle(a);
  Rng(6).shuffle(b);
  EXPECT_EQ(a, b);
  EXPECT_NE(a, sorted);
  std::sort(a.begin(), a.end());
  EXPECT_EQ(a, sorted);
}

}  // namespace
}  // namespace derm
