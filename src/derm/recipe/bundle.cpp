#include "derm/recipe/bundle.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <map>

#include <ATen/CPUGeneratorImpl.h>
#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/base/system.h"
#include "derm/recipe/directions.h"
#include "derm/tensor/convert.h"
#include "derm/tensor/safetensors.h"
#include "derm/tensor/state.h"

namespace derm::recipe {
namespace {

constexpr int kFormat = 1;
constexpr size_t kParts = 8;  // of a judge's answer, each with its mean and deviation in the canary
constexpr const char* kWeights = "model.safetensors";
constexpr const char* kDiscriminator = "discriminator.safetensors";
constexpr const char* kConfig = "config.json";
constexpr const char* kCard = "README.md";
constexpr const char* kSums = "SHA256SUMS";

const nlohmann::json& member(const nlohmann::json& json, const char* name, const std::string& where) {
  if (!json.is_object() || !json.contains(name)) {
    throw DataError("{}: \"{}\" is missing; the file is not a bundle's config.json or was cut short", where, name);
  }
  return json.at(name);
}

template <class T>
T value_of(const nlohmann::json& json, const char* name, const std::string& where) {
  const nlohmann::json& v = member(json, name, where);
  try {
    return v.get<T>();
  } catch (const nlohmann::json::exception&) {
    throw DataError(
        "{}: \"{}\" is {}, which is not of the type that is expected there; take the bundle from its source again",
        where, name, v.dump().substr(0, 60));
  }
}

nlohmann::json to_json(const Canary& canary) {
  return {{"request", canary.request},
          {"mean", canary.mean},
          {"deviation", canary.deviation},
          {"tolerance", canary.tolerance}};
}

/// Convolution weights in fp16; what is small or would overflow stays as it is.
tensor::NamedTensors stored_state(const torch::nn::Module& module, bool half) {
  tensor::NamedTensors state;
  for (const auto& [name, original] : tensor::state_of(module)) {
    at::Tensor t = original.detach().to(at::kCPU);
    if (half && t.is_floating_point() && t.dim() >= 2 && t.numel() > 0 && t.abs().max().item<double>() < 65504.0)
      t = t.to(at::kHalf);
    state.emplace_back(name, t.contiguous());
  }
  return state;
}

bool looks_like_bundle(const fs::path& path) { return fs::exists(path / kConfig) || fs::exists(path / kWeights); }

/// `fresh` takes the place of `target` in one step where the file system can swap names.
void swap_in(const fs::path& fresh, const fs::path& target) {
#ifdef RENAME_EXCHANGE
  if (renameat2(AT_FDCWD, fresh.c_str(), AT_FDCWD, target.c_str(), RENAME_EXCHANGE) == 0) {
    fs::remove_all(fresh);
    return;
  }
#endif
  fs::path old = target;
  old += ".old-" + std::to_string(getpid());
  std::error_code error;
  fs::rename(target, old, error);
  if (!error) fs::rename(fresh, target, error);
  if (error) {
    throw DataError("{}: the new bundle cannot take the place of the old one: {}; it stands in {}", target.string(),
                    error.message(), fresh.string());
  }
  fs::remove_all(old);
}

void fill_bundle(const fs::path& directory, const BundleFiles& files) {
  const std::map<std::string, std::string> metadata = {{"format", "pt"}, {"recipe", files.config.recipe}};
  tensor::write_safetensors(directory / kWeights, stored_state(*files.generator, files.half), metadata);
  std::vector<std::string> names = {kCard, kConfig, kWeights};
  if (files.discriminator) {
    tensor::write_safetensors(directory / kDiscriminator, stored_state(*files.discriminator, files.half), metadata);
    names.push_back(kDiscriminator);
  }
  write_file(directory / kConfig, to_json(files.config).dump(2) + "\n");
  write_file(directory / kCard, files.card);
  std::sort(names.begin(), names.end());
  std::string sums;
  for (const std::string& name : names) sums += sha256_file(directory / name) + "  " + name + "\n";
  write_file(directory / kSums, sums);
}

/// Compares every file with its line in SHA256SUMS.
void check_sums(const fs::path& bundle) {
  const fs::path list = bundle / kSums;
  if (!fs::exists(list)) {
    throw DataError("{}: there is no {}; the bundle is incomplete, copy it again", bundle.string(), kSums);
  }
  const std::string text = read_file(list, 1 << 20);
  std::vector<std::string> seen;
  size_t start = 0;
  while (start < text.size()) {
    const size_t end = std::min(text.find('\n', start), text.size());
    const std::string line = text.substr(start, end - start);
    start = end + 1;
    if (line.empty()) continue;
    if (line.size() < 67 || line.substr(64, 2) != "  ") {
      throw DataError("{}: the line '{}' is not a checksum and a name; copy the bundle again", list.string(),
                      line.substr(0, 80));
    }
    const std::string name = line.substr(66);
    const fs::path file = resolve_inside(bundle, name);
    if (!fs::exists(file)) throw DataError("{}: {} is missing; copy the bundle again", bundle.string(), name);
    const std::string found = sha256_file(file);
    if (found != line.substr(0, 64)) {
      throw DataError(
          "{}: its checksum is {}..., {} says {}...; the file was cut short or changed, copy the bundle again",
          file.string(), found.substr(0, 12), kSums, line.substr(0, 12));
    }
    seen.push_back(name);
  }
  for (const char* needed : {kConfig, kWeights}) {
    if (std::find(seen.begin(), seen.end(), needed) == seen.end()) {
      throw DataError("{}: {} has no line for {}; the bundle is incomplete, copy it again", list.string(), kSums,
                      needed);
    }
  }
}

nlohmann::json read_config_json(const fs::path& file) {
  try {
    return nlohmann::json::parse(read_file(file, 16 << 20));
  } catch (const nlohmann::json::exception& e) {
    throw DataError("{}: not JSON ({}); copy the bundle again", file.string(), e.what());
  }
}

/// The checkpoint with the highest step, or "".
fs::path newest_checkpoint(const fs::path& run) {
  std::vector<fs::path> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(run / "checkpoints", error)) {
    if (entry.path().filename().string().starts_with("step-") && looks_like_bundle(entry.path() / "bundle"))
      found.push_back(entry.path());
  }
  // Steps are padded with zeros, but a very long run may outgrow the padding: longer names are later.
  const auto later = [](const fs::path& a, const fs::path& b) {
    const std::string x = a.filename().string(), y = b.filename().string();
    return x.size() != y.size() ? x.size() < y.size() : x < y;
  };
  const auto newest = std::max_element(found.begin(), found.end(), later);
  return newest == found.end() ? fs::path() : *newest;
}

bool looks_like_run(const fs::path& path) {
  return fs::exists(path / "config.toml") || fs::exists(path / "checkpoints") || fs::exists(path / "best") ||
         fs::exists(path / "latest");
}

}  // namespace

