#include "derm/base/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cstring>
#include <optional>
#include <system_error>
#include <tuple>

#include "derm/base/error.h"
#include "derm/base/text.h"

namespace derm {

namespace {

/// A file descriptor that closes itself.
class Descriptor {
 public:
  Descriptor(const fs::path& path, int flags, mode_t mode = 0) {
    do {
      fd_ = ::open(path.c_str(), flags | O_CLOEXEC, mode);
    } while (fd_ < 0 && errno == EINTR);
  }
  ~Descriptor() { close(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  bool close() {
    if (fd_ < 0) return true;
    const int result = ::close(fd_);
    fd_ = -1;
    return result == 0;
  }

 private:
  int fd_ = -1;
};

std::string reason(int code) {
  switch (code) {
    case ENOENT: return "there is no such file";
    case EACCES:
    case EPERM: return "permission denied; check its owner and mode";
    case EISDIR: return "it is a folder, a file is expected";
    case ENOTDIR: return "a part of its path is a file, not a folder";
    case ENAMETOOLONG: return "its name is too long; choose a shorter one";
    case EROFS: return "the file system is read-only; choose another place";
    case EMFILE:
    case ENFILE: return "too many files are open; raise the limit (ulimit -n)";
    case ENOSPC: return "no space left on the device; free some or choose another place";
    case EDQUOT: return "the disk quota is used up; free some space or choose another place";
    case EFBIG: return "the file would be larger than the file system or a limit (ulimit -f) allows";
    default: return std::generic_category().message(code);
  }
}

[[noreturn]] void fail(const fs::path& path, std::string_view what, int code) {
  throw DataError("{}: {}: {}", path.string(), what, reason(code));
}

/// Reads on to the end of `fd` in pieces; `take(data, size)` gets each.
template <class Take>
void read_all(int fd, const fs::path& path, Take take) {
  std::vector<char> buffer(size_t{1} << 18);
  for (;;) {
    const ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(path, "cannot be read", errno);
    if (got == 0) return;
    take(buffer.data(), static_cast<size_t>(got));
  }
}

/// 0, or the error's number.
int write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), std::min(bytes.size(), size_t{1} << 30));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno;
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return 0;
}

/// Flushes to the disk; pipes and devices cannot, and say EINVAL.
int flush(int fd) { return ::fsync(fd) == 0 || errno == EINVAL || errno == EROFS || errno == ENOTSUP ? 0 : errno; }

/// A rename is lasting once the folder is on the disk. Not every file system can do it, so failing is no error.
void flush_folder(const fs::path& folder) {
  const Descriptor handle(folder, O_RDONLY | O_DIRECTORY);
  if (handle.get() >= 0) ::fsync(handle.get());
}

fs::path parent_of(const fs::path& path) { return path.has_parent_path() ? path.parent_path() : fs::path("."); }

/// `.NAME.partial-PID` beside `path`, numbered from the second try on; a very long NAME is cut to leave room.
fs::path temporary_name(const fs::path& path, int attempt) {
  std::string name = "." + path.filename().string().substr(0, 200) + ".partial-" + std::to_string(::getpid());
  if (attempt > 0) name += "-" + std::to_string(attempt);
  return parent_of(path) / name;
}

bool is_below(const fs::path& inner, const fs::path& outer) {
  auto at = inner.begin();
  for (const fs::path& part : outer) {
    if (part.empty()) continue;  // of a trailing slash
    if (at == inner.end() || *at != part) return false;
    ++at;
  }
  return true;
}

constexpr int kAttempts = 1000;

}  // namespace

std::string read_file(const fs::path& path, uint64_t max_bytes) {
  const Descriptor file(path, O_RDONLY);
  if (file.get() < 0) fail(path, "cannot be opened", errno);
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) fail(path, "cannot be read", errno);
  if (S_ISDIR(info.st_mode)) fail(path, "cannot be read", EISDIR);
  const auto check = [&](uint64_t size) {
    if (size > max_bytes) {
      throw DataError("{}: the file is larger than the {} bytes that are accepted here; check that it is the right one",
                      path.string(), max_bytes);
    }
  };
  std::string bytes;
  if (S_ISREG(info.st_mode)) {
    check(static_cast<uint64_t>(info.st_size));
    bytes.reserve(static_cast<size_t>(info.st_size));
  }
  read_all(file.get(), path, [&](const char* data, size_t size) {
    check(bytes.size() + size);
    bytes.append(data, size);
  });
  return bytes;
}

