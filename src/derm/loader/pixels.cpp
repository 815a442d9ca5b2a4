#include "derm/loader/pixels.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <mutex>

#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/base/log.h"
#include "derm/base/progress.h"
#include "derm/base/system.h"

namespace derm::loader {
namespace {

namespace fs = std::filesystem;

constexpr char kMagic[] = "dermpixels-1\n";  // another way of resizing is another number
constexpr size_t kHeader = 128;              // the magic, then the key
constexpr double kMostOfFreeDisk = 0.5;

struct Facts {  // before the pixels
  double side, x, y, w, h;
};

/// SHA-256 over what the pictures are made of.
std::string key_of(const std::vector<PixelSource>& sources, int size_px) {
  std::string text = fmt::format("{}\n", size_px);
  for (const PixelSource& source : sources)
    for (const fs::path& path : {source.picture, source.mask}) {
      struct stat s {};
      if (!path.empty()) ::stat(path.c_str(), &s);
      text += fmt::format("{} {} {} {}\n", path.filename().string(), s.st_size, s.st_mtim.tv_sec, s.st_mtim.tv_nsec);
    }
  return sha256_hex(text);
}

std::string header_of(const std::string& key) {
  std::string header = kMagic + key;
  header.resize(kHeader, '\n');
  return header;
}

}  // namespace

std::shared_ptr<const PixelStore> PixelStore::open_or_make(const fs::path& file,
                                                           const std::vector<PixelSource>& sources, int size_px,
                                                           const std::function<Pixels(size_t)>& read) {
  auto store = std::shared_ptr<PixelStore>(new PixelStore);
  store->size_px_ = size_px;
  const int64_t plane = int64_t{size_px} * size_px;
  int64_t end = kHeader;
  for (const PixelSource& source : sources) {
    store->offsets_.push_back(end);
    store->has_mask_.push_back(!source.mask.empty());
    end += static_cast<int64_t>(sizeof(Facts)) + plane * (source.mask.empty() ? 3 : 4);
  }
  store->bytes_ = end;
  const std::string header = header_of(key_of(sources, size_px));

  const auto map = [&] {
    const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return false;
    struct stat s {};
    void* at = MAP_FAILED;
    if (::fstat(descriptor, &s) == 0 && s.st_size == end)
      at = ::mmap(nullptr, static_cast<size_t>(end), PROT_READ, MAP_SHARED, descriptor, 0);
    ::close(descriptor);
    if (at == MAP_FAILED) return false;
    if (std::memcmp(at, header.data(), kHeader) != 0) {
      ::munmap(at, static_cast<size_t>(end));
      return false;
    }
    store->data_ = static_cast<const uint8_t*>(at);
    return true;
  };
  if (map()) return store;

  std::error_code refused;
  fs::create_directories(file.parent_path(), refused);
  if (refused ||
      static_cast<double>(end) > kMostOfFreeDisk * static_cast<double>(free_disk_bytes(file.parent_path()))) {
    log_info("{}: decoded images are not kept there ({} are needed): they are decoded in every run", file.string(),
             bytes_text(static_cast<double>(end)));
    return nullptr;
  }
  const fs::path unfinished = fmt::format("{}.{}.part", file.string(), ::getpid());
  const int descriptor = ::open(unfinished.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (descriptor < 0) return nullptr;
  struct Closed {
    int descriptor;
    const fs::path& path;
    ~Closed() {
      ::close(descriptor);
      std::error_code ignored;
      fs::remove(path, ignored);  // gone already where all went well
    }
  } const closed{descriptor, unfinished};
  const auto write_at = [&](const void* bytes, int64_t count, int64_t offset) {
    const auto* from = static_cast<const char*>(bytes);
    while (count > 0) {
      const ssize_t wrote = ::pwrite(descriptor, from, static_cast<size_t>(count), offset);
      if (wrote <= 0) return false;
      from += wrote, offset += wrote, count -= wrote;
    }
    return true;
  };
  std::atomic<bool> full = !write_at(header.data(), static_cast<int64_t>(header.size()), 0);
  std::mutex mutex;
  size_t done = 0;
  Progress progress("decoding once", static_cast<double>(sources.size()), "images");
  parallel_for(sources.size(), [&](size_t i) {
    if (full) return;
    const Pixels pixels = read(i);
    const Facts facts{pixels.side, pixels.mask_box.x, pixels.mask_box.y, pixels.mask_box.w, pixels.mask_box.h};
    int64_t at = store->offsets_[i];
    bool fits = write_at(&facts, sizeof(facts), at);
    fits = fits && write_at(pixels.picture.pixels.data(), 3 * plane, at += sizeof(facts));
    if (store->has_mask_[i]) fits = fits && write_at(pixels.mask.pixels.data(), plane, at + 3 * plane);
    if (!fits) full = true;
    const std::lock_guard lock(mutex);
    progress.update(static_cast<double>(++done));
  });
  progress.finish();
  if (full || ::fsync(descriptor) != 0) return nullptr;
  fs::rename(unfinished, file, refused);
  return !refused && map() ? store : nullptr;
}

PixelStore::~PixelStore() {
  if (data_) ::munmap(const_cast<uint8_t*>(data_), static_cast<size_t>(bytes_));
}

Pixels PixelStore::read(size_t i) const {
  const uint8_t* from = data_ + offsets_.at(i);
  const size_t plane = static_cast<size_t>(size_px_) * static_cast<size_t>(size_px_);
  Facts facts;
  std::memcpy(&facts, from, sizeof(facts));
  from += sizeof(facts);
  Pixels pixels{.picture = image::Image(size_px_, size_px_, 3),
                .mask = {},
                .side = facts.side,
                .mask_box = {.x = facts.x, .y = facts.y, .w = facts.w, .h = facts.h}};
  std::memcpy(pixels.picture.pixels.data(), from, 3 * plane);
  if (has_mask_[i]) {
    pixels.mask = image::Mask(size_px_, size_px_, 1);
    std::memcpy(pixels.mask.pixels.data(), from + 3 * plane, plane);
  }
  return pixels;
}

}  // namespace derm::loader
