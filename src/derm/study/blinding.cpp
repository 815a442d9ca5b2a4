#include "derm/study/blinding.h"

#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <vector>

#include "derm/base/error.h"
#include "derm/image/jpeg.h"
#include "derm/image/resize.h"

namespace derm::study {
namespace {

constexpr size_t kLengthStep = 4096;
constexpr std::string_view kAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";  // Crockford's base 32
constexpr size_t kCodeLength = 16;

std::string random_bytes(size_t count) {
  std::string bytes(count, '\0');
  for (size_t done = 0; done < count;) {
    const ssize_t got = ::getrandom(bytes.data() + done, count - done, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) throw DataError("the system's random generator does not answer; is this a very old kernel?");
    done += static_cast<size_t>(got);
  }
  return bytes;
}

}  // namespace

std::string random_hex(size_t bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const char c : random_bytes(bytes)) {
    text += kDigits[static_cast<uint8_t>(c) >> 4];
    text += kDigits[static_cast<uint8_t>(c) & 15];
  }
  return text;
}

std::string reader_code() {
  std::string code;
  const std::string bytes = random_bytes(kCodeLength);
  for (size_t i = 0; i < kCodeLength; ++i) {
    if (i > 0 && i % 4 == 0) code += '-';
    code += kAlphabet[static_cast<uint8_t>(bytes[i]) & 31];
  }
  return code;
}

std::string normalised_code(std::string_view text) {
  std::string code;
  for (char c : text) {
    if (c == '-' || c == ' ') continue;
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    if (c == 'O') c = '0';
    if (c == 'I' || c == 'L') c = '1';
    if (kAlphabet.find(c) == std::string_view::npos || code.size() == kCodeLength) return "";
    code += c;
  }
  return code.size() == kCodeLength ? code : "";
}

std::string encode_blinded(const image::Image& source, int size_px, int quality) {
  image::Image square = image::to_rgb(source);
  const int side = std::min(square.width, square.height);
  if (square.width != square.height) {
    square = image::crop(square, (square.width - side) / 2, (square.height - side) / 2, side, side);
  }
  if (side != size_px) square = image::resize(square, size_px, size_px, image::Filter::lanczos);
  return image::encode_jpeg_alike(square, quality);
}

std::string padded(std::string bytes, size_t length) {
  if (bytes.size() > length) throw UsageError("padded: {} bytes do not fit into {}", bytes.size(), length);
  bytes += random_bytes(length - bytes.size());
  return bytes;
}

size_t common_length(size_t longest) { return (longest + kLengthStep - 1) / kLengthStep * kLengthStep; }

}  // namespace derm::study
