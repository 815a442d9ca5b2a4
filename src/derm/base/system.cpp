#include "derm/base/system.h"

#include <sched.h>
#include <signal.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cmath>
#include <exception>
#include <fstream>
#include <mutex>
#include <sstream>
#include <system_error>
#include <thread>
#include <vector>

#include "derm/base/error.h"

namespace derm {

namespace fs = std::filesystem;

namespace {

// A lock-free atomic is what a signal handler may touch.
std::atomic<bool> interrupted{false};
static_assert(std::atomic<bool>::is_always_lock_free);

void on_signal(int signal) {
  if (interrupted.exchange(true)) {
    // The second time: as if nobody had caught it. It is delivered when this handler returns.
    ::signal(signal, SIG_DFL);
    ::raise(signal);
  }
}

/// The text of a small file of /proc or /sys; "" if there is none.
std::string small_file(const fs::path& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

template <class Number>
std::optional<Number> number_at(std::string_view text) {
  const size_t start = text.find_first_not_of(" \t\n");
  if (start == std::string_view::npos) return std::nullopt;
  Number value{};
  const auto result = std::from_chars(text.data() + start, text.data() + text.size(), value);
  return result.ec == std::errc() ? std::optional(value) : std::nullopt;
}

/// The folders whose limits hold for us under one controller ("" is v2): the group's and its parents', up to the mount.
/// In a container the group's own path is often not visible; its limits then stand in the mount itself.
std::vector<fs::path> group_folders(std::string_view membership, const fs::path& mount, const std::string& controller) {
  std::vector<fs::path> folders;
  std::istringstream lines{std::string(membership)};
  for (std::string line; std::getline(lines, line);) {
    const size_t first = line.find(':'), second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool ours = controller.empty() ? controllers.empty()
                                         : ("," + controllers + ",").find("," + controller + ",") != std::string::npos;
    if (!ours) continue;
    for (const std::string& base : controller.empty() ? std::vector<std::string>{"", "unified"}
                                                      : std::vector<std::string>{controllers, controller}) {
      fs::path group = fs::path(line.substr(second + 1)).relative_path();
      for (; !group.empty() && group != group.parent_path(); group = group.parent_path())
        folders.push_back(mount / base / group);
      folders.push_back(mount / base);
    }
  }
  return folders;
}

/// Of a line "name : value" or "name=value" the value.
std::string value_of(const std::string& text, std::string_view name, char separator) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with(name)) continue;
    const size_t at = line.find(separator);
    if (at == std::string::npos) continue;
    std::string value = line.substr(at + 1);
    std::erase(value, '"');
    const size_t start = value.find_first_not_of(" \t");
    return start == std::string::npos ? "" : value.substr(start);
  }
  return "";
}

int affinity_cpus() {
  // The mask may be longer than the fixed cpu_set_t on large machines; it is widened until the kernel is content.
  for (int room = 1024; room <= 1 << 20; room *= 4) {
    cpu_set_t* set = CPU_ALLOC(static_cast<size_t>(room));
    if (set == nullptr) break;
    const size_t size = CPU_ALLOC_SIZE(static_cast<size_t>(room));
    CPU_ZERO_S(size, set);
    const int result = ::sched_getaffinity(0, size, set);
    const int count = result == 0 ? CPU_COUNT_S(size, set) : 0;
    CPU_FREE(set);
    if (count > 0) return count;
  }
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace

std::string version() { return DERM_VERSION; }

std::optional<double> cgroup_cpu_limit(std::string_view membership, const fs::path& mount) {
  std::optional<double> limit;
  const auto take = [&](std::optional<double> quota, std::optional<double> period) {
    if (!quota || !period || *quota <= 0 || *period <= 0) return;  // v1 writes -1 for none, v2 "max"
    limit = std::min(limit.value_or(*quota / *period), *quota / *period);
  };
  for (const fs::path& folder : group_folders(membership, mount, "")) {
    const std::string text = small_file(folder / "cpu.max");
    const size_t blank = text.find(' ');
    if (blank != std::string::npos)
      take(number_at<double>(text.substr(0, blank)), number_at<double>(text.substr(blank)));
  }
  for (const fs::path& folder : group_folders(membership, mount, "cpu")) {
    take(number_at<double>(small_file(folder / "cpu.cfs_quota_us")),
         number_at<double>(small_file(folder / "cpu.cfs_period_us")));
  }
  return limit;
}

std::optional<uint64_t> cgroup_memory_limit(std::string_view membership, const fs::path& mount) {
  std::optional<uint64_t> limit;
  const auto take = [&](std::optional<uint64_t> bytes) {
    if (bytes && *bytes > 0) limit = std::min(limit.value_or(*bytes), *bytes);
  };
  for (const fs::path& folder : group_folders(membership, mount, ""))
    take(number_at<uint64_t>(small_file(folder / "memory.max")));
  for (const fs::path& folder : group_folders(membership, mount, "memory")) {
    take(number_at<uint64_t>(small_file(folder / "memory.limit_in_bytes")));
  }
  return limit;
}

int usable_cpus() {
  int count = affinity_cpus();
  if (const auto limit = cgroup_cpu_limit(small_file("/proc/self/cgroup"), "/sys/fs/cgroup")) {
    count = static_cast<int>(std::min<double>(count, std::round(*limit)));
  }
  return std::max(1, count);
}

int machine_cpus() { return std::max(usable_cpus(), static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN))); }

