#pragma once
// Device, precision, memory format and threads: chosen once at start from what the machine can do.
#include <string>

#include <ATen/core/Tensor.h>

#include "derm/base/options.h"

namespace derm::tensor {

struct ComputeOptions {
  std::string device = "auto";     ///< auto, cpu, cuda, cuda:1
  std::string precision = "auto";  ///< auto (bf16 where the processor gains from it), fp32, bf16
  int64_t threads = 0;             ///< 0: every processor this process may use
  void bind(Options& o);
  void validate() const;  ///< throws UsageError naming field, value and what is accepted
};

struct ComputePolicy {
  at::Device device = at::kCPU;
  at::ScalarType dtype = at::kFloat;  ///< of activations; parameters stay fp32
  at::MemoryFormat format = at::MemoryFormat::ChannelsLast;
  int threads = 1;

  /// [N, C, H, W] on the device, in the activations' type and format.
  at::Tensor activations(const at::Tensor& t) const;
  std::string text() const;  ///< "cpu, bf16, channels last, 2 threads"
};

/// Chooses, sets libtorch's thread count (from the affinity mask: its own count is half of it on some machines) and
/// turns on what is deterministic. Warns once when matrix products would run on the reference BLAS (libopenblas0-openmp
/// missing).
/// @throws UsageError for a device that is not there
ComputePolicy choose_policy(const ComputeOptions& options);

/// True when this processor multiplies bf16 in hardware (AVX512-BF16 or AMX).
bool cpu_has_bf16();

}  // namespace derm::tensor
