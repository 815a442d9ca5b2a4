#pragma once
// What the program throws, and the exit code that each becomes.
#include <stdexcept>
#include <string>

#include <fmt/format.h>

namespace derm {

/// Every message says four things in one sentence: where, what was found, what was expected, what to do.
class Error : public std::runtime_error {
 public:
  Error(const std::string& message, int exit_code) : std::runtime_error(message), exit_code_(exit_code) {}
  int exit_code() const { return exit_code_; }

 private:
  int exit_code_;
};

/// Something was asked for wrongly: a flag, a config key, a call (exit code 2).
class UsageError : public Error {
 public:
  template <class... Args>
  explicit UsageError(fmt::format_string<Args...> format, Args&&... args)
      : Error(fmt::format(format, std::forward<Args>(args)...), 2) {}
};

/// A file or data set does not hold what it should, or could not be read or written (exit code 3).
class DataError : public Error {
 public:
  template <class... Args>
  explicit DataError(fmt::format_string<Args...> format, Args&&... args)
      : Error(fmt::format(format, std::forward<Args>(args)...), 3) {}
};

/// The user pressed Ctrl-C or the process was told to end (exit code 130).
class Interrupted : public Error {
 public:
  Interrupted() : Error("interrupted", 130) {}
};

/// 130, 2, 3, ... for our own errors; 1 for anything else.
int exit_code_of(const std::exception& error);

}  // namespace derm