void write_file(const fs::path& given, std::string_view bytes) {
  fs::path path = given;
  std::error_code code;
  if (fs::is_symlink(path, code)) {
    // The file that a link points to is replaced, not the link.
    if (const fs::path target = fs::canonical(path, code); !code) path = target;
  }
  struct stat old {};
  const bool exists = ::stat(path.c_str(), &old) == 0;
  if (exists && S_ISDIR(old.st_mode)) fail(given, "cannot be written", EISDIR);
  if (exists && !S_ISREG(old.st_mode)) {
    // A pipe or a device (/dev/stdout) is written straight into: a rename would replace it.
    Descriptor file(path, O_WRONLY);
    if (file.get() < 0) fail(given, "cannot be written", errno);
    if (const int error = write_all(file.get(), bytes)) fail(given, "cannot be written", error);
    if (!file.close()) fail(given, "cannot be written", errno);
    return;
  }
  const fs::path folder = parent_of(path);
  if (!fs::is_directory(folder, code)) {
    throw DataError("{}: cannot be written: the folder {} does not exist; create it first", given.string(),
                    folder.string());
  }

  static std::atomic<int> serial{0};  // two threads may write the same file
  fs::path temporary;
  std::optional<Descriptor> opened;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    temporary = temporary_name(path, ++serial);
    opened.emplace(temporary, O_WRONLY | O_CREAT | O_EXCL, 0666);
    if (opened->get() >= 0 || errno != EEXIST) break;  // else one is left of a process that had this number before
  }
  Descriptor& file = *opened;
  if (file.get() < 0) fail(given, "cannot be written", errno);
  if (exists) std::ignore = ::fchmod(file.get(), old.st_mode & 07777);  // the old file's mode, where that is allowed
  int error = 0;
  error = write_all(file.get(), bytes);
  if (error == 0) error = flush(file.get());
  if (!file.close() && error == 0) error = errno;
  if (error == 0 && ::rename(temporary.c_str(), path.c_str()) != 0) error = errno;
  if (error != 0) {
    ::unlink(temporary.c_str());
    fail(given, "cannot be written", error);
  }
  flush_folder(folder);
}

NewDirectory::NewDirectory(fs::path path) {
  std::error_code code;
  final_ = fs::absolute(path, code).lexically_normal();
  if (code || path.empty()) throw UsageError("{}: is no name for a new folder", quote_text(path.string()));
  if (!final_.has_filename()) final_ = final_.parent_path();  // "out/" means "out"
  if (fs::is_symlink(final_, code)) {
    if (const fs::path target = fs::canonical(final_, code); !code) final_ = target;
  }
  if (fs::exists(fs::symlink_status(final_, code))) {
    if (!fs::is_directory(final_, code)) {
      throw UsageError("{}: is a file already; choose another name for the new folder", path.string());
    }
    const bool empty = fs::is_empty(final_, code);
    if (code) throw UsageError("{}: cannot be read ({}); choose another name", path.string(), code.message());
    if (!empty)
      throw UsageError("{}: exists already and is not empty; choose another name or remove it", path.string());
    struct stat own {
    }, parent{};
    if (::stat(final_.c_str(), &own) == 0 && ::stat(parent_of(final_).c_str(), &parent) == 0 &&
        (own.st_dev != parent.st_dev || own.st_ino == parent.st_ino)) {
      // It could not be renamed onto, and one would learn that only after the work.
      throw UsageError("{}: is a mount point; name a new folder inside it", path.string());
    }
  }
  const fs::path parent = parent_of(final_);
  fs::create_directories(parent, code);
  if (code) throw DataError("{}: the folder cannot be made: {}", parent.string(), reason(code.value()));
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    temporary_ = temporary_name(final_, attempt);
    if (::mkdir(temporary_.c_str(), 0777) == 0) return;
    if (errno != EEXIST) fail(temporary_, "the folder cannot be made", errno);
  }
  fail(temporary_, "the folder cannot be made", EEXIST);
}

NewDirectory::~NewDirectory() {
  if (committed_) return;
  std::error_code ignored;
  fs::remove_all(temporary_, ignored);
}

void NewDirectory::commit() {
  if (committed_) return;
  flush_folder(temporary_);
  const int error = ::rename(temporary_.c_str(), final_.c_str()) == 0 ? 0 : errno;
  // Whatever went wrong, the work itself is done: it is kept, and the message says where.
  committed_ = true;
  if (error == ENOTEMPTY || error == EEXIST || error == ENOTDIR) {
    throw DataError("{}: came into being while this was at work; the result is kept in {}", final_.string(),
                    temporary_.string());
  }
  if (error != 0) {
    throw DataError("{}: cannot be named so: {}; the result is kept in {}", final_.string(), reason(error),
                    temporary_.string());
  }
  flush_folder(parent_of(final_));
}

uint64_t free_disk_bytes(const fs::path& path) {
  std::error_code code;
  fs::path at = fs::absolute(path, code).lexically_normal();
  while (!fs::exists(at, code) && at.has_relative_path()) at = at.parent_path();
  struct statvfs info {};
  if (::statvfs(at.c_str(), &info) != 0) fail(at, "its free space cannot be read", errno);
  return uint64_t{info.f_bavail} * info.f_frsize;
}

