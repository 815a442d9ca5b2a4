#pragma once
// Runs the built program as a user does, in a folder that goes away afterwards.
#include <chrono>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <sys/types.h>

namespace derm::e2e {

namespace fs = std::filesystem;

struct Answer {
  int code = -1;                  ///< exit code; 128 + signal if it was killed
  std::string out;                ///< stdout
  std::string err;                ///< stderr
  std::string last_line() const;  ///< of stdout
};

/// A program that runs beside the test.
class Process {
 public:
  Process(const std::vector<std::string>& command, const fs::path& directory);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  void send(int signal) const;
  bool ended();
  Answer wait();

 private:
  pid_t pid_ = -1;
  int status_ = 0;
  bool ended_ = false;
  fs::path out_, err_;
};

/// Polls until `condition` holds; false after the time is over.
bool wait_until(const std::function<bool()>& condition, std::chrono::seconds limit);

/// A folder of its own for a test or a suite, removed with it. Relative paths in commands start here.
class Workspace {
 public:
  explicit Workspace(const std::string& name);
  ~Workspace();
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;
  const fs::path& root() const { return root_; }
  fs::path operator/(const std::string& relative) const { return root_ / relative; }

  /// dermgan WORDS...
  Answer dermgan(const std::vector<std::string>& words) const;
  Answer run(const std::vector<std::string>& command) const;

 private:
  fs::path root_;
};

/// What all tests start from, made once: phantoms (`made`), the same prepared (`D`), and a run of a few steps
/// (`run()`).
class Shop {
 public:
  static const Shop& get();
  const Workspace& workspace() const { return workspace_; }
  const std::string& run() const { return run_; }  ///< relative to the workspace
  Answer phantom, prepare, train;                  ///< how making them went

 private:
  Shop();
  Workspace workspace_;
  std::string run_;
};

/// Flags of the small training that the tests share.
std::vector<std::string> small_training(const std::string& data, const std::string& out, double kimg);

/// `more` behind `words`.
std::vector<std::string> operator+(std::vector<std::string> words, const std::vector<std::string>& more);

}  // namespace derm::e2e
