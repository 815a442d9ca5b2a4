#include <filesystem>
#include <iostream>
#include <memory>

#include <fmt/format.h>

#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/cli/judging.h"
#include "derm/cli/verbs.h"
#include "derm/explore/directions.h"
#include "derm/explore/interpolate.h"
#include "derm/explore/map.h"
#include "derm/explore/project.h"
#include "derm/explore/truncation.h"
#include "derm/generation/output.h"
#include "derm/judges/judge.h"
#include "derm/models/catalogue.h"
#include "derm/recipe/directions.h"

namespace derm::cli {

namespace fs = std::filesystem;

namespace {

/// What all parts have.
struct Common {
  std::string bundle, out, command;
  DeviceFlags device;
  bool json = false;

  generation::EngineOptions engine() const {
    generation::EngineOptions options;
    options.bundle = bundle;
    options.device = device.device;
    options.precision = device.precision;
    options.threads = device.threads;
    return options;
  }
  explore::Model open() const { return {engine(), models::catalogue()}; }
  void add(CLI::App& app, std::vector<CLI::Option*>& needed) {
    needed.push_back(app.add_option("--bundle", bundle, "A bundle, or a run (its best)"));
    needed.push_back(app.add_option("--out", out, "The folder to write"));
    device.add(app);
    app.add_flag("--json", json, "Print what was found as JSON");
  }
};

std::vector<std::string> words(const std::string& text) {
  std::vector<std::string> result;
  for (size_t at = 0; !text.empty() && at <= text.size();) {
    const size_t end = std::min(text.find(',', at), text.size());
    result.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return result;
}

struct InterpolateFlags : Common {
  std::vector<uint64_t> seeds;
  std::string conditions, from, to;
  int frames = 24, delay_ms = 60;
  bool loop = false;
  double psi = 1;
};

int run_interpolate(const InterpolateFlags& flags) {
  NewDirectory directory(flags.out);
  const explore::Model model = flags.open();
  const bool by_request = !flags.from.empty() || !flags.to.empty();
  if (by_request == !flags.seeds.empty()) {
    throw UsageError(
        "dermgan explore interpolate: give either seeds (--seeds 1,2,3) or two requests (--from ... --to ...){}",
        model.space() == explore::Space::map ? "; this model takes requests" : "; this model takes seeds");
  }
  if (by_request && (flags.from.empty() || flags.to.empty()))
    throw UsageError("dermgan explore interpolate: a way between requests has two ends, --from and --to");
  if (by_request && (flags.psi != 1 || !flags.conditions.empty()))
    throw UsageError("dermgan explore interpolate: --psi and --conditions go with --seeds");
  std::vector<image::Image> frames;
  nlohmann::ordered_json facts = {
      {"bundle_sha256", model.sha256()}, {"recipe", model.recipe_name()}, {"space", model.space_name()}};
  if (by_request) {
    const data::Request a = explore::request_of_text(flags.from, model.offer()),
                        b = explore::request_of_text(flags.to, model.offer());
    frames = explore::images_between(model, a, b, flags.frames, flags.loop);
    facts["from"] = data::to_json(a);
    facts["to"] = data::to_json(b);
  } else {
    explore::PathOptions options;
    options.seeds = flags.seeds;
    options.conditions = words(flags.conditions);
    options.frames = flags.frames;
    options.loop = flags.loop;
    options.psi = flags.psi;
    frames = explore::walk(model, options);
    facts["seeds"] = flags.seeds;
    facts["conditions"] = options.conditions;
    facts["psi"] = flags.psi;
  }
  facts["frames"] = frames.size();
  facts["delay_ms"] = flags.delay_ms;
  facts["loop"] = flags.loop;
  facts["command"] = flags.command;
  explore::write_frames(directory.path(), frames, flags.delay_ms, explore::marks_of(model));
  write_file(directory.path() / "interpolation.json", facts.dump(2) + "\n");
  directory.commit();
  if (flags.json)
    print_json(facts);
  else
    std::cout << (fs::path(flags.out) / "animation.png").string() << '\n';
  return 0;
}

struct DirectionsFlags : Common {
  explore::DirectionsOptions options;
  std::string layers;
  JudgingFlags judging;
  bool into_bundle = false;
};

std::pair<int64_t, int64_t> layers_of(const std::string& text) {
  if (text.empty()) return {0, -1};
  const size_t dash = text.find('-');
  const auto number = [&](const std::string& part) -> int64_t {
    if (part.empty() || part.size() > 4 ||
        !std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; }))
      throw UsageError("--layers {}: FIRST-LAST is expected, for example 0-3", text);
    return std::stoll(part);
  };
  if (dash == std::string::npos) return {number(text), number(text)};
  return {number(text.substr(0, dash)), number(text.substr(dash + 1))};
}

int run_directions(DirectionsFlags& flags) {
  flags.options.layers = layers_of(flags.layers);
  const explore::Model model = flags.open();
  const explore::Gauge gauge =
      explore::skin_gauge(flags.judging.open_judges(flags.device.device, flags.device.threads));
  const explore::Directions found =
      explore::write_directions_report(model, gauge, flags.options, flags.command, flags.out);
  if (flags.into_bundle) explore::write_directions(model.bundle() / recipe::kDirectionsFile, found);
  if (flags.json) {
    print_json(found.to_json());
    return 0;
  }
  for (size_t i = 0; i < found.directions.size(); ++i)
    std::cout << fmt::format("{:>3}  {}\n", i + 1, found.directions[i].name);
  std::cout << fmt::format("\n{}\n", (fs::path(flags.out) / "report.html").string());
  return 0;
}

struct ProjectFlags : Common {
  explore::ProjectOptions options;
  std::string photo, by = "auto", lpips, judges;
};

int run_project(const ProjectFlags& flags) {
  if (flags.by != "auto" && flags.by != "lpips" && flags.by != "encoder")
    throw UsageError("--by {}: it is not known; auto, lpips and encoder are", flags.by);
  if (flags.by == "lpips" && flags.lpips.empty()) throw UsageError("--by lpips: name its weights with --lpips FILE");
  const explore::Model model = flags.open();
  const at::Tensor target = explore::photograph_tensor(flags.photo, model.size_px());
  const bool lpips = flags.by == "lpips" || (flags.by == "auto" && !flags.lpips.empty());
  const explore::Distance distance =
      lpips ? explore::lpips_distance(flags.lpips, target)
            : explore::encoder_distance(judges::find_judge(judges::kSkinEncoder, flags.judges), models::catalogue(),
                                        target);
  const explore::Projection p =
      explore::write_projection(model, flags.photo, distance, flags.options, flags.command, flags.out);
  if (flags.json) {
    print_json(nlohmann::ordered_json::parse(read_file(fs::path(flags.out) / "projection.json")));
    return 0;
  }
  print_facts({{"distance", distance.name},
               {"random images, median", fmt::format("{:.4f}", p.random)},
               {"start", fmt::format("{:.4f}", p.start)},
               {"projection", fmt::format("{:.4f}", p.end)}});
  std::cout << fmt::format("\n{}\n", (fs::path(flags.out) / "side-by-side.png").string());
  return 0;
}

struct MapFlags : Common {
  std::string real, split = "validation", synthetic;
  JudgingFlags judging;
  explore::MapOptions options;
};

int run_map(MapFlags& flags) {
  if (flags.bundle.empty() == flags.synthetic.empty()) {
    throw UsageError(
        "dermgan explore map: give what stands beside the photographs, either a bundle (--bundle B) or a generated set "
        "(--synthetic S)");
  }
  flags.options.command = flags.command;
  const auto photographs = std::make_shared<data::DataSet>(data::DataSet::open(flags.real));
  const evaluation::ImageSet real = evaluation::ImageSet::real(photographs, {flags.split});
  const std::shared_ptr<metrics::Extractor> extractor =
      flags.judging.open_extractors(flags.device.device, flags.device.threads).front();
  fs::path folder = flags.synthetic, temporary;
  if (!flags.bundle.empty()) {
    NewDirectory check(flags.out);  // refuses before the images are made
    generation::Engine engine(flags.engine(), models::catalogue());
    temporary = fs::path(flags.out);
    if (!temporary.has_filename()) temporary = temporary.parent_path();
    temporary += ".images";
    generation::write_generated_set(
        engine,
        data::balanced_requests(std::min(flags.options.count, real.size()), {"condition", "tone", "size"},
                                engine.offer(), flags.options.seed),
        temporary);
    folder = temporary;
  }
  struct Sweeper {
    fs::path folder;
    ~Sweeper() {
      std::error_code ignored;
      if (!folder.empty()) fs::remove_all(folder, ignored);
    }
  } sweeper{temporary};
  const explore::MapResult result = explore::write_map(
      real, evaluation::ImageSet::synthetic(std::make_shared<data::DataSet>(data::DataSet::open(folder))), *extractor,
      evaluation::FeatureCache(flags.judging.cache_folder()), flags.options, flags.out);
  if (flags.json) {
    print_json(result.json);
    return 0;
  }
  print_facts({{"images of each", std::to_string(result.photographs)},
               {"nearest neighbour of their own kind", fmt::format("{:.3f}", result.neighbours.accuracy)},
               {"divergence, nats", fmt::format("{:.3f}", result.map.divergence)}});
  std::cout << fmt::format("\n{}\n", (fs::path(flags.out) / "report.html").string());
  return 0;
}

struct TruncationFlags : Common {
  std::string psi = "0..1:6", real, split = "validation";
  JudgingFlags judging;
  explore::TruncationOptions options;
};

int run_truncation(TruncationFlags& flags) {
  flags.options.psis = explore::parse_numbers(flags.psi, "--psi");
  flags.options.command = flags.command;
  const explore::Model model = flags.open();
  std::optional<evaluation::ImageSet> real;
  evaluation::FidelityOptions fidelity;
  if (!flags.real.empty()) {
    real = evaluation::ImageSet::real(std::make_shared<data::DataSet>(data::DataSet::open(flags.real)), {flags.split});
    fidelity.extractors = flags.judging.open_extractors(flags.device.device, flags.device.threads);
    fidelity.lpips = flags.judging.lpips;
  }
  explore::write_truncation(model, flags.options, real, fidelity,
                            evaluation::FeatureCache(flags.judging.cache_folder()), flags.out);
  if (flags.json)
    print_json(nlohmann::ordered_json::parse(read_file(fs::path(flags.out) / "truncation.json")));
  else
    std::cout << (fs::path(flags.out) / "report.html").string() << '\n';
  return 0;
}

}  // namespace

