#pragma once
// PyTorch's own weights files (.pth, .pt, .bin as torch.save writes them), read without Python and without running
// anything. Own code because libtorch's reader executes what a pickle names; checked against torch.save itself
// (pth_test.cpp).
#include <filesystem>
#include <string>
#include <string_view>

#include "derm/tensor/safetensors.h"

namespace derm::tensor {

/// The tensors of a state dict, in its order, nested dicts and lists flattened with dots ("state_dict.conv.weight").
/// Leaves that are no tensors (an epoch, a name) are left out.
///
/// Both of torch.save's forms: the zip since torch 1.6 (stored records, zip64, CRC-32 checked) and the older sequence
/// of pickles. A pickle is a program; ours knows the opcodes that data needs and these globals, and refuses all others:
/// collections.OrderedDict, torch._utils._rebuild_tensor, _rebuild_tensor_v2 and _rebuild_parameter, torch.FloatStorage
/// and its sisters (double, half, bfloat16, long, int, short, char, byte, bool). Nothing is called, nothing is
/// imported.
///
/// @return  on the CPU, contiguous whatever strides the file gives, none sharing memory with another
/// @throws  DataError: a pickled module or any other global, TorchScript, compressed records, damage (CRC, lengths), a
///          view that leaves its storage or has more elements than it, a name twice, more tensors than the file has
///          bytes for
NamedTensors read_pth(const std::filesystem::path& file);
NamedTensors parse_pth(std::string_view bytes, const std::string& where);

/// Weights by their content: safetensors or one of torch.save's forms.
struct WeightsFile {
  SafeTensors state;   ///< by name; order is lost
  std::string sha256;  ///< of the file's bytes, 64 digits
};
/// @throws DataError as the two readers; also for a file that is neither
WeightsFile read_weights(const std::filesystem::path& file);

}  // namespace derm::tensor