uint64_t total_memory_bytes() {
  const long pages = ::sysconf(_SC_PHYS_PAGES), page = ::sysconf(_SC_PAGE_SIZE);
  const uint64_t machine = pages > 0 && page > 0 ? static_cast<uint64_t>(pages) * static_cast<uint64_t>(page) : 0;
  const auto limit = cgroup_memory_limit(small_file("/proc/self/cgroup"), "/sys/fs/cgroup");
  return limit ? std::min(*limit, machine) : machine;
}

uint64_t resident_memory_bytes() {
  const std::string text = small_file("/proc/self/statm");  // in pages: size, resident, ...
  const size_t blank = text.find(' ');
  if (blank == std::string::npos) return 0;
  return number_at<uint64_t>(std::string_view(text).substr(blank)).value_or(0) *
         static_cast<uint64_t>(::sysconf(_SC_PAGE_SIZE));
}

void catch_interrupts() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;  // a read or write under way goes on; the flag is looked at between pieces of work
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
}

bool interrupt_requested() { return interrupted.load(); }

void throw_if_interrupted() {
  if (interrupt_requested()) throw Interrupted();
}

void request_interrupt() { interrupted = true; }
void clear_interrupt() { interrupted = false; }

void parallel_for(size_t n, const std::function<void(size_t)>& body, int threads) {
  std::atomic<size_t> next{0};
  std::atomic<bool> stop{false};
  std::mutex mutex;
  std::exception_ptr first;
  bool skipped = false;
  const auto work = [&] {
    while (!stop) {
      const size_t i = next.fetch_add(1);
      if (i >= n) return;
      if (interrupt_requested()) {
        const std::lock_guard lock(mutex);
        skipped = true;
        stop = true;
        return;
      }
      try {
        body(i);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!first) first = std::current_exception();
        stop = true;
      }
    }
  };
  const auto wanted = static_cast<size_t>(threads > 0 ? threads : usable_cpus());
  std::vector<std::thread> helpers;
  try {
    while (helpers.size() + 1 < std::min(wanted, n)) helpers.emplace_back(work);
  } catch (const std::system_error&) {
    // The machine gives no more threads: those that there are do all of it.
  }
  work();
  for (std::thread& helper : helpers) helper.join();
  if (first) std::rethrow_exception(first);
  if (skipped) throw Interrupted();
}

nlohmann::json system_facts() {
  const std::string processor = small_file("/proc/cpuinfo");
  utsname names{};
  ::uname(&names);
  std::string model = value_of(processor, "model name", ':');
  if (model.empty()) model = names.machine;
  nlohmann::json features = nlohmann::json::array();
  const std::string flags = " " + value_of(processor, "flags", ':') + " ";
  for (const char* feature : {"avx2", "fma", "avx512f", "avx512_bf16", "amx_bf16"}) {
    if (flags.find(" " + std::string(feature) + " ") != std::string::npos) features.push_back(feature);
  }
  std::string system = value_of(small_file("/etc/os-release"), "PRETTY_NAME", '=');
  if (system.empty()) system = names.sysname;
  return {{"version", version()},
          {"processor", model},
          {"processor_features", features},
          {"architecture", names.machine},
          {"processors", std::thread::hardware_concurrency()},
          {"threads", usable_cpus()},
          {"memory_bytes", total_memory_bytes()},
          {"operating_system", system},
          {"kernel", std::string(names.sysname) + " " + names.release}};
}

}  // namespace derm
