#include "derm/training/run_directory.h"

#include <algorithm>
#include <fstream>
#include <vector>

#include "derm/base/error.h"
#include "derm/base/files.h"

namespace derm::training {

fs::path new_run_directory(const fs::path& out, const std::string& name) {
  std::error_code failed;
  fs::create_directories(out, failed);
  int number = 0;
  if (fs::is_directory(out))
    for (const auto& entry : fs::directory_iterator(out)) {
      const std::string text = entry.path().filename().string();
      if (text.size() > 5 && text[5] == '-' && std::all_of(text.begin(), text.begin() + 5, ::isdigit))
        number = std::max(number, std::stoi(text.substr(0, 5)) + 1);
    }
  for (;; ++number) {
    const fs::path run = out / fmt::format("{:05d}-{}", number, name);
    if (fs::create_directory(run, failed)) {
      fs::create_directory(run / "checkpoints", failed);
      return run;
    }
    if (failed)
      throw DataError("{}: the run directory cannot be made ({}); choose another --out", run.string(),
                      failed.message());
  }
}

void write_run_facts(const fs::path& run, const Options& options, const std::string& command_line,
                     const nlohmann::json& environment, const nlohmann::json& data) {
  write_file(run / "config.toml", options.to_toml());
  std::string commands = fs::exists(run / "command.txt") ? read_file(run / "command.txt") : "";
  write_file(run / "command.txt", commands + command_line + "\n");
  write_file(run / "environment.json", environment.dump(2) + "\n");
  write_file(run / "data_fingerprint.json", data.dump(2) + "\n");
}

void point_to(const fs::path& run, const std::string& link, const fs::path& checkpoint) {
  const fs::path temporary = run / ("." + link + ".new");
  std::error_code ignored;
  fs::remove(temporary, ignored);
  fs::create_directory_symlink(fs::path("checkpoints") / checkpoint.filename(), temporary);
  fs::rename(temporary, run / link);
}

fs::path latest_checkpoint(const fs::path& run) {
  if (!fs::exists(run / "config.toml"))
    throw UsageError("{}: not a run directory (it has no config.toml); give the folder that `dermgan train` made",
                     run.string());
  if (!fs::exists(run / "latest" / "state.json"))
    throw DataError("{}: the run has no checkpoint yet, so there is nothing to resume; train it anew", run.string());
  return fs::canonical(run / "latest");
}

void prune_checkpoints(const fs::path& run, int64_t keep) {
  std::vector<fs::path> all;
  for (const auto& entry : fs::directory_iterator(run / "checkpoints"))
    if (entry.path().filename().string().starts_with("step-")) all.push_back(entry.path());
  std::sort(all.begin(), all.end());
  const auto is_target = [&](const char* link, const fs::path& path) {
    std::error_code failed;
    return fs::equivalent(run / link, path, failed);
  };
  for (size_t i = 0; i + static_cast<size_t>(keep) < all.size(); ++i)
    if (!is_target("best", all[i]) && !is_target("latest", all[i])) fs::remove_all(all[i]);
}

void append_line(const fs::path& file, const nlohmann::json& line) {
  std::ofstream out(file, std::ios::app);
  out << line.dump() << "\n" << std::flush;
  if (!out) throw DataError("{}: cannot be written; is the disk full?", file.string());
}

void truncate_lines_after(const fs::path& file, int64_t step) {
  if (!fs::exists(file)) return;
  std::string kept;
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    const auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);  // a kill can cut the last line
    if (json.is_object() && json.value("step", int64_t{0}) <= step) kept += line + "\n";
  }
  write_file(file, kept);
}

}  // namespace derm::training
