#pragma once
// Text that came from outside: is it UTF-8, and how is it shown in a message.
#include <cstddef>
#include <string>
#include <string_view>

namespace derm {

/// Offset of the first byte that is not part of well-formed UTF-8; npos when all of it is.
size_t find_non_utf8(std::string_view text);

/// The text in quotation marks for a message: control characters and broken UTF-8 escaped, cut after `max_bytes`.
std::string quote_text(std::string_view text, size_t max_bytes = 80);

/// What comes before the first line break.
std::string first_line(const std::string& text);

}  // namespace derm