fs::path resolve_inside(const fs::path& root, const std::string& relative) {
  const auto refuse = [&](std::string_view why) {
    throw DataError("{}: the path {} {}; paths have to stay below this folder", root.string(), quote_text(relative),
                    why);
  };
  const fs::path inner(relative);
  if (relative.empty()) refuse("is empty");
  if (relative.find('\0') != std::string::npos) refuse("holds a zero byte");
  if (inner.is_absolute()) refuse("is absolute");
  fs::path at = root;
  std::error_code code;
  for (const fs::path& part : inner) {
    if (part == "..") refuse("goes up by \"..\"");
    at /= part;
    // What a dangling link points to would be made outside when somebody writes to it.
    if (fs::is_symlink(at, code) && !fs::exists(at, code)) refuse("leads over a symbolic link to nowhere");
  }
  const fs::path real_root = fs::weakly_canonical(root.empty() ? fs::path(".") : root, code);
  if (code) refuse("cannot be followed");
  const fs::path real = fs::weakly_canonical(root.empty() ? fs::path(".") / inner : at, code);
  if (code) refuse("cannot be followed");
  if (!is_below(real, real_root)) refuse("leads out of it by a symbolic link");
  return at;
}

namespace {

// The first 32 bits of the fractional parts of the cube roots of the first 64 primes.
constexpr std::array<uint32_t, 64> kRound = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

}  // namespace

Sha256::Sha256()
    : state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19} {}

void Sha256::block(const uint8_t* data) {
  std::array<uint32_t, 64> w;
  for (size_t i = 0; i < 16; ++i) {
    w[i] = uint32_t{data[4 * i]} << 24 | uint32_t{data[4 * i + 1]} << 16 | uint32_t{data[4 * i + 2]} << 8 |
           data[4 * i + 3];
  }
  for (size_t i = 16; i < 64; ++i) {
    const uint32_t a = std::rotr(w[i - 15], 7) ^ std::rotr(w[i - 15], 18) ^ (w[i - 15] >> 3);
    const uint32_t b = std::rotr(w[i - 2], 17) ^ std::rotr(w[i - 2], 19) ^ (w[i - 2] >> 10);
    w[i] = w[i - 16] + a + w[i - 7] + b;
  }
  auto [a, b, c, d, e, f, g, h] = state_;
  for (size_t i = 0; i < 64; ++i) {
    const uint32_t choice = (e & f) ^ (~e & g), majority = (a & b) ^ (a & c) ^ (b & c);
    const uint32_t t1 = h + (std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25)) + choice + kRound[i] + w[i];
    const uint32_t t2 = (std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22)) + majority;
    h = g;
    g = f;
    f = e;
    e = d + t1;
    d = c;
    c = b;
    b = a;
    a = t1 + t2;
  }
  const std::array<uint32_t, 8> worked = {a, b, c, d, e, f, g, h};
  for (size_t i = 0; i < 8; ++i) state_[i] += worked[i];
}

void Sha256::update(const void* data, size_t size) {
  const auto* bytes = static_cast<const uint8_t*>(data);
  const size_t held = length_ % 64;
  length_ += size;
  if (held > 0) {
    const size_t taken = std::min(size, 64 - held);
    std::memcpy(buffer_.data() + held, bytes, taken);
    if (held + taken < 64) return;
    block(buffer_.data());
    bytes += taken;
    size -= taken;
  }
  for (; size >= 64; bytes += 64, size -= 64) block(bytes);
  if (size > 0) std::memcpy(buffer_.data(), bytes, size);
}

std::string Sha256::hex() {
  const uint64_t bits = length_ * 8;
  static constexpr std::array<uint8_t, 64> kPadding = {0x80};
  update(kPadding.data(), 1 + (119 - length_ % 64) % 64);  // up to 56 bytes in the last block, then the length
  std::array<uint8_t, 8> tail;
  for (size_t i = 0; i < 8; ++i) tail[i] = static_cast<uint8_t>(bits >> (56 - 8 * i));
  update(tail.data(), tail.size());
  std::string out;
  for (const uint32_t word : state_) out += fmt::format("{:08x}", word);
  return out;
}

std::string sha256_hex(std::string_view bytes) {
  Sha256 sum;
  sum.update(bytes);
  return sum.hex();
}

std::string sha256_file(const fs::path& path) {
  const Descriptor file(path, O_RDONLY);
  if (file.get() < 0) fail(path, "cannot be opened", errno);
  Sha256 sum;
  read_all(file.get(), path, [&](const char* data, size_t size) { sum.update(data, size); });
  return sum.hex();
}

std::string base64(std::string_view bytes) {
  static constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t count = std::min(bytes.size() - i, size_t{3});
    uint32_t group = 0;
    for (size_t k = 0; k < 3; ++k) group = group << 8 | (k < count ? static_cast<uint8_t>(bytes[i + k]) : 0u);
    for (size_t k = 0; k < 4; ++k) out += k <= count ? kDigits[group >> (18 - 6 * k) & 63] : '=';
  }
  return out;
}

}  // namespace derm
