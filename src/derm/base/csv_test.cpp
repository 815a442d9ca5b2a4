#include "derm/base/csv.h"

#include <bit>
#include <cmath>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "derm/base/error.h"
#include "derm/base/random.h"

namespace derm {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;
using namespace std::string_view_literals;

CsvTable parsed(std::string_view text) { return CsvTable::parse(text, "t.csv"); }

TEST(CsvTable, ReadsHeaderAndRows) {
  const CsvTable table = parsed("image,age\na.png,45\nb.png,\n");
  EXPECT_THAT(table.header(), ElementsAre("image", "age"));
  ASSERT_EQ(table.size(), 2u);
  EXPECT_EQ(table.get(0, "age"), "45");
  EXPECT_EQ(table.get(1, "age"), "");
  EXPECT_EQ(table.get(1, "site"), "");  // no such column
  EXPECT_EQ(table.column("age"), 1u);
  EXPECT_EQ(table.find("site"), std::nullopt);
}

TEST(CsvTable, ReadsQuotedFields) {
  const CsvTable table = parsed("a,b,c\n\"x,y\",\"say \"\"hi\"\"\",\"two\r\nlines\"\n5\" lens,,\"\"\n");
  ASSERT_EQ(table.size(), 2u);
  EXPECT_THAT(table.row(0), ElementsAre("x,y", "say \"hi\"", "two\r\nlines"));
  EXPECT_THAT(table.row(1), ElementsAre("5\" lens", "", ""));
}

TEST(CsvTable, TakesCrlfByteOrderMarkAndNoLastLineEnd) {
  const CsvTable table = parsed("\xEF\xBB\xBFimage,age\r\na.png,45\r\n\r\nb.png,46");
  EXPECT_THAT(table.header(), ElementsAre("image", "age"));
  ASSERT_EQ(table.size(), 2u);
  EXPECT_THAT(table.row(1), ElementsAre("b.png", "46"));
}

TEST(CsvTable, GuessesTheDelimiterFromTheHeader) {
  EXPECT_THAT(parsed("a;b;c\n1,5;2;3\n").row(0), ElementsAre("1,5", "2", "3"));
  EXPECT_THAT(parsed("a\tb\n1\t2,3\n").row(0), ElementsAre("1", "2,3"));
  EXPECT_THAT(parsed("\"a;b;c\",d\n1,2\n").row(0), ElementsAre("1", "2"));
  EXPECT_THAT(parsed("alone\n1;2\n").row(0), ElementsAre("1;2"));
  EXPECT_THAT(parsed("a,b\n1,\n").row(0), ElementsAre("1", ""));
  EXPECT_THAT(parsed("a,b\n1,").row(0), ElementsAre("1", ""));  // the file ends behind the delimiter
}

TEST(CsvTable, RefusesWhatIsBrokenAndSaysWhere) {
  const auto message = [](std::string_view text, const std::string& part) {
    EXPECT_THAT([&] { parsed(text); }, ThrowsMessage<DataError>(HasSubstr(part)));
  };
  message("a,b\n1,2\n1,2,3\n", "t.csv: line 3 has 3 fields, the header has 2");
  message("a,b\n\"x\ny\",2\n1\n", "line 4 has 1 field,");
  message("a,b\n1,\"open\n2,3\n", "line 2: the quotation mark opened here is never closed");
  message("a,b\n\"x\"y,2\n", "line 2: text follows a closing quotation mark");
  message("a,b,a\n", "\"a\" is there twice");
  message("", "empty");
  message("\n\n", "empty");
  message("a,b\n\xE9,1\n", "line 2 is not UTF-8");
  message("\xFF\xFE\x61", "UTF-16");
  message("a,b\n1,\0\n"sv, "zero byte");
}

TEST(CsvTable, NamesTheNearestColumn) {
  const CsvTable table = parsed("image_id,age\n");
  EXPECT_THAT([&] { table.column("imageid"); },
              ThrowsMessage<DataError>("t.csv: there is no column \"imageid\"; did you mean \"image_id\"?"));
}

TEST(CsvTable, ReadsBackWhatItWrites) {
  CsvTable table({"a;b;c;d", "e f", ""});
  table.add_row({"x,y", "\"", "two\nlines"});
  table.add_row({"", "", ""});
  table.add_row({"\r", "n\xC3\xA6vus", "\t"});
  const CsvTable again = parsed(table.to_string());
  EXPECT_EQ(again.header(), table.header());
  ASSERT_EQ(again.size(), 3u);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(again.row(i), table.row(i)) << i;

  CsvTable narrow({"only"});
  narrow.add_row({""});
  EXPECT_EQ(parsed(narrow.to_string()).size(), 1u);
  EXPECT_THROW(narrow.add_row({"1", "2"}), std::logic_error);
}

TEST(CsvTable, ThrowsOnlyItsOwnErrorsWhateverTheBytes) {
  Rng rng(1);
  const auto alphabet = "a,;\t\"\r\n\xEF\xBB\xBF\xC3\xA9\x00z"sv;
  for (int round = 0; round < 20000; ++round) {
    std::string text;
    for (int64_t n = rng.integer(0, 24); n > 0; --n)
      text += alphabet[static_cast<size_t>(rng.integer(0, static_cast<int64_t>(alphabet.size()) - 1))];
    try {
      const CsvTable table = parsed(text);
      const CsvTable again = parsed(table.to_string());
      ASSERT_EQ(again.header(), table.header());
      ASSERT_EQ(again.size(), table.size());
      for (size_t i = 0; i < table.size(); ++i) ASSERT_EQ(again.row(i), table.row(i));
    } catch (const DataError&) {
    }
  }
}

TEST(ParseNumber, TakesAWholeTextAndNothingElse) {
  EXPECT_EQ(parse_number("45", "x"), 45.0);
  EXPECT_EQ(parse_number("-1.5e3", "x"), -1500.0);
  EXPECT_EQ(parse_number("+0.25", "x"), 0.25);
  for (const char* text : {"", " 1", "1 ", "abc", "1,5", "nan", "inf", "-inf", "0x10", "1e999", "+-1", "+"}) {
    EXPECT_THROW(parse_number(text, "x"), DataError) << text;
  }
  EXPECT_THAT([] { parse_number("abc", "t.csv: line 2: age"); },
              ThrowsMessage<DataError>("t.csv: line 2: age: \"abc\" is not a number"));
  EXPECT_EQ(parse_integer("-9223372036854775808", "x"), std::numeric_limits<int64_t>::min());
  for (const char* text : {"", "1.0", "9223372036854775808", "1e3", "x"})
    EXPECT_THROW(parse_integer(text, "x"), DataError) << text;
}

TEST(NumberText, IsShortAndReadsBackTheSame) {
  EXPECT_EQ(number_text(0.1), "0.1");
  EXPECT_EQ(number_text(2e-4), "0.0002");
  EXPECT_EQ(number_text(45), "45");
  EXPECT_EQ(number_text(-0.0), "-0");
  EXPECT_EQ(number_text(1.0 / 3), "0.3333333333333333");
  Rng rng(2);
  for (int i = 0; i < 20000; ++i) {
    const double value = std::bit_cast<double>(rng.next());
    if (!std::isfinite(value)) continue;
    ASSERT_EQ(parse_number(number_text(value), "x"), value);
  }
  EXPECT_EQ(parse_number(number_text(std::numeric_limits<double>::denorm_min()), "x"),
            std::numeric_limits<double>::denorm_min());
  EXPECT_EQ(parse_number(number_text(std::numeric_limits<double>::max()), "x"), std::numeric_limits<double>::max());
}

}  // namespace
}  // namespace derm
