#include "derm/base/csv.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <stdexcept>
#include <unordered_set>

#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/base/suggest.h"
#include "derm/base/text.h"

namespace derm {

namespace {

constexpr size_t kMaxRows = 10'000'000;

/// The delimiter that occurs most in the header, outside quotes; a comma when none does.
char delimiter_of(std::string_view text) {
  size_t commas = 0, semicolons = 0, tabs = 0;
  bool in_quotes = false;
  for (const char c : text) {
    if (c == '"') in_quotes = !in_quotes;
    if (in_quotes) continue;
    if (c == '\n' || c == '\r') break;
    commas += c == ',';
    semicolons += c == ';';
    tabs += c == '\t';
  }
  if (commas >= semicolons && commas >= tabs) return ',';
  return semicolons >= tabs ? ';' : '\t';
}

/// Splits a text into records; keeps the line number for messages.
class Reader {
 public:
  Reader(std::string_view text, char delimiter, const std::string& where)
      : text_(text), delimiter_(delimiter), where_(where) {}

  /// The next record that is not an empty line; false at the end.
  bool next(std::vector<std::string>& fields) {
    while (at_ < text_.size() && end_of_line()) {
    }
    if (at_ >= text_.size()) return false;
    first_line_ = line_;
    fields.clear();
    for (;;) {
      const bool opens = at_ < text_.size() && text_[at_] == '"';
      fields.push_back(opens ? quoted_field() : bare_field());
      if (at_ >= text_.size() || end_of_line()) return true;
      ++at_;  // the delimiter
    }
  }

  size_t first_line() const { return first_line_; }

 private:
  bool end_of_line() {
    const char c = text_[at_];
    if (c != '\n' && c != '\r') return false;
    at_ += c == '\r' && at_ + 1 < text_.size() && text_[at_ + 1] == '\n' ? 2 : 1;
    ++line_;
    return true;
  }

  std::string bare_field() {
    const size_t start = at_;
    while (at_ < text_.size() && text_[at_] != delimiter_ && text_[at_] != '\n' && text_[at_] != '\r') ++at_;
    return std::string(text_.substr(start, at_ - start));
  }

  std::string quoted_field() {
    const size_t opened = line_;
    std::string field;
    for (++at_; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c != '"') {
        line_ += c == '\n' ? 1 : 0;
        field += c;
      } else if (at_ + 1 < text_.size() && text_[at_ + 1] == '"') {
        field += text_[++at_];
      } else {
        ++at_;
        if (at_ < text_.size() && text_[at_] != delimiter_ && text_[at_] != '\n' && text_[at_] != '\r') {
          throw DataError(
              "{}: line {}: text follows a closing quotation mark; write a quotation mark inside a field twice", where_,
              line_);
        }
        return field;
      }
    }
    throw DataError(
        "{}: line {}: the quotation mark opened here is never closed; close it, or write it twice if it belongs "
        "to the field",
        where_, opened);
  }

  std::string_view text_;
  char delimiter_;
  const std::string& where_;
  size_t at_ = 0, line_ = 1, first_line_ = 1;
};

std::string trimmed(const std::string& text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string::npos) return "";
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

void append_field(std::string& out, const std::string& field) {
  // Semicolons and tabs are quoted too: the delimiter is guessed from the header when the table is read again.
  if (field.find_first_of(",;\t\"\r\n") == std::string::npos) {
    out += field;
    return;
  }
  out += '"';
  for (const char c : field) {
    if (c == '"') out += '"';
    out += c;
  }
  out += '"';
}

void append_row(std::string& out, const std::vector<std::string>& row) {
  // A lone empty field would be an empty line, which readers skip.
  if (row.size() == 1 && row[0].empty()) out += "\"\"";
  for (size_t i = 0; i < row.size(); ++i) {
    if (i > 0) out += ',';
    append_field(out, row[i]);
  }
  out += '\n';
}

}  // namespace

CsvTable::CsvTable(std::vector<std::string> header) : where_("table"), header_(std::move(header)) {}

CsvTable CsvTable::read(const std::filesystem::path& path) { return parse(read_file(path), path.string()); }