nlohmann::json to_json(const BundleConfig& config) {
  if (is_judge(config.kind)) {
    return {{"format", config.format},     {"kind", kind_name(config.kind)},
            {"name", config.name},         {"software", "dermgan " + version()},
            {"recipe", config.recipe},     {"options", config.options},
            {"size_px", config.size_px},   {"conditions", config.conditions},
            {"training", config.training}, {"canary", to_json(config.canary)}};
  }
  return {{"format", config.format},
          {"kind", kind_name(config.kind)},
          {"software", "dermgan " + version()},
          {"recipe", config.recipe},
          {"options", config.options},
          {"size_px", config.size_px},
          {"conditions", config.conditions},
          {"map", {{"encoding", data::encoding_name(config.map.encoding)}, {"edge", config.map.edge}}},
          {"offer", config.offer.to_json()},
          {"training", config.training},
          {"canary", to_json(config.canary)}};
}

BundleConfig config_from_json(const nlohmann::json& json, const std::string& where) {
  BundleConfig config;
  config.format = value_of<int>(json, "format", where);
  if (config.format != kFormat) {
    throw DataError("{}: the bundle has format {}, this version reads format {}; {}", where, config.format, kFormat,
                    config.format > kFormat ? "install a newer dermgan" : "export the bundle again");
  }
  if (json.contains("kind")) {  // bundles of version 0.1 had none, and were generators
    try {
      config.kind = kind_from_name(value_of<std::string>(json, "kind", where));
    } catch (const UsageError& e) {
      throw DataError("{}: {}; install a newer dermgan", where, e.what());
    }
  }
  if (is_judge(config.kind)) config.name = value_of<std::string>(json, "name", where);
  config.recipe = value_of<std::string>(json, "recipe", where);
  config.options = member(json, "options", where);
  config.size_px = value_of<int64_t>(json, "size_px", where);
  if (config.size_px < 8 || config.size_px > 4096) {
    throw DataError("{}: \"size_px\" is {}, sizes from 8 to 4096 are accepted", where, config.size_px);
  }
  config.conditions = value_of<std::vector<std::string>>(json, "conditions", where);
  if (config.conditions.empty()) throw DataError("{}: \"conditions\" is empty, at least one is expected", where);
  if (!is_judge(config.kind)) try {
      const nlohmann::json& map = member(json, "map", where);
      config.map.encoding = data::encoding_from_name(value_of<std::string>(map, "encoding", where));
      config.map.edge = value_of<double>(map, "edge", where);
      config.offer = data::Offer::from_json(member(json, "offer", where));
    } catch (const UsageError& e) {
      throw DataError("{}: {}", where, e.what());
    } catch (const nlohmann::json::exception& e) {
      throw DataError("{}: \"offer\" cannot be read: {}", where, e.what());
    }
  if (!(config.map.edge >= 0 && config.map.edge <= 0.5)) {
    throw DataError("{}: \"edge\" is {}, a number from 0 to 0.5 is expected", where, config.map.edge);
  }
  config.map.conditions = config.conditions;
  config.map.size_px = static_cast<int>(config.size_px);
  config.training = json.value("training", nlohmann::json::object());
  const nlohmann::json& canary = member(json, "canary", where);
  config.canary.request = member(canary, "request", where);
  if (is_judge(config.kind) && !config.canary.request.is_null())
    throw DataError("{}: the canary of a judge has no \"request\"; take the bundle from its source again", where);
  config.canary.mean = value_of<std::vector<double>>(canary, "mean", where);
  config.canary.deviation = value_of<std::vector<double>>(canary, "deviation", where);
  config.canary.tolerance = value_of<double>(canary, "tolerance", where);
  if (!config.canary.request.is_null() && (config.canary.mean.size() != 3 || config.canary.deviation.size() != 3)) {
    throw DataError("{}: the canary's \"mean\" and \"deviation\" need 3 numbers each, for R, G and B", where);
  }
  if (is_judge(config.kind) && (config.canary.mean.size() != kParts || config.canary.deviation.size() != kParts))
    throw DataError("{}: the canary's \"mean\" and \"deviation\" need {} numbers each", where, kParts);
  return config;
}

