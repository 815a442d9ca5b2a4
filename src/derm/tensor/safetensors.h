#pragma once
// The safetensors format: 8 bytes of header length, a JSON header, raw little-endian tensors. Own code because no C++
// library is packaged; checked against an independent reader (tools/golden/safetensors.py).
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

namespace derm::tensor {

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

struct SafeTensors {
  std::map<std::string, at::Tensor> tensors;  ///< on the CPU, contiguous
  std::map<std::string, std::string> metadata;
};

/// @throws DataError: shorter than its header says, header not JSON or over 100 MB, unknown dtype, offsets that
/// overlap, leave
///         the file or leave holes, a shape that does not match its bytes, a name twice.
SafeTensors read_safetensors(const std::filesystem::path& file);
SafeTensors parse_safetensors(std::string_view bytes, const std::string& where);

/// Whole or not at all; tensors sorted by name, 8-byte aligned; the same tensors give the same bytes.
/// Types: F64 F32 F16 BF16 I64 I32 I16 I8 U8 BOOL.
void write_safetensors(const std::filesystem::path& file, const NamedTensors& tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace derm::tensor