Verb add_explore(CLI::App& program, const std::string& command_line) {
  CLI::App* app = program.add_subcommand(
      "explore", "Look around in a model: interpolation, directions, projection, a map, truncation");
  app->footer(
      "dermgan explore PART --help tells more about a part.\n"
      "Example:\n  dermgan explore directions --bundle runs/00000-stylegan2-D-256 --out directions");
  using Needed = std::vector<CLI::Option*>;

  auto way = std::make_shared<InterpolateFlags>();
  Needed way_needed;
  CLI::App* interpolate = app->add_subcommand("interpolate", "From one image to another, as frames and an animation");
  way->command = command_line;
  way->add(*interpolate, way_needed);
  interpolate->add_option("--seeds", way->seeds, "The stops, for a model with a latent: 1,2,3")->delimiter(',');
  interpolate->add_option("--conditions", way->conditions,
                          "Of the stops, where the model has classes: one, or one a stop");
  interpolate->add_option("--from", way->from, "The first request, for a model that paints from a map");
  interpolate->add_option("--to", way->to, "The last request: condition=nevus,skin=ita:20,size=0.3,x=0.4,seed=1");
  interpolate->add_option("--frames", way->frames, "From one stop to the next")->capture_default_str();
  interpolate->add_option("--delay", way->delay_ms, "Milliseconds that a frame is shown")->capture_default_str();
  interpolate->add_flag("--loop", way->loop, "Back to the first, so that the animation closes");
  interpolate->add_option("--psi", way->psi, "Truncation, for a model with styles")->capture_default_str();
  interpolate->footer(
      "Example:\n  dermgan explore interpolate --bundle runs/00000-stylegan2-D-256 --seeds 1,2,3 --loop --out way\n"
      "  dermgan explore interpolate --bundle B --from skin=ita:50,size=0.2 --to skin=ita:10,size=0.5 --out way");

  auto finding = std::make_shared<DirectionsFlags>();
  Needed finding_needed;
  CLI::App* directions = app->add_subcommand(
      "directions", "Directions by closed-form factorisation, each named by what it does to skin and lesion");
  finding->command = command_line;
  finding->add(*directions, finding_needed);
  directions->add_option("--count", finding->options.count, "How many")->capture_default_str();
  directions->add_option("--layers", finding->layers,
                         "Of the styles, FIRST-LAST: 0-3 moves coarse ones (default: all)");
  directions->add_option("--condition", finding->options.condition, "Where the model has classes (default: the first)");
  directions->add_option("--seeds", finding->options.seeds, "Images that each direction is tried on")
      ->capture_default_str();
  directions->add_option("--strengths", finding->options.strengths, "Steps from one end to the other, odd")
      ->capture_default_str();
  directions->add_option("--range", finding->options.range, "Deviations of the space to either side")
      ->capture_default_str();
  directions->add_option("--psi", finding->options.psi, "Truncation of the images that are moved")
      ->capture_default_str();
  directions->add_option("--seed", finding->options.seed, "The first of the seeds")->capture_default_str();
  directions->add_option("--judges", finding->judging.judges, "Folder of the judges (segmenter, classifier-clinical)");
  directions->add_flag("--fast", finding->judging.fast, "Judges in bf16 where the processor gains from it");
  directions->add_flag("--into-bundle", finding->into_bundle, "Write directions.safetensors into the bundle as well");
  directions->footer("Example:\n  dermgan explore directions --bundle runs/00000-stylegan2-D-256 --out directions");

  auto projecting = std::make_shared<ProjectFlags>();
  Needed projecting_needed;
  CLI::App* project = app->add_subcommand("project", "The latent whose image comes nearest to a photograph");
  projecting->command = command_line;
  projecting->add(*project, projecting_needed);
  projecting_needed.push_back(
      project->add_option("--photo", projecting->photo, "A PNG or JPEG; its middle square is taken"));
  project->add_option("--by", projecting->by, "lpips, encoder, or auto (lpips where --lpips is given)")
      ->capture_default_str();
  project->add_option("--lpips", projecting->lpips, "Weights of LPIPS (SqueezeNet, version 0.1)");
  project->add_option("--judges", projecting->judges, "Folder of the judges (skin-encoder)");
  project->add_option("--steps", projecting->options.steps, "Of the search")->capture_default_str();
  project->add_option("--rate", projecting->options.rate, "Step in deviations of the space")->capture_default_str();
  project->add_option("--starts", projecting->options.starts, "Points among which the first is chosen")
      ->capture_default_str();
  project->add_flag("--each-layer", projecting->options.each_layer, "A style for each layer instead of one for all");
  project->add_option("--condition", projecting->options.condition, "Where the model has classes (default: the first)");
  project->add_option("--seed", projecting->options.seed, "Of starts and noise")->capture_default_str();
  project->footer(
      "The pictures show your photograph: pass them on only where it may go.\n"
      "Example:\n  dermgan explore project --bundle runs/00000-stylegan2-D-256 --photo photo.jpg --lpips FILE --out "
      "projection");

  auto mapping = std::make_shared<MapFlags>();
  Needed mapping_needed;
  CLI::App* map = app->add_subcommand("map", "Photographs and synthetic images in an extractor's space, by t-SNE");
  mapping->command = command_line;
  mapping_needed.push_back(map->add_option("--real", mapping->real, "A data set of photographs"));
  map->add_option("--split", mapping->split, "Which of them: validation, test, train")->capture_default_str();
  map->add_option("--bundle", mapping->bundle, "A bundle, or a run (its best): asked here");
  map->add_option("--synthetic", mapping->synthetic, "Or a generated set that is there already");
  mapping_needed.push_back(map->add_option("--out", mapping->out, "The folder to write"));
  map->add_option("--count", mapping->options.count, "At most so many of each")->capture_default_str();
  map->add_option("--perplexity", mapping->options.tsne.perplexity, "Neighbours that a point has, about")
      ->capture_default_str();
  map->add_option("--iterations", mapping->options.tsne.iterations, "Of t-SNE")->capture_default_str();
  map->add_option("--seed", mapping->options.seed, "Of the choice of images")->capture_default_str();
  mapping->judging.add(*map);
  mapping->judging.add_more(*map);
  mapping->device.add(*map);
  map->add_flag("--json", mapping->json, "Print what was found as JSON");
  map->footer("Example:\n  dermgan explore map --real D --bundle runs/00000-dermgan-D-256 --out map");

  auto sweeping = std::make_shared<TruncationFlags>();
  Needed sweeping_needed;
  CLI::App* truncation = app->add_subcommand("truncation", "What truncation costs and gives, for a model with styles");
  sweeping->command = command_line;
  sweeping->add(*truncation, sweeping_needed);
  truncation->add_option("--psi", sweeping->psi, "0..1:6 or 0.3,0.7,1")->capture_default_str();
  truncation->add_option("--shown", sweeping->options.shown, "Seeds of the sheet")->capture_default_str();
  truncation->add_option("--real", sweeping->real, "A data set of photographs: fidelity and variety at each psi too");
  truncation->add_option("--split", sweeping->split, "Which of them: validation, test, train")->capture_default_str();
  truncation->add_option("--count", sweeping->options.count,
                         "Images measured at each psi (default: as many as photographs)");
  truncation->add_option("--condition", sweeping->options.condition, "Where the model has classes");
  truncation->add_option("--seed", sweeping->options.seed, "The first of the seeds")->capture_default_str();
  sweeping->judging.add(*truncation);
  sweeping->judging.add_more(*truncation);
  truncation->footer(
      "Example:\n  dermgan explore truncation --bundle runs/00000-stylegan2-D-256 --real D --psi 0.4..1:4 --out "
      "truncation");

  const auto require = [](const CLI::App& part, const Needed& options) {
    const std::string where = "dermgan explore " + part.get_name();
    for (const CLI::Option* option : options) {
      if (option->count() == 0) throw UsageError("{}: {} is missing; see {} --help", where, option->get_name(), where);
    }
  };
  return {app, {}, [=]() -> int {
            if (interpolate->parsed()) {
              require(*interpolate, way_needed);
              return run_interpolate(*way);
            }
            if (directions->parsed()) {
              require(*directions, finding_needed);
              return run_directions(*finding);
            }
            if (project->parsed()) {
              require(*project, projecting_needed);
              return run_project(*projecting);
            }
            if (map->parsed()) {
              require(*map, mapping_needed);
              return run_map(*mapping);
            }
            if (truncation->parsed()) {
              require(*truncation, sweeping_needed);
              return run_truncation(*sweeping);
            }
            throw UsageError(
                "dermgan explore: interpolate, directions, project, map or truncation is expected; see dermgan explore "
                "--help");
          }};
}

}  // namespace derm::cli
