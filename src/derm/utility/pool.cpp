#include "derm/utility/pool.h"

#include <algorithm>
#include <numeric>

#include "derm/base/csv.h"
#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/base/log.h"
#include "derm/base/progress.h"
#include "derm/base/random.h"
#include "derm/generation/engine.h"
#include "derm/generation/output.h"
#include "derm/recipe/bundle.h"
#include "derm/training/train.h"
#include "derm/utility/classifier.h"

namespace derm::utility {
namespace {

constexpr const char* kDone = "trained.json";

nlohmann::json generator_of(const data::DataSet& set) {
  if (!set.facts().is_object()) return nlohmann::json::object();
  const nlohmann::json generator = set.facts().value("generator", nlohmann::json::object());
  return generator.is_object() ? generator : nlohmann::json::object();
}

/// SHA-256 of the bundle that made a set, as it says; "" if it does not.
std::string bundle_of(const data::DataSet& set) {
  const nlohmann::json generator = generator_of(set);
  const auto found = generator.find("bundle_sha256");
  return found != generator.end() && found->is_string() ? found->get<std::string>() : "";
}

/// The run that was begun in `runs` and has a checkpoint to go on from, or "".
fs::path begun_run(const fs::path& runs) {
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(runs, none))
    if (fs::exists(entry.path() / "latest" / "state.json")) return entry.path();
  return {};
}

/// What a generator is asked for: so many of each condition, drawn within what it has seen, balanced over size.
std::vector<data::Request> requests_for(const generation::Engine& engine, const std::vector<std::string>& conditions,
                                        const std::vector<int64_t>& needed, uint64_t seed) {
  const std::vector<std::string> heeds = engine.heeds();
  const bool heeds_condition = std::find(heeds.begin(), heeds.end(), "condition") != heeds.end();
  if (!heeds_condition && engine.conditions().size() != 1) {
    throw UsageError(
        "{}: it heeds no condition and learned from {} of them, so which its images show is not known; train it on one "
        "(generator.conditions)",
        engine.bundle_path(), engine.conditions().size());
  }
  std::vector<data::Request> requests;
  for (size_t k = 0; k < conditions.size(); ++k) {
    if (needed[k] == 0) continue;
    const auto& known = engine.conditions();
    if (std::find(known.begin(), known.end(), conditions[k]) == known.end()) {
      throw UsageError("{}: it makes {}, and {} images of {} are needed; take an arm that needs none (fill_conditions)",
                       engine.bundle_path(), fmt::join(known, ", "), needed[k], conditions[k]);
    }
    data::Offer offer = engine.offer();
    offer.conditions = {conditions[k]};
    const auto own = data::balanced_requests(static_cast<size_t>(needed[k]), {"size"}, offer, mix_seed(seed, k));
    requests.insert(requests.end(), own.begin(), own.end());
  }
  return requests;
}

}  // namespace

std::pair<nlohmann::json, std::string> generator_facts(const PoolSource& source) {
  if (source.synthetic.empty())
    return {recipe::read_bundle_config(recipe::find_bundle(source.bundle)).training, source.bundle.string()};
  const data::DataSet set = data::DataSet::open(source.synthetic);
  const nlohmann::json generator = generator_of(set);
  if (source.bundle.empty())
    return {generator.value("learned_from", nlohmann::json::object()), source.synthetic.string()};
  const fs::path bundle = recipe::find_bundle(source.bundle);
  const std::string made_by = bundle_of(set), vouches = recipe::bundle_sha256(bundle);
  if (made_by != vouches)
    throw UsageError("{}: it was made by the bundle {}, and {} is {}; name the one that made it",
                     source.synthetic.string(), made_by.empty() ? "that it does not name" : made_by.substr(0, 12),
                     source.bundle.string(), vouches.substr(0, 12));
  return {recipe::read_bundle_config(bundle).training, source.synthetic.string()};
}

