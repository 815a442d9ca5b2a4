#include "derm/tensor/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <optional>
#include <set>

#include <torch/torch.h>
#include <nlohmann/json.hpp>

#include "derm/base/error.h"
#include "derm/base/files.h"

namespace derm::tensor {
namespace {

static_assert(std::endian::native == std::endian::little, "tensors are written as they lie in memory");

constexpr uint64_t kMaxHeader = 100 * 1000 * 1000;
constexpr uint64_t kMaxFile = uint64_t{1} << 36;
constexpr size_t kMaxDimensions = 16;
constexpr const char* kMetadata = "__metadata__";

struct Type {
  const char* name;
  at::ScalarType scalar;
  uint64_t bytes;
};
constexpr std::array<Type, 10> kTypes = {{{"F64", at::kDouble, 8},
                                          {"F32", at::kFloat, 4},
                                          {"F16", at::kHalf, 2},
                                          {"BF16", at::kBFloat16, 2},
                                          {"I64", at::kLong, 8},
                                          {"I32", at::kInt, 4},
                                          {"I16", at::kShort, 2},
                                          {"I8", at::kChar, 1},
                                          {"U8", at::kByte, 1},
                                          {"BOOL", at::kBool, 1}}};

const Type* type_of(const std::string& name) {
  for (const Type& t : kTypes)
    if (name == t.name) return &t;
  return nullptr;
}

const Type* type_of(at::ScalarType scalar) {
  for (const Type& t : kTypes)
    if (scalar == t.scalar) return &t;
  return nullptr;
}

struct Entry {
  std::string name;
  std::optional<std::string> dtype;
  std::optional<std::vector<uint64_t>> shape, offsets;
};

/// Takes exactly the header's form and nothing else. No tree is built, so that a hostile header costs no more than its
/// length.
class HeaderReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit HeaderReader(const std::string& where) : where_(where) {}
  std::vector<Entry> entries;
  std::map<std::string, std::string> metadata;

  bool null() override { return unexpected("null"); }
  bool boolean(bool) override { return unexpected("a truth value"); }
  bool number_float(number_float_t, const string_t& text) override { return unexpected(text); }
  bool binary(binary_t&) override { return unexpected("binary data"); }

  bool number_integer(number_integer_t value) override { return unexpected(fmt::format("{}", value)); }
  bool number_unsigned(number_unsigned_t value) override {
    if (!list_) return unexpected(fmt::format("{}", value));
    list_->push_back(value);
    if (list_->size() > kMaxDimensions)
      throw DataError("{}: tensor '{}' has more than {} numbers in its {}", where_, name_, kMaxDimensions, field_);
    return true;
  }

  bool string(string_t& value) override {
    if (in_metadata_ && depth_ == 2) {
      if (!metadata.emplace(field_, value).second)
        throw DataError("{}: '{}' is there twice in its metadata", where_, field_);
      return true;
    }
    if (depth_ != 2 || list_ || field_ != "dtype") return unexpected("\"" + value + "\"");
    if (entries.back().dtype) throw DataError("{}: tensor '{}' has its dtype twice", where_, name_);
    entries.back().dtype = value;
    return true;
  }

  bool start_object(std::size_t) override {
    if (depth_ >= 2 || list_) return unexpected("an object");
    if (++depth_ == 2 && !in_metadata_) entries.push_back({name_, {}, {}, {}});
    return true;
  }
  bool end_object() override {
    --depth_;
    return true;
  }

  bool key(string_t& value) override {
    if (depth_ == 1) {
      name_ = value;
      field_.clear();
      in_metadata_ = value == kMetadata;
      if (!names_.insert(value).second) throw DataError("{}: the name '{}' is there twice", where_, value);
    } else {
      field_ = value;
      if (!in_metadata_ && value != "dtype" && value != "shape" && value != "data_offsets")
        throw DataError("{}: tensor '{}' has a field \"{}\"; dtype, shape and data_offsets are expected", where_, name_,
                        value);
    }
    return true;
  }

  bool start_array(std::size_t) override {
    if (depth_ != 2 || list_ || in_metadata_ || (field_ != "shape" && field_ != "data_offsets"))
      return unexpected("a list");
    auto& target = field_ == "shape" ? entries.back().shape : entries.back().offsets;
    if (target) throw DataError("{}: tensor '{}' has its {} twice", where_, name_, field_);
    list_ = &target.emplace();
    return true;
  }
  bool end_array() override {
    list_ = nullptr;
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    throw DataError("{}: its header is not JSON (at byte {}); the file is damaged or not a safetensors file", where_,
                    position);
  }