tensor::Inputs inputs_of(const data::Request& request, const data::MapSpec& map, const Needs& needs) {
  tensor::Inputs inputs;
  inputs.latent = latent_of_seed(needs, map.size_px, request.seed);
  if (needs.label) {
    const auto found = std::find(map.conditions.begin(), map.conditions.end(), request.condition());
    if (found == map.conditions.end()) {
      throw UsageError("condition \"{}\" is not one that this model knows", request.condition());
    }
    inputs.label = at::full({1}, static_cast<int64_t>(found - map.conditions.begin()), at::kLong);
  }
  if (needs.map) {
    const std::vector<float> planes = data::encode_map(request, map);
    inputs.map = torch::tensor(planes, at::kFloat).reshape({1, map.channels(), map.size_px, map.size_px});
  }
  return inputs;
}

tensor::Inputs on_device(const tensor::Inputs& inputs, const tensor::ComputePolicy& policy) {
  tensor::Inputs moved;
  if (inputs.latent.defined()) moved.latent = policy.activations(inputs.latent);
  if (inputs.label.defined()) moved.label = inputs.label.to(policy.device);
  if (inputs.map.defined()) moved.map = policy.activations(inputs.map);
  return moved;
}

image::Image image_of_request(Generator& generator, const data::Request& request, const data::MapSpec& map,
                              const Needs& needs, const tensor::ComputePolicy& policy) {
  const torch::NoGradGuard no_grad;
  const at::Tensor made = generator.generate(on_device(inputs_of(request, map, needs), policy));
  return tensor::images_of(made.to(at::kCPU, at::kFloat)).at(0);
}

