#pragma once
// Decoded and resized pictures in a file that is mapped into memory: decoded once, not once a run, shared by all
// processes that train on them, and in memory for as long as the system has room.
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "derm/image/image.h"

namespace derm::loader {

/// One picture [S, S, 3], and a mask [S, S] or none.
struct Pixels {
  image::Image picture;
  image::Mask mask;
  double side = 0;        ///< of the picture as it was
  image::Box mask_box{};  ///< of the mask as it was, over its side; empty without one
};

/// What a stored picture is made of: if one of these changes, the store is made anew.
struct PixelSource {
  std::filesystem::path picture, mask;  ///< mask empty: none
};

class PixelStore {
 public:
  /// Maps `file` if it holds these sources as they are now (names, sizes, times of change); else writes it, whole or
  /// not at all, several pictures side by side.
  /// @param read  decodes and resizes source i
  /// @return      nullptr where it cannot be written (a read-only or nearly full disk): pictures are then decoded as
  ///              they are needed. What `read` throws comes through
  static std::shared_ptr<const PixelStore> open_or_make(const std::filesystem::path& file,
                                                        const std::vector<PixelSource>& sources, int size_px,
                                                        const std::function<Pixels(size_t)>& read);
  ~PixelStore();
  PixelStore(const PixelStore&) = delete;
  PixelStore& operator=(const PixelStore&) = delete;

  Pixels read(size_t i) const;
  int64_t bytes() const { return bytes_; }

 private:
  PixelStore() = default;
  const uint8_t* data_ = nullptr;
  int64_t bytes_ = 0;
  int size_px_ = 0;
  std::vector<int64_t> offsets_;
  std::vector<bool> has_mask_;
};

}  // namespace derm::loader
