#pragma once
// RFC 4180 tables with a header line.
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace derm {

class CsvTable {
 public:
  CsvTable() = default;
  explicit CsvTable(std::vector<std::string> header);

  /// Reads a file: UTF-8, with or without BOM, LF or CRLF, quoted fields; the delimiter (comma, semicolon, tab) is the
  /// one that occurs most in the header. @throws DataError with line number: row of another width, open quote, a name
  /// twice, over 10 million rows.
  static CsvTable read(const std::filesystem::path& path);
  static CsvTable parse(std::string_view text, const std::string& where);

  const std::vector<std::string>& header() const { return header_; }
  size_t size() const { return rows_.size(); }
  const std::vector<std::string>& row(size_t i) const { return rows_[i]; }
  std::optional<size_t> find(std::string_view column) const;

  /// Field of a row by column; "" if the table has no such column.
  const std::string& get(size_t row, std::string_view column) const;

  /// Index of a column. @throws DataError naming the file, the column and the nearest that is there.
  size_t column(std::string_view name) const;

  void add_row(std::vector<std::string> row);
  std::string to_string() const;

 private:
  std::string where_;
  std::vector<std::string> header_;
  std::vector<std::vector<std::string>> rows_;
};

/// A number from text, whole text and finite. @throws DataError `where: 'abc' is not a number`.
double parse_number(std::string_view text, const std::string& where);
int64_t parse_integer(std::string_view text, const std::string& where);

/// Shortest decimal text that reads back as the same double.
std::string number_text(double value);

}  // namespace derm
