#pragma once
// Files that appear whole or not at all, and checksums.
#include <array>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace derm {

namespace fs = std::filesystem;

/// Reads a whole file. @throws DataError if it is missing, unreadable or larger than `max_bytes`.
std::string read_file(const fs::path& path, uint64_t max_bytes = uint64_t{1} << 31);

/// Writes under a temporary name beside `path`, flushes to disk, renames. On failure (a full disk, say) nothing is left
/// behind and the old file stands. @throws DataError that names path and reason.
void write_file(const fs::path& path, std::string_view bytes);

/// A directory that is filled under a temporary name beside it (`.NAME.partial-PID`) and renamed by commit(). Without
/// commit() it is removed again. @throws UsageError if `path` exists already and is not an empty directory.
class NewDirectory {
 public:
  explicit NewDirectory(fs::path path);
  ~NewDirectory();
  NewDirectory(const NewDirectory&) = delete;
  NewDirectory& operator=(const NewDirectory&) = delete;
  const fs::path& path() const { return temporary_; }  ///< where to write
  void commit();

 private:
  fs::path final_, temporary_;
  bool committed_ = false;
};

/// Bytes free on the file system of `path` (its nearest existing parent).
uint64_t free_disk_bytes(const fs::path& path);

/// Throws DataError unless `relative`, taken below `root`, stays below it: no absolute path, no "..", no symbolic link
/// out.
fs::path resolve_inside(const fs::path& root, const std::string& relative);

/// Incremental SHA-256 (FIPS 180-4); checked against sha256sum.
class Sha256 {
 public:
  Sha256();
  void update(const void* data, size_t size);
  void update(std::string_view bytes) { update(bytes.data(), bytes.size()); }
  std::string hex();  ///< finishes; 64 lower-case digits

 private:
  void block(const uint8_t* data);
  std::array<uint32_t, 8> state_;
  std::array<uint8_t, 64> buffer_{};
  uint64_t length_ = 0;
};
std::string sha256_hex(std::string_view bytes);
std::string sha256_file(const fs::path& path);

/// Standard base64 with padding.
std::string base64(std::string_view bytes);

}  // namespace derm
