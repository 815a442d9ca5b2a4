#pragma once
// A picture in memory: 8 bit, interleaved, rows without padding.
#include <cstddef>
#include <cstdint>
#include <vector>

namespace derm::image {

struct Image {
  int width = 0, height = 0, channels = 3;  ///< 1 (grey or mask) or 3 (sRGB)
  std::vector<uint8_t> pixels;              ///< height x width x channels

  Image() = default;
  Image(int w, int h, int c, uint8_t fill = 0)
      : width(w), height(h), channels(c), pixels(static_cast<size_t>(w) * h * c, fill) {}
  bool empty() const { return pixels.empty(); }
  uint8_t* at(int x, int y) { return pixels.data() + (static_cast<size_t>(y) * width + x) * channels; }
  const uint8_t* at(int x, int y) const { return pixels.data() + (static_cast<size_t>(y) * width + x) * channels; }
  bool operator==(const Image&) const = default;
};

/// A Mask is an Image of one channel, 0 outside and 255 inside.
using Mask = Image;

struct Box {  ///< pixels; x, y is the left upper corner
  double x = 0, y = 0, w = 0, h = 0;
  bool operator==(const Box&) const = default;
};

Image crop(const Image& source, int x, int y, int w, int h);  ///< throws UsageError if it leaves the image
Image flip_horizontal(const Image& source);
Image quarter_turns(const Image& source, int turns);  ///< counter-clockwise, as numpy.rot90
Image to_rgb(const Image& source);                    ///< grey repeated; rgb as it is

}  // namespace derm::image
