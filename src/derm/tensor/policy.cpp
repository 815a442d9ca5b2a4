#include "derm/tensor/policy.h"

#include <dlfcn.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <mutex>

#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/base/log.h"
#include "derm/base/system.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace derm::tensor {
namespace {

#if defined(__x86_64__)
/// AMX tiles need the processor's support and the operating system's permission to use the tile registers.
bool has_amx_bf16() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & (1u << 22))) return false;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & (1u << 27))) return false;  // OSXSAVE
  unsigned low = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  constexpr unsigned kTiles = (1u << 17) | (1u << 18);
  return (low & kTiles) == kTiles;
}
#endif

/// Whole tensor cores for bf16 came with compute capability 8. Asked of the driver, so that no CUDA header is needed.
bool cuda_has_bf16(int index) {
  void* driver = dlopen("libcuda.so.1", RTLD_LAZY);
  if (!driver) return false;
  const auto init = reinterpret_cast<int (*)(unsigned)>(dlsym(driver, "cuInit"));
  const auto get = reinterpret_cast<int (*)(int*, int)>(dlsym(driver, "cuDeviceGet"));
  const auto attribute = reinterpret_cast<int (*)(int*, int, int)>(dlsym(driver, "cuDeviceGetAttribute"));
  constexpr int kComputeCapabilityMajor = 75;
  int device = 0, major = 0;
  return init && get && attribute && init(0) == 0 && get(&device, index) == 0 &&
         attribute(&major, kComputeCapabilityMajor, device) == 0 && major >= 8;
}

/// The file that matrix products come from, links followed: Debian's libblas.so.3 is an alternative. "" if unknown.
std::string blas_library() {
  void* symbol = dlsym(RTLD_DEFAULT, "sgemm_");
  Dl_info info{};
  if (!symbol || !dladdr(symbol, &info) || !info.dli_fname) return "";
  std::error_code ignored;
  const auto real = std::filesystem::canonical(info.dli_fname, ignored);
  return ignored ? std::string(info.dli_fname) : real.string();
}

void warn_of_reference_blas() {
  static std::once_flag once;
  std::call_once(once, [] {
    const std::string library = blas_library();
    const bool plain = std::filesystem::path(library).filename().string().starts_with("libblas.so");
    for (const char* fast : {"openblas", "mkl", "blis", "atlas", "armpl"}) {
      if (library.find(fast) != std::string::npos) return;
    }
    if (plain)
      log_warning(
          "matrix products run on the reference BLAS ({}), many times slower than need be; install "
          "libopenblas0-openmp (apt-get install libopenblas0-openmp)",
          library);
  });
}

/// libtorch lets the inter-op count be set once, and only before its first use.
void set_threads(int threads) {
  at::set_num_threads(threads);
  static std::once_flag once;
  std::call_once(once, [] {
    try {
      at::set_num_interop_threads(1);
    } catch (const c10::Error&) {
      log_debug("the number of inter-op threads stays as it was: libtorch has started them already");
    }
  });
}

/// Device named by "auto", "cpu", "cuda" or "cuda:N".
at::Device device_of(const std::string& name) {
  if (name == "cpu") return at::kCPU;
  const bool available = torch::cuda::is_available();
  if (name == "auto") return available ? at::Device(at::kCUDA, 0) : at::Device(at::kCPU);
  if (!available)
    throw UsageError(
        "device: \"{}\" was asked for, but this machine (or this libtorch) has no CUDA device; use device=cpu "
        "or device=auto",
        name);
  const int64_t index = name == "cuda" ? 0 : std::stoll(name.substr(5));
  const auto count = static_cast<int64_t>(torch::cuda::device_count());
  if (index >= count)
    throw UsageError("device: \"{}\" was asked for, but there are {} CUDA devices, cuda:0 to cuda:{}", name, count,
                     count - 1);
  return at::Device(at::kCUDA, static_cast<at::DeviceIndex>(index));
}

bool is_device_name(const std::string& name) {
  if (name == "auto" || name == "cpu" || name == "cuda") return true;
  return name.starts_with("cuda:") && name.size() > 5 && name.size() <= 7 &&
         name.find_first_not_of("0123456789", 5) == std::string::npos;
}

}  // namespace

void ComputeOptions::bind(Options& o) {
  o.add("device", device, "auto, cpu, cuda or cuda:1");
  o.add("precision", precision, "of activations: auto (bf16 where the processor gains from it), fp32 or bf16");
  o.add("threads", threads, "processor threads; 0 takes every one this process may use");
}

void ComputeOptions::validate() const {
  if (!is_device_name(device))
    throw UsageError("device: \"{}\" is not known; it is one of auto, cpu, cuda, cuda:N", device);
  if (precision != "auto" && precision != "fp32" && precision != "bf16")
    throw UsageError("precision: \"{}\" is not known; it is one of auto, fp32, bf16", precision);
  if (threads < 0 || threads > 1024)
    throw UsageError("threads: {} is out of range; it is from 0 (all there are) to 1024", threads);
}

at::Tensor ComputePolicy::activations(const at::Tensor& t) const {
  // Channels last is a matter of four dimensions.
  const at::MemoryFormat wanted = t.dim() == 4 ? format : at::MemoryFormat::Contiguous;
  return t.to(device, dtype, /*non_blocking=*/false, /*copy=*/false, wanted).contiguous(wanted);
}

std::string ComputePolicy::text() const {
  return fmt::format("{}, {}, {}, {} thread{}", device.str(), dtype == at::kBFloat16 ? "bf16" : "fp32",
                     format == at::MemoryFormat::ChannelsLast ? "channels last" : "contiguous", threads,
                     threads == 1 ? "" : "s");
}

bool cpu_has_bf16() {
#if defined(__x86_64__)
  static const bool result = [] {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512bf16") || has_amx_bf16();
  }();
  return result;
#else
  return false;
#endif
}

ComputePolicy choose_policy(const ComputeOptions& options) {
  options.validate();
  ComputePolicy policy;
  policy.device = device_of(options.device);
  policy.threads = options.threads > 0 ? static_cast<int>(options.threads) : usable_cpus();
  set_threads(policy.threads);

  const bool on_cpu = policy.device.is_cpu();
  const bool gains = on_cpu ? cpu_has_bf16() && at::hasMKLDNN() : cuda_has_bf16(policy.device.index());
  if (options.precision == "bf16" || (options.precision == "auto" && gains)) policy.dtype = at::kBFloat16;
  if (options.precision == "bf16" && !gains)
    log_warning("precision=bf16 was asked for, but this {} does not multiply bf16 in hardware: fp32 will be faster",
                on_cpu ? "processor" : "GPU");

  if (on_cpu) {
    warn_of_reference_blas();
  } else {
    // Trying out algorithms may choose another one each time, and another algorithm gives other last digits.
    at::globalContext().setBenchmarkCuDNN(false);
    at::globalContext().setDeterministicCuDNN(true);
    setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/0);
  }
  return policy;
}

}  // namespace derm::tensor
