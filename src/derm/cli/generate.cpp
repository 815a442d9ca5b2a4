#include <iostream>
#include <memory>
#include <sstream>

#include <fmt/format.h>

#include "derm/base/csv.h"
#include "derm/base/error.h"
#include "derm/base/log.h"
#include "derm/base/random.h"
#include "derm/cli/verbs.h"
#include "derm/data/plan.h"
#include "derm/generation/engine.h"
#include "derm/generation/output.h"
#include "derm/image/codec.h"
#include "derm/models/catalogue.h"
#include "derm/ranks/group.h"
#include "derm/recipe/bundle.h"

namespace derm::cli {

namespace fs = std::filesystem;

namespace {

struct GenerateFlags {
  std::string bundle, out, plan, balance;
  data::Wish wish;
  std::vector<std::string> sweeps;
  size_t count = 0;
  double truncation = 1;
  DeviceFlags device;
  bool json = false;
};

std::vector<std::string> words(const std::string& text) {
  std::vector<std::string> out;
  std::istringstream in(text);
  for (std::string word; std::getline(in, word, ',');) {
    if (!word.empty()) out.push_back(word);
  }
  return out;
}

void check_combination(const GenerateFlags& flags) {
  const bool many = flags.count > 0 || !flags.plan.empty() || !flags.balance.empty();
  if (flags.sweeps.size() > 2) {
    throw UsageError("dermgan generate: {} sweeps are given, a grid has two sides; give one or two, or write a --plan",
                     flags.sweeps.size());
  }
  if (!flags.sweeps.empty() && many) {
    throw UsageError(
        "dermgan generate: --sweep makes a grid and does not go with --count, --plan or --balance; leave one out");
  }
  if (!flags.plan.empty() && !flags.balance.empty()) {
    throw UsageError("dermgan generate: --plan says what is made, and so does --balance; leave one out");
  }
  if (!flags.balance.empty() && flags.count == 0) {
    throw UsageError("dermgan generate: --balance needs --count, the number of images to spread");
  }
}

/// Without a sweep: one request, one wish under many seeds, a plan, or a balanced draw.
std::vector<data::Request> requests_of(const GenerateFlags& flags, const data::Offer& offer) {
  if (!flags.balance.empty()) return data::balanced_requests(flags.count, words(flags.balance), offer, flags.wish.seed);
  if (!flags.plan.empty()) {
    std::vector<data::Request> planned = data::read_plan(flags.plan, offer);
    if (flags.count == 0) return planned;
    // The plan is gone through again and again; from the second round on under fresh seeds.
    std::vector<data::Request> requests;
    for (size_t i = 0; i < flags.count; ++i) {
      requests.push_back(planned[i % planned.size()]);
      const size_t round = i / planned.size();
      if (round > 0) requests.back().seed = mix_seed(requests.back().seed, round);
    }
    return requests;
  }
  std::vector<data::Request> requests;
  data::Wish wish = flags.wish;
  for (size_t i = 0; i < std::max<size_t>(flags.count, 1); ++i, ++wish.seed)
    requests.push_back(data::make_request(wish, offer));
  return requests;
}

/// What the flags ask for, by flag, with what a model has to be told for it.
void check_heeded(const GenerateFlags& flags, const recipe::BundleConfig& config, const fs::path& bundle) {
  const std::unique_ptr<recipe::Recipe> recipe = models::catalogue().make(config.recipe);
  Options options;
  recipe->bind(options);
  options.read_json(config.options, bundle.string());
  const recipe::Needs needs = recipe->needs();
  if (needs.map) return;
  const bool condition = needs.label || config.offer.conditions.size() == 1;
  const auto refuse = [&](const std::string& asked) {
    throw UsageError("{}: {} was asked for, but {} makes images from noise{}; leave it out{}", bundle.string(), asked,
                     config.recipe, needs.label ? " and the condition alone" : " alone",
                     needs.label ? "" : ", and ask for others by --seed");
  };
  const data::Wish& w = flags.wish;
  const std::pair<const char*, bool> asked[] = {{"--skin", !w.skin.empty()},
                                                {"--size", !w.size.empty()},
                                                {"--x", !w.x.empty()},
                                                {"--y", !w.y.empty()},
                                                {"--aspect", !w.aspect.empty()},
                                                {"--shape", !w.shape.empty()},
                                                {"--mask", !w.mask_file.empty()},
                                                {"--region", !w.regions.empty()},
                                                {"--condition", !w.condition.empty() && !condition}};
  for (const auto& [flag, given] : asked)
    if (given) refuse(flag);
  const auto heeded = [&](const std::string& key) {
    return key == "seed" || key == "count" || (key == "condition" && condition);
  };
  for (const std::string& sweep : flags.sweeps)
    if (const std::string key = sweep.substr(0, sweep.find('=')); !heeded(key)) refuse("a sweep of the " + key);
  for (const std::string& word : words(flags.balance))
    if (!heeded(word)) refuse("a balance of the " + word);
  if (!flags.plan.empty()) {
    const CsvTable plan = CsvTable::read(flags.plan);  // a temporary in the loop's head would be gone before its body
    for (const std::string& column : plan.header())
      if (!heeded(column)) refuse(fmt::format("\"{}\" in {}", column, flags.plan));
  }
}

void warn_of_extrapolation(const std::vector<data::Request>& requests, const data::Offer& offer) {
  size_t outside = 0;
  for (const data::Request& request : requests) outside += request.extrapolated;
  if (outside == 0) return;
  log_warning(
      "{} of {} images ask for a skin colour beyond what the model has seen (ITA {:.0f} to {:.0f}); they are marked as "
      "extrapolated",
      outside, requests.size(), offer.locus.low_ita(), offer.locus.high_ita());
}

int run_generate(GenerateFlags& flags) {
  check_combination(flags);
  const fs::path bundle = recipe::find_bundle(flags.bundle);
  // What is asked is checked before the model is loaded.
  const recipe::BundleConfig config = recipe::read_bundle_config(bundle);
  const data::Offer& offer = config.offer;
  check_heeded(flags, config, bundle);
  std::vector<data::Sweep> sweeps;
  for (const std::string& text : flags.sweeps) sweeps.push_back(data::parse_sweep(text, offer));
  std::vector<data::Request> requests;
  if (sweeps.empty()) {
    requests = requests_of(flags, offer);
  } else {
    for (const auto& row : generation::plan_grid(offer, flags.wish, sweeps).rows)
      requests.insert(requests.end(), row.begin(), row.end());
  }
  for (const data::Request& request : requests) data::validate(request, offer.conditions);
  const fs::path out = flags.out;
  const bool one_file = sweeps.empty() && requests.size() == 1 && out.extension() == ".png";
  if (!one_file && out.extension() == ".png") {
    throw UsageError("{}: {} images do not go into one file; name a folder as --out", out.string(), requests.size());
  }
  warn_of_extrapolation(requests, offer);

  const bool many = sweeps.empty() && !one_file;
  const std::unique_ptr<ranks::Group> group = join_ranks();
  if (group && !group->leads() && !many) return 0;  // there is nothing to share
  generation::EngineOptions options;
  options.bundle = bundle;
  options.device = flags.device.device;
  options.precision = flags.device.precision;
  options.threads =
      group ? static_cast<int>(ranks::threads_of(group->place(), flags.device.threads)) : flags.device.threads;
  options.truncation = flags.truncation;
  generation::Engine engine(options, models::catalogue());

  fs::path look = out;
  if (!sweeps.empty()) {
    generation::write_grid(engine, flags.wish, sweeps, out);
    look = out / "grid.png";
  } else if (one_file) {
    image::write_png(out, engine.generate(requests[0]), generation::provenance(requests[0], engine));
  } else {
    generation::write_generated_set(engine, requests, out, group.get());
  }
  if (group && !group->leads()) return 0;
  if (flags.json) {
    nlohmann::json answer{{"out", out.string()},
                          {"images", requests.size()},
                          {"bundle", bundle.string()},
                          {"bundle_sha256", engine.bundle_sha256()}};
    if (!sweeps.empty()) answer["grid"] = look.string();
    if (sweeps.empty() && requests.size() == 1) answer["request"] = data::to_json(requests[0]);
    print_json(answer);
  } else {
    std::cout << look.string() << '\n';
  }
  return 0;
}

}  // namespace

Verb add_generate(CLI::App& program) {
  auto flags = std::make_shared<GenerateFlags>();
  data::Wish& w = flags->wish;
  CLI::App* app = program.add_subcommand("generate", "Make images to order: one, a grid, or many after a plan");
  Verb verb{app, {}, [flags] { return run_generate(*flags); }};
  verb.required.push_back(app->add_option("--bundle", flags->bundle, "A bundle, or a run (its best)"));
  verb.required.push_back(
      app->add_option("--out", flags->out, "FILE.png for one image, else a folder that does not exist yet"));
  app->add_option("--condition", w.condition, "One of the bundle's conditions (dermgan info BUNDLE lists them)");
  app->add_option("--skin", w.skin, "Skin colour: '#rrggbb', ita:25, monk:6, like:photo.jpg");
  app->add_option("--size", w.size, "Long side of the lesion over the image's side");
  app->add_option("--x", w.x, "Centre of the lesion from the left, 0 to 1");
  app->add_option("--y", w.y, "Centre of the lesion from the top, 0 to 1");
  app->add_option("--aspect", w.aspect, "Width of the lesion over its height");
  app->add_option("--shape", w.shape, "box, ellipse, blob");
  app->add_option("--mask", w.mask_file, "The lesion's outline as an image, white inside");
  add_repeatable(*app, "--region", w.regions, "A further lesion: condition=nevus,x=0.3,y=0.3,size=0.1,shape=ellipse");
  app->add_option("--seed", w.seed, "The same request and seed give the same image")->capture_default_str();
  add_repeatable(*app, "--direction", w.directions,
                 "Along a latent direction of the bundle (explore directions): 1=2.5, the first by 2.5 deviations");
  app->add_option("--truncation", flags->truncation,
                  "Of a stylegan2: below 1 nearer to the average of the condition, less varied and cleaner")
      ->capture_default_str();
  add_repeatable(*app, "--sweep", flags->sweeps,
                 "KEY=VALUES, once or twice for a grid: size=0.1..0.6:6, skin=ita:-20..50:5, condition=*");
  app->add_option("--count", flags->count, "How many images")->check(CLI::Range(size_t{1}, size_t{10'000'000}));
  app->add_option("--plan", flags->plan,
                  "plan.csv, a request a row; with --count it is gone through as often as it takes");
  app->add_option("--balance", flags->balance, "With --count: drawn at random, even over condition,tone,size");
  flags->device.add(*app);
  app->add_flag("--json", flags->json, "Print what was made as JSON");
  app->footer(
      "Example:\n  dermgan generate --bundle B --condition melanoma --skin ita:25 --size 0.3 --out one.png\n"
      "  dermgan generate --bundle B --sweep condition=* --sweep skin=ita:-20..50:5 --out grid\n"
      "  dermgan generate --bundle B --count 2000 --balance condition,tone --out made");
  return verb;
}

}  // namespace derm::cli
