#pragma once
// The machine and the process: threads, signals, version.
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace derm {

std::string version();  ///< "0.1.0"

/// Processors this process may run on: the affinity mask, cut by a cgroup's CPU quota. At least 1.
/// (libtorch's own count is half of it on machines without hyper-threading.)
int usable_cpus();

/// Processors that the machine has. More than usable_cpus() where somebody has dealt them out.
int machine_cpus();

uint64_t total_memory_bytes();     ///< of the machine, or the cgroup's limit if lower
uint64_t resident_memory_bytes();  ///< of this process now

/// The limits that control groups (v1 and v2) put on a process, its group's and all its parents': processors' worth of
/// time, and bytes of memory. `membership` is the text of /proc/self/cgroup, `mount` the folder /sys/fs/cgroup (tests
/// make one up).
std::optional<double> cgroup_cpu_limit(std::string_view membership, const std::filesystem::path& mount);
std::optional<uint64_t> cgroup_memory_limit(std::string_view membership, const std::filesystem::path& mount);

/// From here on SIGINT and SIGTERM set a flag; a second one ends the process at once.
void catch_interrupts();
bool interrupt_requested();
void throw_if_interrupted();  ///< throws Interrupted once the flag is set
void request_interrupt();     ///< sets the flag, as a signal would (tests use it)
void clear_interrupt();

/// Runs body(i) for i in [0, n) on `threads` threads (0: usable_cpus()). The first exception is rethrown once all have
/// stopped; remaining work is skipped then, and when an interrupt was requested (throws Interrupted).
void parallel_for(size_t n, const std::function<void(size_t)>& body, int threads = 0);

/// Processor, memory, threads, operating system: what `info --system` and environment.json show.
nlohmann::json system_facts();

}  // namespace derm
