#pragma once
// A bundle generates, or judges: one directory with model.safetensors, config.json, README.md, checksums and a canary.
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

/// What a network is asked and the statistics that its answer must have, within a tolerance that allows for another
/// machine's rounding. A generator is asked for an image; a judge is shown judge_canary_input().
struct Canary {
  nlohmann::json request;               ///< null for a judge
  std::vector<double> mean, deviation;  ///< of R, G, B in 0..255; of a judge's answer in eight equal parts
  double tolerance = 2.0;
};

/// What config.json says.
struct BundleConfig {
  int format = 1;
  Kind kind = Kind::generator;
  std::string name;  ///< of a judge: what its figures carry
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

/// What every judge is shown for its canary: a disc that darkens towards its middle on skin that gets lighter to the
/// right, fine stripes over both. [1, 3, size_px, size_px], the same on every machine.
at::Tensor judge_canary_input(int64_t size_px);

/// The canary of a judge's bundle in the making: its answer (where it is, in eval mode, fp32) to judge_canary_input(),
/// flattened and cut into eight parts. The tolerance is 2 % of the answer's largest value.
Canary make_judge_canary(Judge& judge, int64_t size_px);

/// Nothing if the judge answers as it did when its bundle was written; else the sentence that says what differs. The
/// judge must be in eval mode; it is asked in fp32.
std::string judge_canary_fault(Judge& judge, const BundleConfig& config);

struct BundleFiles {
  BundleConfig config;
  const torch::nn::Module* generator = nullptr;      ///< or the judge: what the bundle keeps
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

struct LoadedJudge {
  BundleConfig config;
  std::unique_ptr<Recipe> recipe;
  Players players;  ///< in eval mode; holds "judge" with the bundle's weights
};
/// @param expected  of another kind: UsageError naming both
LoadedJudge load_judge(const fs::path& bundle, Kind expected, const Catalogue& catalogue, const at::Device& device);

struct LoadedGenerator {
  BundleConfig config;
  std::unique_ptr<Recipe> recipe;
  Players players;  ///< in eval mode; holds "generator" with the bundle's weights ("discriminator" if it was kept)
};
/// @throws UsageError for a judge's bundle
LoadedGenerator load_bundle(const fs::path& bundle, const Catalogue& catalogue, const at::Device& device);

}  // namespace derm::recipe
