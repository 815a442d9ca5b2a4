#include "derm/image/apng.h"

#include <string_view>

#include "derm/base/crc.h"
#include "derm/base/error.h"

namespace derm::image {
namespace {

constexpr size_t kSignature = 8, kHeader = 8, kCrc = 4;  // bytes: of the file, and of a chunk its length and type, CRC

void add_u32(std::string& to, uint32_t v) {
  for (const int shift : {24, 16, 8, 0}) to += static_cast<char>(v >> shift & 0xff);
}
void add_u16(std::string& to, uint32_t v) {
  for (const int shift : {8, 0}) to += static_cast<char>(v >> shift & 0xff);
}

void add_chunk(std::string& to, std::string_view type, std::string_view data) {
  add_u32(to, static_cast<uint32_t>(data.size()));
  std::string checked(type);
  checked += data;
  to += checked;
  add_u32(to, crc32(checked));
}

struct Chunk {
  std::string_view type, data;
};

/// The chunks of a PNG that encode_png() made.
std::vector<Chunk> chunks_of(std::string_view png) {
  std::vector<Chunk> chunks;
  for (size_t at = kSignature; at + kHeader + kCrc <= png.size();) {
    uint32_t length = 0;
    for (size_t i = 0; i < 4; ++i) length = length << 8 | static_cast<uint8_t>(png[at + i]);
    chunks.push_back({png.substr(at + 4, 4), png.substr(at + kHeader, length)});
    at += kHeader + length + kCrc;
  }
  return chunks;
}

}  // namespace

std::string encode_apng(const std::vector<Image>& frames, int delay_ms, const TextChunks& text) {
  if (frames.empty()) throw UsageError("animation: there are no frames; at least one is needed");
  if (delay_ms < 1 || delay_ms > 65535)
    throw UsageError("animation: a frame is to be shown for {} ms; 1 to 65535 are accepted", delay_ms);
  const Image& first = frames.front();
  for (const Image& frame : frames) {
    if (frame.width == first.width && frame.height == first.height && frame.channels == first.channels) continue;
    throw UsageError(
        "animation: one frame is {}x{} with {} channels, another {}x{} with {}; frames of one kind are needed",
        first.width, first.height, first.channels, frame.width, frame.height, frame.channels);
  }
  uint32_t sequence = 0;  // of the chunks that control and fill the frames
  const auto control = [&](std::string& out) {
    std::string data;
    add_u32(data, sequence++);
    add_u32(data, static_cast<uint32_t>(first.width));
    add_u32(data, static_cast<uint32_t>(first.height));
    add_u32(data, 0);  // left
    add_u32(data, 0);  // top
    add_u16(data, static_cast<uint32_t>(delay_ms));
    add_u16(data, 1000);             // parts of a second
    data += std::string("\0\0", 2);  // the whole picture is replaced: nothing disposed, nothing blended
    add_chunk(out, "fcTL", data);
  };
  std::string out;
  for (size_t i = 0; i < frames.size(); ++i) {
    const std::string png = encode_png(frames[i], i == 0 ? text : TextChunks());
    if (i == 0) out = png.substr(0, kSignature);
    bool begun = false;
    for (const Chunk& chunk : chunks_of(png)) {
      if (chunk.type == "IDAT") {
        if (!begun) control(out);
        begun = true;
        if (i == 0) {
          add_chunk(out, "IDAT", chunk.data);
        } else {
          std::string data;
          add_u32(data, sequence++);
          data += chunk.data;
          add_chunk(out, "fdAT", data);
        }
      } else if (i == 0 && chunk.type != "IEND") {  // header, colour space, text
        add_chunk(out, chunk.type, chunk.data);
        if (chunk.type != "IHDR") continue;
        std::string data;
        add_u32(data, static_cast<uint32_t>(frames.size()));
        add_u32(data, 0);  // without end
        add_chunk(out, "acTL", data);
      }
    }
  }
  add_chunk(out, "IEND", "");
  return out;
}

}  // namespace derm::image
