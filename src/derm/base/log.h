#pragma once
// Log lines to stderr, and to a run's log.txt once one is attached.
#include <filesystem>
#include <memory>
#include <string>

#include <fmt/format.h>

namespace derm {

enum class LogLevel { debug, info, warning, error };

void set_log_level(LogLevel level);
void log_line(LogLevel level, const std::string& text);

template <class... Args>
void log_info(fmt::format_string<Args...> f, Args&&... a) {
  log_line(LogLevel::info, fmt::format(f, std::forward<Args>(a)...));
}
template <class... Args>
void log_warning(fmt::format_string<Args...> f, Args&&... a) {
  log_line(LogLevel::warning, fmt::format(f, std::forward<Args>(a)...));
}
template <class... Args>
void log_debug(fmt::format_string<Args...> f, Args&&... a) {
  log_line(LogLevel::debug, fmt::format(f, std::forward<Args>(a)...));
}

/// While it lives, log lines (info and above) are appended to `file` too, with time stamps.
class LogFile {
 public:
  explicit LogFile(const std::filesystem::path& file);
  ~LogFile();
  LogFile(const LogFile&) = delete;
  LogFile& operator=(const LogFile&) = delete;

 private:
  std::shared_ptr<void> sink_;
};

}  // namespace derm
