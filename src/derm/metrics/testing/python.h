#pragma once
// Asks another program, for tests.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "derm/tensor/pth.h"

namespace derm::metrics::testing {

inline const std::string kTools = std::string(DERM_SOURCE_DIR) + "/tools/golden/";
/// Weights that stand beside the source tree on a developer's machine; they are no part of it.
inline const std::filesystem::path kWeights = std::filesystem::path(DERM_SOURCE_DIR) / "../shared/weights";

/// What tools/golden/SCRIPT prints; nullopt if there is no Python, no torch for it, or it fails.
inline std::optional<std::string> python(const std::string& script, const std::string& arguments) {
  if (!std::filesystem::exists("/usr/bin/python3")) return std::nullopt;
  if (std::system("/usr/bin/python3 -c 'import torch, numpy, PIL' 2>/dev/null") != 0) return std::nullopt;
  FILE* pipe = popen(fmt::format("/usr/bin/python3 {}{} {}", kTools, script, arguments).c_str(), "r");
  if (!pipe) return std::nullopt;
  std::string text;
  char buffer[4096];
  while (const size_t n = fread(buffer, 1, sizeof buffer, pipe)) text.append(buffer, n);
  return pclose(pipe) == 0 ? std::optional(text) : std::nullopt;
}

/// Lines "name value value ..." by name.
inline std::map<std::string, std::vector<double>> numbers_of(const std::string& text) {
  std::map<std::string, std::vector<double>> out;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string name;
    words >> name;
    for (double v; words >> v;) out[name].push_back(v);
  }
  return out;
}

inline std::map<std::string, at::Tensor> tensors_of(const std::filesystem::path& file) {
  return tensor::read_weights(file).state.tensors;
}

/// A folder that is gone with the test.
class Folder {
 public:
  Folder() : path_(std::filesystem::temp_directory_path() / fmt::format("derm-metrics-{}-{}", getpid(), ++count())) {
    std::filesystem::create_directories(path_);
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  static int& count() {
    static int n = 0;
    return n;
  }
  std::filesystem::path path_;
};

}  // namespace derm::metrics::testing
