#include <iostream>
#include <memory>
#include <optional>

#include <fmt/format.h>

#include "derm/base/error.h"
#include "derm/cli/judging.h"
#include "derm/cli/verbs.h"
#include "derm/evaluation/evaluate.h"
#include "derm/models/catalogue.h"
#include "derm/ranks/group.h"

namespace derm::cli {

namespace fs = std::filesystem;

namespace {

struct EvaluateFlags {
  std::string real, bundle, synthetic, run, out, command;
  std::string split = "validation", requests = "maps";
  DeviceFlags device;
  JudgingFlags judging;
  size_t count = 0;
  uint64_t seed = 0;
  bool control = false, json = false, keep_images = false, no_swd = false;
};

std::unique_ptr<generation::Engine> engine_of(const std::string& bundle, const DeviceFlags& device) {
  generation::EngineOptions options;
  options.bundle = bundle;
  options.device = device.device;
  options.precision = device.precision;
  options.threads = device.threads;
  return std::make_unique<generation::Engine>(options, models::catalogue());
}

/// Figures and their intervals as lines.
void print_control(const nlohmann::json& control) {
  std::vector<std::pair<std::string, std::string>> facts;
  const auto add = [&](const nlohmann::json& object, const std::string& prefix) {
    for (const auto& [name, value] : object.items()) {
      if (!value.is_number()) continue;
      std::string text = value.is_number_float() ? fmt::format("{:.3f}", value.get<double>()) : value.dump();
      const auto interval = object.find(name + "_interval");
      if (interval != object.end() && interval->is_array() && interval->size() == 2 && (*interval)[0].is_number() &&
          (*interval)[1].is_number()) {
        text += fmt::format("  ({:.3f} to {:.3f})", (*interval)[0].get<double>(), (*interval)[1].get<double>());
      }
      facts.emplace_back(prefix + name, text);
    }
  };
  add(control, "");
  if (control.contains("segmenter")) add(control.at("segmenter"), "segmenter: ");
  if (control.contains("condition")) {
    add(control.at("condition").at("synthetic"), "condition: ");
    if (control.at("condition").contains("photographs"))
      add(control.at("condition").at("photographs"), "condition, photographs: ");
  }
  print_facts(facts);
}

int run_control_alone(const EvaluateFlags& flags, ranks::Group* group) {
  if (flags.bundle.empty() == flags.synthetic.empty()) {
    throw UsageError(
        "dermgan evaluate --control: give a bundle (--bundle B), which is asked here, or a generated set (--synthetic "
        "S)");
  }
  evaluation::ControlReportOptions options;
  options.count = flags.count > 0 ? flags.count : options.count;
  options.seed = flags.seed;
  options.run = flags.run;
  options.group = group;
  options.judges = flags.judging.open_judges(flags.device.device, flags.device.threads);
  const evaluation::ControlResult result =
      flags.synthetic.empty()
          ? evaluation::write_control_report(*engine_of(flags.bundle, flags.device), options, flags.out)
          : evaluation::write_control_report(
                evaluation::ImageSet::synthetic(std::make_shared<data::DataSet>(data::DataSet::open(flags.synthetic))),
                options, flags.out);
  if (group && !group->leads()) return 0;
  if (flags.json) {
    print_json(result.to_json());
    return 0;
  }
  print_control(result.to_json());
  std::cout << fmt::format("\n{}\n", (fs::path(flags.out) / "report.html").string());
  return 0;
}

int run_evaluate(EvaluateFlags& flags) {
  if (flags.real.empty() && !flags.control) {
    throw UsageError(
        "dermgan evaluate: say what to measure; --real D compares with the photographs of a data set, --control "
        "measures "
        "asked against achieved");
  }
  if (flags.requests != "maps" && flags.requests != "novel")
    throw UsageError("dermgan evaluate: --requests {} is not known; maps and novel are", flags.requests);
  const std::unique_ptr<ranks::Group> group = join_ranks();
  if (group) flags.device.threads = static_cast<int>(ranks::threads_of(group->place(), flags.device.threads));
  if (flags.real.empty()) return run_control_alone(flags, group.get());
  if (flags.bundle.empty() == flags.synthetic.empty()) {
    throw UsageError(
        "dermgan evaluate: give what is compared with the photographs, either a bundle (--bundle B) or a generated set "
        "(--synthetic S)");
  }
  evaluation::EvaluateOptions options;
  options.real = flags.real;
  options.split = flags.split;
  options.synthetic = flags.synthetic;
  options.requests = flags.requests == "maps" ? evaluation::Requests::maps : evaluation::Requests::novel;
  options.count = flags.count;
  options.keep_images = flags.keep_images;
  options.study = flags.control;
  options.control.run = flags.run;
  options.seed = flags.seed;
  options.command = flags.command;
  options.group = group.get();
  options.cache = flags.judging.cache_folder();
  options.fidelity.lpips = flags.judging.lpips;
  options.fidelity.swd = !flags.no_swd;
  std::unique_ptr<generation::Engine> engine;
  if (!flags.bundle.empty()) engine = engine_of(flags.bundle, flags.device);
  options.engine = engine.get();
  options.fidelity.extractors = flags.judging.open_extractors(flags.device.device, flags.device.threads);
  options.control.judges = flags.judging.open_judges(flags.device.device, flags.device.threads);
  const evaluation::EvaluateResult result = evaluation::evaluate(options, flags.out);
  if (group && !group->leads()) return 0;
  if (flags.json) {
    print_json(result.json);
    return 0;
  }
  std::cout << evaluation::summary_text(result)
            << fmt::format("\n{}\n", (fs::path(flags.out) / "report.html").string());
  return 0;
}

}  // namespace

Verb add_evaluate(CLI::App& program, const std::string& command_line) {
  auto flags = std::make_shared<EvaluateFlags>();
  flags->command = command_line;
  CLI::App* app = program.add_subcommand(
      "evaluate", "Measure what a model makes: near to photographs, varied, as it was asked for");
  Verb verb{app, {}, [flags] { return run_evaluate(*flags); }};
  app->add_option("--real", flags->real, "A data set of photographs to compare with");
  app->add_option("--split", flags->split, "Which of them: validation, test, train")->capture_default_str();
  app->add_option("--bundle", flags->bundle, "A bundle, or a run (its best): asked here");
  app->add_option("--synthetic", flags->synthetic, "Or a generated set that is there already");
  verb.required.push_back(app->add_option("--out", flags->out, "Folder for report.html and its tables"));
  app->add_flag("--control", flags->control,
                "Sweeps and novel requests: skin colour, place, size and condition, asked against achieved");
  app->add_option("--requests", flags->requests,
                  "With --real: maps (those of the photographs) or novel (drawn within what the model has seen)")
      ->capture_default_str();
  app->add_option("--count", flags->count,
                  "How many images of a bundle (default: one a map, 1000 novel ones, 200 with --control alone)");
  app->add_option("--seed", flags->seed, "Of requests, subsets and halves")->capture_default_str();
  app->add_option("--run", flags->run, "A run whose loss curves and samples join the report");
  app->add_flag("--keep-images", flags->keep_images, "Keep the bundle's images beside the report");
  app->add_flag("--no-swd", flags->no_swd, "Leave the sliced Wasserstein distance out: it takes the longest");
  flags->judging.add(*app);
  flags->judging.add_more(*app);
  flags->device.add(*app);
  app->add_flag("--json", flags->json, "Print the figures as JSON");
  app->footer(
      "Example:\n  dermgan evaluate --real D --bundle runs/00000-dermgan-D-256 --control --out report\n"
      "  dermgan evaluate --real D --synthetic made --inception pt_inception-2015-12-05-6726825d.pth --out report\n"
      "  dermgan evaluate --control --bundle runs/00000-dermgan-D-256 --count 200 --out report");
  return verb;
}

}  // namespace derm::cli
