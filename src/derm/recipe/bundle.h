#pragma once
// A bundle generates: one directory with model.safetensors, config.json, README.md, checksums and a canary.
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "derm/data/plan.h"
#include "derm/data/semantic_map.h"
#include "derm/recipe/recipe.h"
#include "derm/tensor/policy.h"

namespace derm::recipe {

namespace fs = std::filesystem;

/// A request and the statistics that its image must have, within a tolerance that allows for another machine's
/// rounding.
struct Canary {
  nlohmann::json request;
  std::vector<double> mean, deviation;  ///< of R, G, B in 0..255
  double tolerance = 2.0;
};

/// What config.json says.
struct BundleConfig {
  int format = 1;
  std::string recipe;
  nlohmann::json options;  ///< the recipe's own, resolved
  int64_t size_px = 0;
  std::vector<std::string> conditions;
  data::MapSpec map;
  data::Offer offer;
  nlohmann::json training;  ///< data fingerprint, kimg, steps, seed, code version, EMA: where it came from
  Canary canary;
};
nlohmann::json to_json(const BundleConfig& config);
BundleConfig config_from_json(const nlohmann::json& json, const std::string& where);

/// What a generator is told by one request: a batch of one, float32 on the CPU; what the recipe does not need is
/// undefined. The latent is drawn from the request's seed.
tensor::Inputs inputs_of(const data::Request& request, const data::MapSpec& map, const Needs& needs);

/// The same inputs on the policy's device; the map in its type and format too.
tensor::Inputs on_device(const tensor::Inputs& inputs, const tensor::ComputePolicy& policy);

/// The image of a request, computed alone, without gradients. The module must be in eval mode.
image::Image image_of_request(Generator& generator, const data::Request& request, const data::MapSpec& map,
                              const Needs& needs, const tensor::ComputePolicy& policy);

/// The canary of a bundle in the making: asks `generator` (where it is, in eval mode, fp32) for the middle of what
/// `config` offers and notes the image's statistics. The module's training mode is put back.
Canary make_canary(Generator& generator, const BundleConfig& config, const Needs& needs);

/// Nothing if the image of the canary's request is what it should be; else the sentence that says what differs.
std::string canary_fault(const Canary& canary, const image::Image& image);

struct BundleFiles {
  BundleConfig config;
  const torch::nn::Module* generator = nullptr;
  const torch::nn::Module* discriminator = nullptr;  ///< kept for further training if given
  std::string card;                                  ///< README.md
  bool half = true;                                  ///< fp16 weights (vectors and statistics of layers stay fp32)
};

/// Writes the directory whole. SHA256SUMS lists every file. An older bundle of that name is replaced at once and whole.
/// @throws UsageError if `directory` holds something that is no bundle
void write_bundle(const fs::path& directory, const BundleFiles& files);

/// A bundle's own directory, that of a checkpoint (CHECKPOINT/bundle), or of a run directory: RUN/best/bundle, else
/// RUN/latest/bundle, else that of its newest checkpoint. (`best` and `latest` are links to checkpoints/step-NNN.)
/// @throws UsageError naming what is there instead
fs::path find_bundle(const fs::path& path);

/// Reads and checks config.json and the checksums. @throws DataError: cut short, a checksum that differs, a newer
/// format.
BundleConfig read_bundle_config(const fs::path& bundle);
std::string bundle_sha256(const fs::path& bundle);  ///< of model.safetensors

struct LoadedGenerator {
  BundleConfig config;
  std::unique_ptr<Recipe> recipe;
  Players players;  ///< in eval mode; holds "generator" with the bundle's weights ("discriminator" if it was kept)
};
LoadedGenerator load_bundle(const fs::path& bundle, const Catalogue& catalogue, const at::Device& device);

}  // namespace derm::recipe
