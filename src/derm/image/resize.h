#pragma once
// Resizing as PIL does it, bit for bit.
#include "derm/image/image.h"

namespace derm::image {

enum class Filter { box, bilinear, hamming, bicubic, lanczos, nearest };

/// Pillow's Image.resize (antialiased, two passes, 8 bit fixed point with rounding). Golden numbers:
/// tools/golden/resize.py.
Image resize(const Image& source, int width, int height, Filter filter = Filter::lanczos);

}  // namespace derm::image
