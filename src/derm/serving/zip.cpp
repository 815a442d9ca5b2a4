#include "derm/serving/zip.h"

#include <limits>

#include "derm/base/crc.h"
#include "derm/base/error.h"
#include "derm/base/text.h"

namespace derm::serving {
namespace {

constexpr uint16_t kVersion = 20, kUtf8 = 1 << 11, kDate = (1 << 5) | 1;  // 1980-01-01

void put16(std::string& out, uint16_t v) {
  out += static_cast<char>(v & 255);
  out += static_cast<char>(v >> 8);
}
void put32(std::string& out, uint32_t v) {
  put16(out, static_cast<uint16_t>(v & 0xffff));
  put16(out, static_cast<uint16_t>(v >> 16));
}

bool is_safe(const std::string& name) {
  if (name.empty() || name.size() > 1000 || find_non_utf8(name) != std::string::npos) return false;
  for (const char c : name)
    if (c == '\\' || static_cast<uint8_t>(c) < 32 || c == 127) return false;
  const std::string framed = "/" + name + "/";
  for (const char* segment : {"//", "/./", "/../"})
    if (framed.find(segment) != std::string::npos) return false;
  return true;
}

/// What both headers of a file share.
void put_facts(std::string& out, uint32_t crc, uint32_t size, const std::string& name) {
  put16(out, kVersion);
  put16(out, kUtf8);
  put16(out, 0);  // stored
  put16(out, 0);  // midnight
  put16(out, kDate);
  put32(out, crc);
  put32(out, size);
  put32(out, size);
  put16(out, static_cast<uint16_t>(name.size()));
  put16(out, 0);  // no extra field
}

}  // namespace

void ZipWriter::add(const std::string& name, std::string_view bytes) {
  if (!is_safe(name)) throw UsageError("zip: {} is not a relative file name", quote_text(name));
  constexpr uint64_t most = std::numeric_limits<uint32_t>::max();
  if (files_ == 65535 || data_.size() + directory_.size() + bytes.size() + 2 * name.size() + 200 > most)
    throw UsageError("zip: an archive of more than 65535 files or 4 GB was asked for; ask for fewer images");
  const auto offset = static_cast<uint32_t>(data_.size());
  const uint32_t crc = crc32(bytes);
  const auto size = static_cast<uint32_t>(bytes.size());
  put32(data_, 0x04034b50);
  put_facts(data_, crc, size, name);
  data_ += name;
  data_ += bytes;

  put32(directory_, 0x02014b50);
  put16(directory_, kVersion | (3 << 8));  // made on Unix
  put_facts(directory_, crc, size, name);
  put16(directory_, 0);  // no comment
  put16(directory_, 0);  // first disk
  put16(directory_, 0);
  put32(directory_, 0100644u << 16);  // a plain file that all may read
  put32(directory_, offset);
  directory_ += name;
  ++files_;
}

std::string ZipWriter::finish() {
  const auto at = static_cast<uint32_t>(data_.size());
  const auto size = static_cast<uint32_t>(directory_.size());
  std::string out = std::move(data_);
  out += directory_;
  put32(out, 0x06054b50);
  put16(out, 0);
  put16(out, 0);
  put16(out, static_cast<uint16_t>(files_));
  put16(out, static_cast<uint16_t>(files_));
  put32(out, size);
  put32(out, at);
  put16(out, 0);
  data_.clear();
  directory_.clear();
  files_ = 0;
  return out;
}

}  // namespace derm::serving