namespace {

struct Statistics {
  std::vector<double> mean = {0, 0, 0}, deviation = {0, 0, 0};
};

Statistics statistics_of(const image::Image& rgb) {
  Statistics s;
  const double n = static_cast<double>(rgb.width) * rgb.height;
  for (size_t c = 0; c < 3; ++c) {
    double sum = 0, squares = 0;
    for (size_t i = c; i < rgb.pixels.size(); i += 3) {
      sum += rgb.pixels[i];
      squares += static_cast<double>(rgb.pixels[i]) * rgb.pixels[i];
    }
    s.mean[c] = sum / n;
    s.deviation[c] = std::sqrt(std::max(0.0, squares / n - s.mean[c] * s.mean[c]));
  }
  return s;
}

}  // namespace

Canary make_canary(Generator& generator, const BundleConfig& config, const Needs& needs) {
  data::Wish wish;
  wish.seed = 1;
  const data::Request request = data::make_request(wish, config.offer);
  tensor::ComputePolicy policy;
  const auto parameters = generator.parameters();
  if (!parameters.empty()) policy.device = parameters.front().device();
  const bool training = generator.is_training();
  generator.eval();
  const image::Image made = image_of_request(generator, request, config.map, needs, policy);
  generator.train(training);
  const Statistics s = statistics_of(made);
  Canary canary;
  canary.request = data::to_json(request);
  canary.mean = s.mean;
  canary.deviation = s.deviation;
  return canary;
}

std::string canary_fault(const Canary& canary, const image::Image& image) {
  if (image.channels != 3 || image.empty()) return "it is no colour picture";
  const Statistics s = statistics_of(image);
  for (size_t c = 0; c < 3; ++c) {
    const auto fault = [&](const char* what, double found, double expected) {
      return std::abs(found - expected) <= canary.tolerance  // false for NaN
                 ? std::string()
                 : fmt::format("the {} of its {} is {:.1f}, {:.1f} +- {:.1f} was noted when the bundle was written",
                               what, std::vector<std::string>{"red", "green", "blue"}[c], found, expected,
                               canary.tolerance);
    };
    if (const std::string f = fault("mean", s.mean[c], canary.mean.at(c)); !f.empty()) return f;
    if (const std::string f = fault("deviation", s.deviation[c], canary.deviation.at(c)); !f.empty()) return f;
  }
  return "";
}

at::Tensor judge_canary_input(int64_t size_px) {
  at::Tensor input = torch::empty({1, 3, size_px, size_px});
  float* values = input.data_ptr<float>();
  const double side = static_cast<double>(size_px);
  for (int64_t c = 0; c < 3; ++c) {
    for (int64_t y = 0; y < size_px; ++y) {
      for (int64_t x = 0; x < size_px; ++x) {
        const double u = (static_cast<double>(x) + 0.5) / side, v = (static_cast<double>(y) + 0.5) / side;
        // A disc of radius 0.3, a little above and left of the middle; plain arithmetic, no library function.
        const double d2 = (u - 0.45) * (u - 0.45) + (v - 0.48) * (v - 0.48);
        const double inside = d2 < 0.09 ? 1 - d2 / 0.18 : 0;
        const double skin = 0.62 - 0.18 * static_cast<double>(c) + 0.15 * (u - 0.5);
        const double stripes = (x + 2 * y) % 7 < 2 ? 0.06 : 0.0;
        *values++ = static_cast<float>(skin - inside * (0.75 - 0.1 * static_cast<double>(c)) + stripes);
      }
    }
  }
  return input;
}

namespace {

/// The answer's parts: mean and deviation of each, and the largest magnitude.
Statistics answer_of(Judge& judge, int64_t size_px, double& largest) {
  const torch::NoGradGuard no_grad;
  tensor::ComputePolicy policy;
  const auto parameters = judge.parameters();
  if (!parameters.empty()) policy.device = parameters.front().device();
  const at::Tensor answer =
      judge.judge(policy.activations(judge_canary_input(size_px))).to(at::kCPU, at::kDouble).flatten().contiguous();
  largest = answer.abs().max().item<double>();
  const auto n = static_cast<size_t>(answer.numel());
  const double* values = answer.data_ptr<double>();
  Statistics s;
  s.mean.assign(kParts, 0);
  s.deviation.assign(kParts, 0);
  for (size_t part = 0; part < kParts; ++part) {
    const size_t from = std::min(part * n / kParts, n - 1), to = std::max(from + 1, (part + 1) * n / kParts);
    const double count = static_cast<double>(to - from);
    double sum = 0, squares = 0;
    for (size_t i = from; i < to; ++i) sum += values[i], squares += values[i] * values[i];
    s.mean[part] = sum / count;
    s.deviation[part] = std::sqrt(std::max(0.0, squares / count - s.mean[part] * s.mean[part]));
  }
  return s;
}

}  // namespace