fs::path trained_generator(const GeneratorOptions& options, const PoolSource& source, const fs::path& folder,
                           int64_t seed, const recipe::Catalogue& catalogue, const std::string& command) {
  const fs::path runs = folder / "runs";
  if (fs::exists(folder / kDone))
    return runs / nlohmann::json::parse(read_file(folder / kDone)).at("run").get<std::string>();
  training::TrainOutcome outcome;
  if (const fs::path begun = begun_run(runs); !begun.empty()) {
    outcome = training::resume(begun, {}, catalogue, command);
  } else {
    fs::remove_all(runs);  // of one that was stopped before its first checkpoint
    training::TrainOptions train;
    const std::unique_ptr<recipe::Recipe> recipe = catalogue.make(options.recipe);
    Options all;
    train.bind(all);
    all.section("model", *recipe);
    for (const std::string& assignment : options.set) all.set(assignment);
    train.recipe = options.recipe;
    train.data = (folder / "data").string();
    train.out = runs.string();
    train.kimg = options.kimg;
    train.minutes = options.minutes;
    train.size_px = options.size_px;
    train.conditions = options.conditions;
    train.init_from = options.init_from;
    train.seed = seed;
    train.compute.device = source.device;
    train.compute.threads = source.threads;
    train.validate();
    outcome = training::train(train, *recipe, catalogue, command);
  }
  if (outcome.interrupted) throw Interrupted();
  write_file(
      folder / kDone,
      nlohmann::json{{"run", outcome.run.filename().string()}, {"steps", outcome.steps}, {"kimg", outcome.kimg}}.dump(
          2) +
          "\n");
  return outcome.run;
}

std::vector<at::Tensor> decoded(const evaluation::ImageSet& set, const std::string& label) {
  std::vector<at::Tensor> pixels;
  Progress progress(label, static_cast<double>(set.size()), "images");
  set.stream([&](size_t first, const std::vector<image::Image>& images) {
    for (const image::Image& image : images) pixels.push_back(pixels_of(image));
    progress.update(static_cast<double>(first + images.size()));
  });
  progress.finish();
  return pixels;
}

Pool open_pool(const PoolSource& source, const fs::path& folder, const std::vector<std::string>& conditions,
               const std::vector<int64_t>& needed, int size_px, uint64_t seed, const recipe::Catalogue& catalogue) {
  fs::path root = source.synthetic;
  std::string only_condition;  // of a generator that heeds none
  if (root.empty()) {
    root = folder / "synthetic";
    generation::EngineOptions options;
    options.bundle = source.bundle;
    options.device = source.device;
    options.threads = source.threads;
    generation::Engine engine(options, catalogue);
    if (engine.conditions().size() == 1) only_condition = engine.conditions().front();
    if (!fs::exists(root / "dataset.json") || bundle_of(data::DataSet::open(root)) != engine.bundle_sha256()) {
      fs::remove_all(root);
      generation::write_generated_set(engine, requests_for(engine, conditions, needed, seed), root);
    }
  }
  const auto data = std::make_shared<data::DataSet>(data::DataSet::open(root));
  if (source.synthetic.empty() && data->facts().contains("complete") && data->facts().at("complete") == false) {
    fs::remove_all(root);  // an interrupt kept what there was; the rest is made anew
    return open_pool(source, folder, conditions, needed, size_px, seed, catalogue);
  }
  evaluation::ImageSet set = evaluation::ImageSet::synthetic(data);
  std::vector<std::vector<size_t>> rows(conditions.size());
  for (size_t i = 0; i < set.size(); ++i) {
    const std::string& shown = set.items()[i].condition.empty() ? only_condition : set.items()[i].condition;
    const auto found = std::find(conditions.begin(), conditions.end(), shown);
    if (found != conditions.end()) rows[static_cast<size_t>(found - conditions.begin())].push_back(i);
  }
  Pool pool{.pixels = std::vector<std::vector<at::Tensor>>(conditions.size()), .name = root.string()};
  std::vector<size_t> wanted;
  for (size_t k = 0; k < conditions.size(); ++k) {
    if (static_cast<int64_t>(rows[k].size()) < needed[k]) {
      throw DataError("{}: it has {} images of {}, and {} are needed; make more, or take smaller ratios (arms)",
                      root.string(), rows[k].size(), conditions[k], needed[k]);
    }
    // A set may be sorted; arms take the first so many of this order.
    Rng(mix_seed(seed, 1000 + k)).shuffle(rows[k]);
    rows[k].resize(static_cast<size_t>(needed[k]));
    wanted.insert(wanted.end(), rows[k].begin(), rows[k].end());
  }
  evaluation::ImageSet part = set.subset(wanted);
  part.reduce_to(size_px);
  const std::vector<at::Tensor> pixels = decoded(part, "synthetic images");
  size_t next = 0;
  for (size_t k = 0; k < conditions.size(); ++k)
    for (size_t i = 0; i < rows[k].size(); ++i) pool.pixels[k].push_back(pixels[next++]);
  return pool;
}

}  // namespace derm::utility
