#pragma once
// A bundle generates: one directory with model.safetensors, config.json, README.md, checksums and a canary.
#include <filesystem>
#include <memory>
#include <string>

#include <nlohmann/json.hpp>

#include "derm/data/plan.h"
#include "derm/data/semantic_map.h"
#include "derm/recipe/recipe.h"
#include "derm/tensor/policy.h"

namespace derm::recipe {

namespace fs = std::filesystem;

/// A request and the statistics that its image must have, within a tolerance that allows for another machine's rounding.
struct Canary {
  nlohmann::json request;
  std::vector<double> mean, deviation;  ///< of R, G, B in 0..255
  double tolerance = 2.0;
};

/// What config.json says.
struct BundleConfig {
  int format = 1;
  std::string recipe;
  nlohmann::json options;       ///< the recipe's own, resolved
  int64_t size_px = 0;
  std::vector<std::string> conditions;
  data::MapSpec map;
  data::Offer offer;
  nlohmann::json training;      ///< data fingerprint, kimg, steps, seed, code version, EMA: where it came from
  Canary canary;
};
nlohmann::json to_json(const BundleConfig& config);
BundleConfig config_from_json(const nlohmann::json& json, const std::string& where);

struct BundleFiles {
  BundleConfig config;
  const torch::nn::Module* generator = nullptr;
  const torch::nn::Module* discriminator = nullptr;  ///< kept for further training if given
  std::string card;                                  ///< README.md
  bool half = true;                                  ///< fp16 weights
};

/// Writes the directory whole. SHA256SUMS lists every file.
void write_bundle(const fs::path& directory, const BundleFiles& files);

/// A bundle's own directory, or the `best` of a run directory (its newest checkpoint's bundle if there is no best yet).
/// @throws UsageError naming what is there instead
fs::path find_bundle(const fs::path& path);

/// Reads and checks config.json and the checksums. @throws DataError: cut short, a checksum that differs, a newer format.
BundleConfig read_bundle_config(const fs::path& bundle);
std::string bundle_sha256(const fs::path& bundle);  ///< of model.safetensors

struct LoadedGenerator {
  BundleConfig config;
  std::unique_ptr<Recipe> recipe;
  Players players;              ///< in eval mode; holds "generator" with the bundle's weights
};
LoadedGenerator load_bundle(const fs::path& bundle, const Catalogue& catalogue, const at::Device& device);

}  // namespace derm::recipe