Canary make_judge_canary(Judge& judge, int64_t size_px) {
  const bool training = judge.is_training();
  judge.eval();
  double largest = 0;
  const Statistics s = answer_of(judge, size_px, largest);
  judge.train(training);
  Canary canary;
  canary.mean = s.mean;
  canary.deviation = s.deviation;
  canary.tolerance = 0.02 * largest;
  return canary;
}

std::string judge_canary_fault(Judge& judge, const BundleConfig& config) {
  double largest = 0;
  const Statistics s = answer_of(judge, config.size_px, largest);
  const Canary& canary = config.canary;
  for (size_t part = 0; part < kParts; ++part) {
    const auto fault = [&](const char* what, double found, double expected) {
      return std::abs(found - expected) <= canary.tolerance  // false for NaN
                 ? std::string()
                 : fmt::format(
                       "the {} of part {} of its answer is {:.4f}, {:.4f} +- {:.4f} was noted when the bundle "
                       "was written",
                       what, part + 1, found, expected, canary.tolerance);
    };
    if (const std::string f = fault("mean", s.mean[part], canary.mean.at(part)); !f.empty()) return f;
    if (const std::string f = fault("deviation", s.deviation[part], canary.deviation.at(part)); !f.empty()) return f;
  }
  return "";
}

void write_bundle(const fs::path& directory, const BundleFiles& files) {
  if (!files.generator) throw UsageError("{}: a bundle needs a network", directory.string());
  const bool replace = fs::exists(directory) && !fs::is_empty(directory);
  if (replace && !looks_like_bundle(directory)) {
    throw UsageError("{}: holds something that is no bundle; name another directory", directory.string());
  }
  fs::path target = directory;
  if (!target.has_filename()) target = target.parent_path();  // "name/"
  if (!replace) {
    if (target.has_parent_path()) fs::create_directories(target.parent_path());
    NewDirectory fresh(target);
    fill_bundle(fresh.path(), files);
    fresh.commit();
    return;
  }
  fs::path beside = target;
  beside += ".new-" + std::to_string(getpid());
  fs::remove_all(beside);
  NewDirectory fresh(beside);
  fill_bundle(fresh.path(), files);
  fresh.commit();
  swap_in(beside, target);
}

fs::path find_bundle(const fs::path& path) {
  if (!fs::exists(path)) {
    throw UsageError("{}: there is nothing of that name; give a bundle or a run directory", path.string());
  }
  if (!fs::is_directory(path)) {
    if (path.filename() == kWeights || path.filename() == kConfig)
      return path.has_parent_path() ? path.parent_path() : fs::path(".");
    throw UsageError("{}: is a file, a bundle or a run directory is expected", path.string());
  }
  if (looks_like_bundle(path)) return path;
  if (looks_like_bundle(path / "bundle")) return path / "bundle";
  for (const char* link : {"best", "latest"}) {
    if (looks_like_bundle(path / link / "bundle")) return path / link / "bundle";
    if (looks_like_bundle(path / link)) return path / link;
  }
  if (const fs::path newest = newest_checkpoint(path); !newest.empty()) return newest / "bundle";
  if (fs::exists(path / "metadata.csv")) {
    throw UsageError("{}: is a data set, a bundle or a run directory is expected", path.string());
  }
  if (looks_like_run(path)) {
    throw UsageError("{}: is a run that has not written a checkpoint yet; wait for its first one or resume it",
                     path.string());
  }
  std::vector<std::string> runs, names;
  for (const auto& entry : fs::directory_iterator(path)) {
    if (entry.is_directory() && (looks_like_bundle(entry.path()) || looks_like_run(entry.path())))
      runs.push_back(entry.path().string());
    names.push_back(entry.path().filename().string());
  }
  std::sort(runs.begin(), runs.end());
  std::sort(names.begin(), names.end());
  if (!runs.empty()) {
    throw UsageError("{}: holds {} runs or bundles, one of them is expected; for example {}", path.string(),
                     runs.size(), runs.back());
  }
  if (names.size() > 6) names.resize(6);
  throw UsageError("{}: is neither a bundle (with config.json and model.safetensors) nor a run directory; it holds {}",
                   path.string(), names.empty() ? "nothing" : fmt::format("{}", fmt::join(names, ", ")));
}

