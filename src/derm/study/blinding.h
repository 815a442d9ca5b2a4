#pragma once
// What keeps readers from knowing: names from the system's generator, images encoded alike and of one length, a sealed
// key.
#include <cstdint>
#include <string>
#include <string_view>

#include "derm/image/image.h"

namespace derm::study {

/// `bytes` random bytes of the operating system as lower-case hexadecimal digits. Not from the seed: who knows the seed
/// and the data must not be able to tell names, codes or salt.
std::string random_hex(size_t bytes);

/// A reader's code: 16 letters and digits of 80 random bits, "K7QM-2VXD-9RTA-4HZC" (no I, L, O, U, so that it can be
/// read aloud).
std::string reader_code();

/// The code as it is compared: capitals, no hyphens or spaces; O is 0, I and L are 1. "" if it cannot be one.
std::string normalised_code(std::string_view text);

/// The image as every reader gets it: sRGB, cut to the square in its middle, reduced (or enlarged) to `size_px`,
/// written as JPEG of one quality with fixed code tables. All such files share their first bytes to the byte: no field
/// tells the length or the content.
std::string encode_blinded(const image::Image& source, int size_px, int quality);

/// `bytes` followed by random bytes up to `length`: they look like the compressed data before them and do not compress,
/// so that neither the length nor what a proxy makes of it tells anything. Decoders stop at the end of the picture.
/// @throws UsageError if `bytes` is longer
std::string padded(std::string bytes, size_t length);

/// The length to which images are padded: the longest, rounded up to a multiple of 4096.
size_t common_length(size_t longest);

}  // namespace derm::study
