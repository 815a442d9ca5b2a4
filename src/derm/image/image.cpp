#include "derm/image/image.h"

#include <algorithm>
#include <cstring>

#include "derm/base/error.h"

namespace derm::image {

Image crop(const Image& source, int x, int y, int w, int h) {
  const bool inside = x >= 0 && y >= 0 && w > 0 && h > 0 && w <= source.width && h <= source.height &&
                      x <= source.width - w && y <= source.height - h;
  if (!inside) {
    throw UsageError("crop: the rectangle {}x{} at ({}, {}) leaves the image of {}x{}; choose one inside it", w, h, x,
                     y, source.width, source.height);
  }
  Image result(w, h, source.channels);
  const size_t row_bytes = static_cast<size_t>(w) * source.channels;
  for (int row = 0; row < h; ++row) std::memcpy(result.at(0, row), source.at(x, y + row), row_bytes);
  return result;
}

Image flip_horizontal(const Image& source) {
  Image result(source.width, source.height, source.channels);
  for (int y = 0; y < source.height; ++y) {
    for (int x = 0; x < source.width; ++x) {
      std::copy_n(source.at(source.width - 1 - x, y), source.channels, result.at(x, y));
    }
  }
  return result;
}

Image quarter_turns(const Image& source, int turns) {
  const int t = ((turns % 4) + 4) % 4;
  if (t == 0) return source;
  const int w = source.width, h = source.height;
  Image result(t == 2 ? w : h, t == 2 ? h : w, source.channels);
  for (int y = 0; y < result.height; ++y) {
    for (int x = 0; x < result.width; ++x) {
      const uint8_t* from = t == 1   ? source.at(w - 1 - y, x)
                            : t == 2 ? source.at(w - 1 - x, h - 1 - y)
                                     : source.at(y, h - 1 - x);
      std::copy_n(from, source.channels, result.at(x, y));
    }
  }
  return result;
}

Image to_rgb(const Image& source) {
  if (source.channels == 3) return source;
  Image result(source.width, source.height, 3);
  uint8_t* to = result.pixels.data();
  for (const uint8_t value : source.pixels) {
    to[0] = to[1] = to[2] = value;
    to += 3;
  }
  return result;
}

}  // namespace derm::image