BundleConfig read_bundle_config(const fs::path& bundle) {
  const fs::path file = bundle / kConfig;
  if (!fs::exists(file)) throw DataError("{}: {} is missing; copy the bundle again", bundle.string(), kConfig);
  // A newer format may keep its checksums in another way, so the format is looked at first; whatever else is wrong with
  // the file, the checksums say it better.
  try {
    const nlohmann::json json = read_config_json(file);
    if (json.is_object() && json.contains("format")) {
      const int format = value_of<int>(json, "format", file.string());
      if (format > kFormat) return config_from_json(json, file.string());
    }
  } catch (const DataError&) {
    check_sums(bundle);
    throw;
  }
  check_sums(bundle);
  BundleConfig config = config_from_json(read_config_json(file), file.string());
  if (fs::exists(bundle / kDirectionsFile)) config.offer.directions = read_directions(bundle / kDirectionsFile).named;
  return config;
}

std::string bundle_sha256(const fs::path& bundle) { return sha256_file(bundle / kWeights); }

namespace {

/// A bundle of any kind: `kept` names the player whose weights are in model.safetensors.
LoadedGenerator load_any(const fs::path& bundle, BundleConfig config, const Catalogue& catalogue,
                         const at::Device& device) {
  LoadedGenerator loaded;
  loaded.config = std::move(config);
  const std::string where = (bundle / kConfig).string();
  const std::string kept = kept_player(loaded.config.kind);
  try {
    loaded.recipe = catalogue.make(loaded.config.recipe);
    Options options;
    loaded.recipe->bind(options);
    options.read_json(loaded.config.options, where + ", \"options\"");
    if (loaded.recipe->kind() != loaded.config.kind) {
      throw UsageError("its kind is \"{}\", but the recipe \"{}\" makes a {}", kind_name(loaded.config.kind),
                       loaded.config.recipe, kind_name(loaded.recipe->kind()));
    }
    const ImageSpec spec = image_spec(*loaded.recipe, loaded.config.size_px, loaded.config.conditions);
    loaded.recipe->validate(spec);
    at::Generator random = at::detail::createCPUGenerator(0);  // what it draws is overwritten
    loaded.players = loaded.recipe->make_players(spec, random);
  } catch (const UsageError& e) {
    // What a file says wrongly is no wrong question of the user's.
    throw DataError("{}: {}", where, e.what());
  }
  const std::string hint = loaded.recipe->hint();
  if (!fs::exists(bundle / kDiscriminator)) {
    std::erase_if(loaded.players, [&](const auto& player) { return player.first != kept; });
  }
  for (auto& [name, module] : loaded.players) {
    if (name != kept && name != "discriminator") continue;
    const fs::path file = bundle / (name == kept ? kWeights : kDiscriminator);
    tensor::load_state(*module, tensor::read_safetensors(file), file.string(), hint);
    module->to(device);
    module->eval();
  }
  return loaded;
}

}  // namespace

LoadedGenerator load_bundle(const fs::path& bundle, const Catalogue& catalogue, const at::Device& device) {
  BundleConfig config = read_bundle_config(bundle);
  if (is_judge(config.kind)) {
    throw UsageError("{}: is a {} (\"{}\"), which makes no images; give the bundle of a generator", bundle.string(),
                     kind_name(config.kind), config.name);
  }
  LoadedGenerator loaded = load_any(bundle, std::move(config), catalogue, device);
  generator_of(loaded.players);  // throws if the recipe has none
  return loaded;
}

LoadedJudge load_judge(const fs::path& bundle, Kind expected, const Catalogue& catalogue, const at::Device& device) {
  BundleConfig config = read_bundle_config(bundle);
  if (config.kind != expected) {
    throw UsageError("{}: is the bundle of the kind {} (recipe \"{}\"), the kind {} is expected; name another bundle",
                     bundle.string(), kind_name(config.kind), config.recipe, kind_name(expected));
  }
  LoadedGenerator loaded = load_any(bundle, std::move(config), catalogue, device);
  judge_of(loaded.players);  // throws if the recipe has none
  return {.config = std::move(loaded.config), .recipe = std::move(loaded.recipe), .players = std::move(loaded.players)};
}

}  // namespace derm::recipe
