#include "derm/base/text.h"

#include <gtest/gtest.h>

namespace derm {
namespace {

constexpr size_t npos = std::string_view::npos;

TEST(Utf8, AcceptsEveryLengthOfSequence) {
  EXPECT_EQ(find_non_utf8(""), npos);
  EXPECT_EQ(find_non_utf8("plain"), npos);
  EXPECT_EQ(find_non_utf8("n\xC3\xA6vus \xE2\x82\xAC \xF0\x9F\x98\x80"), npos);
}

TEST(Utf8, FindsWhatIsBroken) {
  EXPECT_EQ(find_non_utf8("ab\xE9"), 2u);            // Latin-1 e acute
  EXPECT_EQ(find_non_utf8("\xC0\x80"), 0u);          // overlong zero
  EXPECT_EQ(find_non_utf8("a\xED\xA0\x80"), 1u);     // surrogate
  EXPECT_EQ(find_non_utf8("\xF4\x90\x80\x80"), 0u);  // beyond U+10FFFF
  EXPECT_EQ(find_non_utf8("x\xE2\x82"), 1u);         // cut short
}

TEST(QuoteText, ShowsNoControlCharacterAndCutsLongText) {
  EXPECT_EQ(quote_text("abc"), "\"abc\"");
  EXPECT_EQ(quote_text("a\x1b[31m\n\xFF"), "\"a\\x1b[31m\\x0a\\xff\"");
  EXPECT_EQ(quote_text("n\xC3\xA6vus"), "\"n\xC3\xA6vus\"");
  EXPECT_EQ(quote_text(std::string(100, 'x'), 5), "\"xxxxx...\"");
}

}  // namespace
}  // namespace derm
