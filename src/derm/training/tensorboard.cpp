#include "derm/training/tensorboard.h"

#include <bit>
#include <chrono>
#include <cstring>

#include <fmt/format.h>

#include "derm/base/crc.h"
#include "derm/base/error.h"
#include "derm/image/codec.h"

namespace derm::training {
namespace {

// Protobuf wire format: key = field << 3 | type; 0 varint, 1 64 bit, 2 length-delimited, 5 32 bit.
void put_varint(std::string& out, uint64_t v) {
  for (; v >= 0x80; v >>= 7) out.push_back(static_cast<char>(v | 0x80));
  out.push_back(static_cast<char>(v));
}
void put_varint_field(std::string& out, int field, uint64_t v) {
  put_varint(out, static_cast<uint64_t>(field) << 3);
  put_varint(out, v);
}
void put_bytes(std::string& out, int field, std::string_view bytes) {
  put_varint(out, static_cast<uint64_t>(field) << 3 | 2);
  put_varint(out, bytes.size());
  out.append(bytes);
}
template <class T>
void put_fixed(std::string& out, T value) {
  static_assert(std::endian::native == std::endian::little);
  char bytes[sizeof(T)];
  std::memcpy(bytes, &value, sizeof(T));
  out.append(bytes, sizeof(T));
}

}  // namespace

uint32_t masked_crc32c(std::string_view bytes) {
  const uint32_t crc = crc32c(bytes);
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

TensorBoardWriter::TensorBoardWriter(const std::filesystem::path& directory) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto path = directory / fmt::format("events.out.tfevents.{}.dermgan",
                                            std::chrono::duration_cast<std::chrono::microseconds>(now).count());
  file_.open(path, std::ios::binary);
  if (!file_) throw DataError("{}: cannot be written; is the run directory writable?", path.string());
  std::string version;
  put_bytes(version, 3, "brain.Event:2");
  event(0, version);
}

void TensorBoardWriter::event(int64_t step, std::string_view payload) {
  std::string record;
  put_varint(record, 1 << 3 | 1);  // wall_time
  put_fixed(record, std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count());
  put_varint_field(record, 2, static_cast<uint64_t>(step));
  record.append(payload);
  std::string framed;
  put_fixed(framed, static_cast<uint64_t>(record.size()));
  put_fixed(framed, masked_crc32c(framed));
  framed.append(record);
  put_fixed(framed, masked_crc32c(record));
  file_.write(framed.data(), static_cast<std::streamsize>(framed.size()));
}

void TensorBoardWriter::scalar(const std::string& tag, double value, int64_t step) {
  std::string item, summary, payload;
  put_bytes(item, 1, tag);
  put_varint(item, 2 << 3 | 5);  // simple_value
  put_fixed(item, static_cast<float>(value));
  put_bytes(summary, 1, item);
  put_bytes(payload, 5, summary);
  event(step, payload);
}

void TensorBoardWriter::image(const std::string& tag, const image::Image& picture, int64_t step) {
  std::string encoded, item, summary, payload;
  put_varint_field(encoded, 1, static_cast<uint64_t>(picture.height));
  put_varint_field(encoded, 2, static_cast<uint64_t>(picture.width));
  put_varint_field(encoded, 3, static_cast<uint64_t>(picture.channels));
  put_bytes(encoded, 4, image::encode_png(picture));
  put_bytes(item, 1, tag);
  put_bytes(item, 4, encoded);
  put_bytes(summary, 1, item);
  put_bytes(payload, 5, summary);
  event(step, payload);
}

}  // namespace derm::training
