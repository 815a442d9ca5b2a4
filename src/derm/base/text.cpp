#include "derm/base/text.h"

#include <cstdint>

#include <fmt/format.h>

namespace derm {

namespace {

/// Length of the well-formed UTF-8 sequence at `at`, 0 if there is none (Unicode 15, table 3-7).
size_t sequence_length(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) -> uint8_t { return i < text.size() ? static_cast<uint8_t>(text[i]) : 0; };
  const auto within = [](uint8_t value, uint8_t low, uint8_t high) { return value >= low && value <= high; };
  const uint8_t first = byte(at);
  if (first < 0x80) return 1;
  if (within(first, 0xC2, 0xDF)) return within(byte(at + 1), 0x80, 0xBF) ? 2 : 0;
  if (within(first, 0xE0, 0xEF)) {
    // Overlong forms and surrogates are kept out by the range of the second byte.
    const uint8_t low = first == 0xE0 ? 0xA0 : 0x80, high = first == 0xED ? 0x9F : 0xBF;
    return within(byte(at + 1), low, high) && within(byte(at + 2), 0x80, 0xBF) ? 3 : 0;
  }
  if (within(first, 0xF0, 0xF4)) {
    const uint8_t low = first == 0xF0 ? 0x90 : 0x80, high = first == 0xF4 ? 0x8F : 0xBF;
    return within(byte(at + 1), low, high) && within(byte(at + 2), 0x80, 0xBF) && within(byte(at + 3), 0x80, 0xBF) ? 4
                                                                                                                   : 0;
  }
  return 0;
}

}  // namespace

size_t find_non_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const size_t length = sequence_length(text, i);
    if (length == 0) return i;
    i += length;
  }
  return std::string_view::npos;
}

std::string quote_text(std::string_view text, size_t max_bytes) {
  std::string out = "\"";
  for (size_t i = 0; i < text.size();) {
    if (i >= max_bytes) {
      out += "...";
      break;
    }
    const auto byte = static_cast<uint8_t>(text[i]);
    const size_t length = sequence_length(text, i);
    if (length == 0 || byte < 0x20 || byte == 0x7F) {
      out += fmt::format("\\x{:02x}", byte);
      ++i;
    } else {
      out += text.substr(i, length);
      i += length;
    }
  }
  return out + "\"";
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

}  // namespace derm