 private:
  bool unexpected(const std::string& what) {
    const std::string shown = what.size() > 40 ? what.substr(0, 40) + "..." : what;
    if (depth_ == 0) throw DataError("{}: its header is {}, an object is expected", where_, shown);
    throw DataError("{}: its header holds {} at '{}'{}, which has no place there", where_, shown, name_,
                    field_.empty() ? "" : ", " + field_);
  }

  const std::string& where_;
  std::set<std::string> names_;
  std::string name_, field_;
  std::vector<uint64_t>* list_ = nullptr;
  int depth_ = 0;
  bool in_metadata_ = false;
};

std::string list_text(const std::vector<uint64_t>& values) { return fmt::format("[{}]", fmt::join(values, ", ")); }

/// Bytes of a shape; nullopt if libtorch could not count its elements either.
std::optional<uint64_t> bytes_of(const std::vector<uint64_t>& shape, uint64_t element) {
  uint64_t elements = 1, extent = element;
  for (const uint64_t n : shape) {
    // Strides are computed as though empty dimensions were 1 long.
    if (__builtin_mul_overflow(extent, std::max<uint64_t>(n, 1), &extent)) return std::nullopt;
    if (extent > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return std::nullopt;
    elements *= n;
  }
  return elements * element;
}

}  // namespace

SafeTensors parse_safetensors(std::string_view bytes, const std::string& where) {
  if (bytes.size() < 8) throw DataError("{}: it has {} bytes, a safetensors file has at least 8", where, bytes.size());
  uint64_t header_size = 0;
  std::memcpy(&header_size, bytes.data(), 8);
  if (header_size > kMaxHeader)
    throw DataError(
        "{}: its header would be {} bytes long, at most {} are accepted; it is damaged or not a safetensors file",
        where, header_size, kMaxHeader);
  if (header_size > bytes.size() - 8)
    throw DataError("{}: its header says {} bytes, but only {} follow; the file was cut short", where, header_size,
                    bytes.size() - 8);
  const std::string_view header = bytes.substr(8, header_size);
  const std::string_view data = bytes.substr(8 + header_size);
  // The JSON reader takes a zero byte for the end of its text.
  if (header.empty() || header.front() != '{' || header.find('\0') != std::string_view::npos)
    throw DataError("{}: its header is not a JSON object; the file is damaged or not a safetensors file", where);

  HeaderReader reader(where);
  nlohmann::json::sax_parse(header.begin(), header.end(), &reader);

  struct Piece {
    const Entry* entry;
    const Type* type;
    uint64_t begin, end;
  };
  std::vector<Piece> pieces;
  pieces.reserve(reader.entries.size());
  for (const Entry& e : reader.entries) {
    if (!e.dtype || !e.shape || !e.offsets)
      throw DataError("{}: tensor '{}' has no {}", where, e.name,
                      !e.dtype   ? "dtype"
                      : !e.shape ? "shape"
                                 : "data_offsets");
    const Type* type = type_of(*e.dtype);
    if (!type)
      throw DataError(
          "{}: tensor '{}' has the dtype {}, which is not read; known: F64 F32 F16 BF16 I64 I32 I16 I8 U8 BOOL", where,
          e.name, *e.dtype);
    const auto& offsets = *e.offsets;
    if (offsets.size() != 2 || offsets[0] > offsets[1])
      throw DataError("{}: tensor '{}' has the data_offsets {}; a begin and an end are expected", where, e.name,
                      list_text(offsets));
    if (offsets[1] > data.size())
      throw DataError("{}: tensor '{}' ends at byte {} of the data, but there are {}; the file was cut short", where,
                      e.name, offsets[1], data.size());
    const auto needed = bytes_of(*e.shape, type->bytes);
    if (!needed || *needed != offsets[1] - offsets[0])
      throw DataError("{}: tensor '{}' is {} {}, which does not match its {} bytes", where, e.name, *e.dtype,
                      list_text(*e.shape), offsets[1] - offsets[0]);
    pieces.push_back({&e, type, offsets[0], offsets[1]});
  }

  std::sort(pieces.begin(), pieces.end(),
            [](const Piece& a, const Piece& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
  uint64_t at = 0;
  const Piece* last = nullptr;
  for (const Piece& p : pieces) {
    if (p.begin < at)
      throw DataError("{}: tensors '{}' and '{}' overlap: one ends at byte {}, the other begins at {}", where,
                      last->entry->name, p.entry->name, at, p.begin);
    if (p.begin > at)
      throw DataError("{}: bytes {} to {} before tensor '{}' belong to no tensor", where, at, p.begin, p.entry->name);
    at = p.end;
    last = &p;
  }
  if (at != data.size())
    throw DataError("{}: {} bytes after the last tensor belong to no tensor", where, data.size() - at);

  SafeTensors out;
  out.metadata = std::move(reader.metadata);
  for (const Piece& p : pieces) {
    const std::vector<int64_t> shape(p.entry->shape->begin(), p.entry->shape->end());
    at::Tensor t = at::empty(shape, at::TensorOptions().dtype(p.type->scalar));
    if (p.end > p.begin) {
      const char* from = data.data() + p.begin;
      if (p.type->scalar == at::kBool &&
          std::any_of(from, from + (p.end - p.begin), [](char v) { return v != 0 && v != 1; }))
        throw DataError("{}: tensor '{}' is BOOL, but holds bytes other than 0 and 1", where, p.entry->name);
      std::memcpy(t.data_ptr(), from, p.end - p.begin);
    }
    out.tensors.emplace(p.entry->name, std::move(t));
  }
  return out;
}

SafeTensors read_safetensors(const std::filesystem::path& file) {
  return parse_safetensors(read_file(file, kMaxFile), file.string());
}

void write_safetensors(const std::filesystem::path& file, const NamedTensors& tensors,
                       const std::map<std::string, std::string>& metadata) {
  struct Piece {
    std::string name;
    at::Tensor tensor;
    const Type* type = nullptr;
  };
  std::vector<Piece> pieces;
  std::set<std::string> names;
  for (const auto& [name, tensor] : tensors) {
    if (name == kMetadata || !names.insert(name).second)
      throw UsageError("{}: the tensor name '{}' is {}", file.string(), name,
                       name == kMetadata ? "reserved" : "given twice");
    if (!tensor.defined()) throw UsageError("{}: the tensor '{}' is undefined", file.string(), name);
    const Type* type = type_of(tensor.scalar_type());
    if (!type)
      throw UsageError("{}: tensor '{}' is of type {}, which the format cannot hold", file.string(), name,
                       c10::toString(tensor.scalar_type()));
    pieces.push_back({name, tensor.detach().to(at::kCPU).contiguous(), type});
  }
  // Wide elements first: without gaps between them, this keeps every tensor aligned to its own element.
  std::sort(pieces.begin(), pieces.end(), [](const Piece& a, const Piece& b) {
    return a.type->bytes != b.type->bytes ? a.type->bytes > b.type->bytes : a.name < b.name;
  });

  // A JSON object sorts by name; the metadata go in as one more entry ('_' sorts before lower-case letters).
  nlohmann::json header = nlohmann::json::object();
  if (!metadata.empty()) header[kMetadata] = metadata;
  uint64_t at = 0;
  for (const Piece& p : pieces) {
    const uint64_t bytes = static_cast<uint64_t>(p.tensor.numel()) * p.type->bytes;
    header[p.name] = {{"dtype", p.type->name}, {"shape", p.tensor.sizes().vec()}, {"data_offsets", {at, at + bytes}}};
    at += bytes;
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const nlohmann::json::exception&) {
    throw UsageError("{}: a tensor name or a metadata text is not UTF-8", file.string());
  }
  text.append((8 - text.size() % 8) % 8, ' ');
  if (text.size() > kMaxHeader)
    throw UsageError("{}: its header would be {} bytes long, at most {} are possible", file.string(), text.size(),
                     kMaxHeader);

  std::string bytes;
  bytes.reserve(8 + text.size() + at);
  const uint64_t header_size = text.size();
  bytes.append(reinterpret_cast<const char*>(&header_size), 8);
  bytes += text;
  for (const Piece& p : pieces)
    if (p.tensor.numel() > 0)
      bytes.append(static_cast<const char*>(p.tensor.data_ptr()),
                   static_cast<size_t>(p.tensor.numel()) * p.type->bytes);
  write_file(file, bytes);
}

}  // namespace derm::tensor
