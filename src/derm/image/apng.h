#pragma once
// Animated PNG (APNG; Portable Network Graphics, third edition, W3C 2025), which browsers show. libpng does not write
// it: the frames are its pictures, and their chunks are put together here.
#include <string>
#include <vector>

#include "derm/image/codec.h"
#include "derm/image/image.h"

namespace derm::image {

/// Frames of one size and number of channels, each shown for `delay_ms` (1 to 65535), over and over. Whoever does not
/// know animations sees the first frame, and `text` as in any PNG. The same frames give the same bytes.
/// @throws UsageError: no frame, frames that differ in size or channels, a delay outside its range
std::string encode_apng(const std::vector<Image>& frames, int delay_ms, const TextChunks& text = {});

}  // namespace derm::image
