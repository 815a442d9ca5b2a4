#pragma once
// Shifting the colours of a whole picture in CIE Lab, fast enough for augmentation.
#include <array>
#include <vector>

#include "derm/image/colour.h"

namespace derm::loader {

/// sRGB -> Lab -> + shift -> sRGB as a table over the sRGB cube, read by trilinear interpolation. Building one takes a
/// fraction of a millisecond, a pixel some ten nanoseconds. Within a quarter of a step of 8 bit on skin, two in the
/// darkest colours.
class ColourShift {
 public:
  static constexpr int kNodes = 17;  ///< a side of the table

  explicit ColourShift(const image::Lab& shift);

  /// Shifts one colour in place; each of rgb in [0, 255], not rounded, clipped to the gamut.
  void apply(float* rgb) const {
    std::array<int, 3> node{};
    std::array<float, 3> part{};
    for (size_t c = 0; c < 3; ++c) {
      const float position = rgb[c] * (static_cast<float>(kNodes - 1) / 255.0f);
      int i = static_cast<int>(position);
      if (i > kNodes - 2) i = kNodes - 2;
      node[c] = i;
      part[c] = position - static_cast<float>(i);
    }
    const float* t = table_.data() + static_cast<size_t>(((node[0] * kNodes + node[1]) * kNodes + node[2]) * 4);
    constexpr size_t kR = static_cast<size_t>(kNodes) * kNodes * 4, kG = static_cast<size_t>(kNodes) * 4, kB = 4;
    const float r1 = part[0], r0 = 1 - r1, g1 = part[1], g0 = 1 - g1, b1 = part[2], b0 = 1 - b1;
    const float w00 = r0 * g0, w01 = r0 * g1, w10 = r1 * g0, w11 = r1 * g1;
    float out[4];  // four, so that the compiler takes one vector register
    for (size_t c = 0; c < 4; ++c) {
      const float low = w00 * t[c] + w01 * t[kG + c] + w10 * t[kR + c] + w11 * t[kR + kG + c];
      const float high = w00 * t[kB + c] + w01 * t[kG + kB + c] + w10 * t[kR + kB + c] + w11 * t[kR + kG + kB + c];
      out[c] = b0 * low + b1 * high;
    }
    for (size_t c = 0; c < 3; ++c) rgb[c] = out[c] < 0.0f ? 0.0f : out[c] > 255.0f ? 255.0f : out[c];
  }

 private:
  std::vector<float> table_;  ///< r, g, b node; r, g, b and a filler
};

}  // namespace derm::loader
