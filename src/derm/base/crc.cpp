#include "derm/base/crc.h"

#include <array>
#include <cstddef>

namespace derm {
namespace {

using Tables = std::array<std::array<uint32_t, 256>, 8>;

/// [k][b]: what a byte b does to the remainder once k further bytes have gone by.
constexpr Tables tables_of(uint32_t polynomial) {
  Tables t{};
  for (uint32_t b = 0; b < 256; ++b) {
    uint32_t c = b;
    for (int bit = 0; bit < 8; ++bit) c = c & 1 ? polynomial ^ (c >> 1) : c >> 1;
    t[0][b] = c;
  }
  for (size_t k = 1; k < 8; ++k)
    for (size_t b = 0; b < 256; ++b) t[k][b] = (t[k - 1][b] >> 8) ^ t[0][t[k - 1][b] & 0xff];
  return t;
}

/// Eight bytes at a time, since the eight look-ups do not wait for each other (Kounavis and Berry 2005,
/// "slicing-by-8").
/// @param polynomial  lowest bit first ("reflected")
template <uint32_t polynomial>
uint32_t crc(std::string_view bytes) {
  static constexpr Tables tables = tables_of(polynomial);
  const auto at = [&](size_t i) { return uint32_t{static_cast<uint8_t>(bytes[i])}; };
  uint32_t c = ~uint32_t{0};
  size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    c ^= at(i) | at(i + 1) << 8 | at(i + 2) << 16 | at(i + 3) << 24;
    c = tables[7][c & 0xff] ^ tables[6][c >> 8 & 0xff] ^ tables[5][c >> 16 & 0xff] ^ tables[4][c >> 24] ^
        tables[3][at(i + 4)] ^ tables[2][at(i + 5)] ^ tables[1][at(i + 6)] ^ tables[0][at(i + 7)];
  }
  for (; i < bytes.size(); ++i) c = tables[0][(c ^ at(i)) & 0xff] ^ (c >> 8);
  return ~c;
}

}  // namespace

uint32_t crc32(std::string_view bytes) { return crc<0xedb88320>(bytes); }
uint32_t crc32c(std::string_view bytes) { return crc<0x82f63b78>(bytes); }

}  // namespace derm
