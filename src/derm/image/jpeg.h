#pragma once
// JPEG for pictures that must not differ in anything but what they show.
#include <string>

#include "derm/image/image.h"

namespace derm::image {

/// JPEG with the standard's own code tables and full chroma. Two images of one size and quality give files that are
/// equal up to the start of the compressed data: encode_jpeg() fits its tables to the picture, and they tell of it.
std::string encode_jpeg_alike(const Image& image, int quality);

}  // namespace derm::image
