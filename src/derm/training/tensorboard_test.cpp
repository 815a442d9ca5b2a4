#include "derm/training/tensorboard.h"

#include <cstring>
#include <filesystem>

#include <gtest/gtest.h>

#include "derm/base/files.h"

namespace derm::training {
namespace {

TEST(TensorBoardWriter, MasksTheChecksumAsTfRecordDoes) {
  // 0xe3069283 turned right by 15 bits is 0x2507c60d; with 0xa282ead8 added:
  EXPECT_EQ(masked_crc32c("123456789"), 0xc78ab0e5u);
}

TEST(TensorBoardWriter, FramesItsRecords) {
  const auto directory = std::filesystem::temp_directory_path() / "derm_tensorboard_test";
  std::filesystem::remove_all(directory);
  std::filesystem::create_directories(directory);
  {
    TensorBoardWriter writer(directory);
    writer.scalar("loss", 0.5, 7);
  }
  const std::string bytes = read_file(std::filesystem::directory_iterator(directory)->path());
  size_t at = 0, records = 0;
  std::string last;
  while (at < bytes.size()) {
    uint64_t length;
    uint32_t check;
    std::memcpy(&length, &bytes[at], 8);
    std::memcpy(&check, &bytes[at + 8], 4);
    EXPECT_EQ(check, masked_crc32c(bytes.substr(at, 8)));
    last = bytes.substr(at + 12, length);
    std::memcpy(&check, &bytes[at + 12 + length], 4);
    EXPECT_EQ(check, masked_crc32c(last));
    at += 16 + length;
    ++records;
  }
  EXPECT_EQ(records, 2u);
  // field 1 double, field 2 varint 7, field 5 of 13 bytes { field 1 of 11 { tag "loss", simple_value 0.5f } }
  EXPECT_EQ(last.substr(9), std::string("\x10\x07\x2a\x0d\x0a\x0b\x0a\x04loss\x15\x00\x00\x00\x3f", 17));
}

}  // namespace
}  // namespace derm::training