CsvTable CsvTable::parse(std::string_view text, const std::string& where) {
  if (text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF")) {
    throw DataError("{}: the table is in UTF-16, UTF-8 is expected; save it as \"CSV UTF-8\"", where);
  }
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  const auto line_of = [&](size_t offset) {
    return 1 + std::count(text.begin(), text.begin() + static_cast<ptrdiff_t>(offset), '\n');
  };
  if (const size_t bad = find_non_utf8(text); bad != std::string_view::npos) {
    throw DataError("{}: line {} is not UTF-8; save the table as \"CSV UTF-8\"", where, line_of(bad));
  }
  if (const size_t zero = text.find('\0'); zero != std::string_view::npos) {
    throw DataError("{}: line {} holds a zero byte, so it is no table of text; check that this is the right file",
                    where, line_of(zero));
  }

  CsvTable table;
  table.where_ = where;
  const size_t header_start = std::min(text.find_first_not_of("\r\n"), text.size());
  Reader reader(text, delimiter_of(text.substr(header_start)), where);
  if (!reader.next(table.header_))
    throw DataError("{}: the table is empty; a line with the column names is expected", where);
  std::unordered_set<std::string> seen;
  for (std::string& name : table.header_) {
    name = trimmed(name);
    // Spreadsheets leave columns without a name behind; those cannot be asked for, so they may repeat.
    if (!name.empty() && !seen.insert(name).second) {
      throw DataError("{}: line {}: the column {} is there twice; rename one of them", where, reader.first_line(),
                      quote_text(name));
    }
  }
  std::vector<std::string> fields;
  while (reader.next(fields)) {
    if (fields.size() != table.header_.size()) {
      throw DataError(
          "{}: line {} has {} field{}, the header has {}; mend the line (a field that holds the delimiter needs "
          "quotation marks)",
          where, reader.first_line(), fields.size(), fields.size() == 1 ? "" : "s", table.header_.size());
    }
    if (table.rows_.size() == kMaxRows) {
      throw DataError("{}: line {}: over {} rows; split the table", where, reader.first_line(), kMaxRows);
    }
    table.rows_.push_back(std::move(fields));
    fields = {};
  }
  return table;
}

std::optional<size_t> CsvTable::find(std::string_view column) const {
  const auto at = std::find(header_.begin(), header_.end(), column);
  if (at == header_.end()) return std::nullopt;
  return static_cast<size_t>(at - header_.begin());
}

const std::string& CsvTable::get(size_t row, std::string_view column) const {
  static const std::string none;
  const auto index = find(column);
  return index ? rows_.at(row)[*index] : none;
}

size_t CsvTable::column(std::string_view name) const {
  if (const auto index = find(name)) return *index;
  throw DataError("{}: there is no column {}{}", where_, quote_text(name), did_you_mean(name, header_));
}

void CsvTable::add_row(std::vector<std::string> row) {
  if (row.size() != header_.size()) {
    throw std::logic_error(
        fmt::format("a row of {} fields was added to a table of {} columns", row.size(), header_.size()));
  }
  rows_.push_back(std::move(row));
}

std::string CsvTable::to_string() const {
  std::string out;
  append_row(out, header_);
  for (const auto& row : rows_) append_row(out, row);
  return out;
}

double parse_number(std::string_view text, const std::string& where) {
  std::string_view digits = text;
  if (digits.size() > 1 && digits[0] == '+' && digits[1] != '-') digits.remove_prefix(1);
  double value = 0;
  const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (code == std::errc::result_out_of_range && end == digits.data() + digits.size()) {
    throw DataError("{}: {} is beyond what a number can hold", where, quote_text(text));
  }
  if (code != std::errc() || end != digits.data() + digits.size() || !std::isfinite(value)) {
    throw DataError("{}: {} is not a number", where, quote_text(text));
  }
  return value;
}

int64_t parse_integer(std::string_view text, const std::string& where) {
  std::string_view digits = text;
  if (digits.size() > 1 && digits[0] == '+' && digits[1] != '-') digits.remove_prefix(1);
  int64_t value = 0;
  const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (code == std::errc::result_out_of_range && end == digits.data() + digits.size()) {
    throw DataError("{}: {} is beyond what a whole number can hold", where, quote_text(text));
  }
  if (code != std::errc() || end != digits.data() + digits.size()) {
    throw DataError("{}: {} is not a whole number", where, quote_text(text));
  }
  return value;
}

std::string number_text(double value) { return fmt::format("{}", value); }

}  // namespace derm
