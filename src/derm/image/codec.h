#pragma once
// PNG and JPEG, in and out.
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "derm/image/image.h"

namespace derm::image {

struct Limits {
  uint64_t max_file_bytes = uint64_t{200} << 20;
  uint64_t max_pixels = uint64_t{100} * 1000 * 1000;
};

using TextChunks = std::map<std::string, std::string>;  ///< keyword -> UTF-8 text

/// Reads a PNG or JPEG by its content, not its name: 8 bit sRGB (3 channels) or grey (1), alpha laid over white, 16 bit
/// reduced, palette and CMYK/YCCK converted, EXIF orientation applied.
/// @throws DataError: not an image, truncated, over a limit (the size is checked before memory is taken), 0 pixels.
Image read_image(const std::filesystem::path& path, const Limits& limits = {});
Image decode_image(std::string_view bytes, const std::string& where, const Limits& limits = {});

/// A mask: any image, one channel, values >= 128 become 255, others 0. A palette or RGB(A) mask counts by its
/// luminance.
Mask read_mask(const std::filesystem::path& path, const Limits& limits = {});

/// Text goes to iTXt (tEXt where it is Latin-1 without control characters). The same image and text give the same
/// bytes.
std::string encode_png(const Image& image, const TextChunks& text = {});
void write_png(const std::filesystem::path& path, const Image& image, const TextChunks& text = {});
TextChunks read_png_text(const std::filesystem::path& path);

std::string encode_jpeg(const Image& image, int quality = 95);

}  // namespace derm::image
