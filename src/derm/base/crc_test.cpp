#include "derm/base/crc.h"

#include <string>

#include <gtest/gtest.h>

namespace derm {
namespace {

TEST(Crc, GivesTheCheckValuesOfBothStandards) {
  EXPECT_EQ(crc32("123456789"), 0xcbf43926u);  // CRC-32/ISO-HDLC
  EXPECT_EQ(crc32(""), 0u);
  EXPECT_EQ(crc32("The quick brown fox jumps over the lazy dog"), 0x414fa339u);
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);  // CRC-32/ISCSI
  EXPECT_EQ(crc32c(""), 0u);
  // RFC 3720, appendix B.4.
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  std::string rising, falling;
  for (char i = 0; i < 32; ++i) rising += i, falling += static_cast<char>(31 - i);
  EXPECT_EQ(crc32c(rising), 0x46dd794eu);
  EXPECT_EQ(crc32c(falling), 0x113fdb5cu);
}

TEST(Crc, IsThatOfOneByteAfterTheOtherAtEveryLengthUpToForty) {
  const auto plain = [](std::string_view bytes, uint32_t polynomial) {
    uint32_t c = ~uint32_t{0};
    for (const char byte : bytes) {
      c ^= static_cast<uint8_t>(byte);
      for (int bit = 0; bit < 8; ++bit) c = c & 1 ? polynomial ^ (c >> 1) : c >> 1;
    }
    return ~c;
  };
  std::string bytes;
  for (int i = 0; i < 40; ++i) {
    EXPECT_EQ(crc32(bytes), plain(bytes, 0xedb88320)) << i;
    EXPECT_EQ(crc32c(bytes), plain(bytes, 0x82f63b78)) << i;
    bytes += static_cast<char>(i * 89 + 200);
  }
}

}  // namespace
}  // namespace derm
