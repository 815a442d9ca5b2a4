#pragma once
// A run directory in the StyleGAN shape: runs/00003-dermgan-clinical-256/.
#include <filesystem>
#include <string>

#include <nlohmann/json.hpp>

#include "derm/base/options.h"

namespace derm::training {

namespace fs = std::filesystem;

/// Makes the next free `NNNNN-name` below `out`. @throws DataError if it cannot be made
fs::path new_run_directory(const fs::path& out, const std::string& name);

/// config.toml (fully resolved), command.txt (appended to on resume), environment.json, data_fingerprint.json.
void write_run_facts(const fs::path& run, const Options& options, const std::string& command_line,
                     const nlohmann::json& environment, const nlohmann::json& data);

/// RUN/latest or RUN/best -> checkpoints/step-NNNNNN, replaced in one go.
void point_to(const fs::path& run, const std::string& link, const fs::path& checkpoint);

/// The checkpoint that `latest` names. @throws DataError if the run has none
fs::path latest_checkpoint(const fs::path& run);

/// Removes all but the newest `keep` checkpoints, `best` and `latest` excepted.
void prune_checkpoints(const fs::path& run, int64_t keep);

/// One JSON object a line, appended.
void append_line(const fs::path& file, const nlohmann::json& line);

/// After a kill, lines beyond the checkpoint's step are taken out, so that a resumed run writes each step once.
void truncate_lines_after(const fs::path& file, int64_t step);

}  // namespace derm::training
