#include <algorithm>
#include <iostream>
#include <memory>

#include <fmt/format.h>

#include "derm/base/error.h"
#include "derm/cli/judging.h"
#include "derm/cli/verbs.h"
#include "derm/evaluation/compare.h"
#include "derm/models/catalogue.h"
#include "derm/utility/compare.h"

namespace derm::cli {

namespace fs = std::filesystem;

namespace {

struct CompareFlags {
  std::vector<std::string> sources;
  std::string real, out, command, split = "validation", requests = "maps";
  DeviceFlags device;
  JudgingFlags judging;
  size_t count = 0;
  uint64_t seed = 0;
  bool mixed = false, json = false, no_swd = false;
};

/// "NAME=PATH", or a path; a path that is there is one, whatever its name holds.
evaluation::CompareSource source_of(const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0 || fs::exists(text)) return {"", text};
  return {text.substr(0, equals), text.substr(equals + 1)};
}

/// Experiments of `dermgan utility` have a table of their own.
int compare_experiments(const CompareFlags& flags, const std::vector<evaluation::CompareSource>& given) {
  std::vector<std::pair<std::string, fs::path>> sources;
  for (const evaluation::CompareSource& source : given) {
    if (!utility::is_experiment(source.path))
      throw UsageError(
          "dermgan compare: {} is no experiment of `dermgan utility`, and others are; compare like with like",
          source.path.string());
    sources.emplace_back(source.name, source.path);
  }
  const nlohmann::json comparison = utility::compare_experiments(sources, flags.mixed, flags.out);
  if (flags.json)
    print_json(comparison);
  else
    std::cout << utility::comparison_text(comparison)
              << fmt::format("\n{}\n", (fs::path(flags.out) / "report.html").string());
  return 0;
}

int run_compare(const CompareFlags& flags) {
  if (flags.requests != "maps" && flags.requests != "novel")
    throw UsageError("dermgan compare: --requests {} is not known; maps and novel are", flags.requests);
  evaluation::CompareOptions options;
  for (const std::string& text : flags.sources) options.sources.push_back(source_of(text));
  if (std::any_of(options.sources.begin(), options.sources.end(),
                  [](const evaluation::CompareSource& s) { return utility::is_experiment(s.path); }))
    return compare_experiments(flags, options.sources);
  evaluation::EvaluateOptions& o = options.evaluate;
  o.real = flags.real;
  o.split = flags.split;
  o.requests = flags.requests == "maps" ? evaluation::Requests::maps : evaluation::Requests::novel;
  o.count = flags.count;
  o.seed = flags.seed;
  o.command = flags.command;
  o.cache = flags.judging.cache_folder();
  o.fidelity.lpips = flags.judging.lpips;
  o.fidelity.swd = !flags.no_swd;
  if (!flags.real.empty()) {  // without photographs nothing is measured here
    o.fidelity.extractors = flags.judging.open_extractors(flags.device.device, flags.device.threads);
    o.control.judges = flags.judging.open_judges(flags.device.device, flags.device.threads);
  }
  options.engine.device = flags.device.device;
  options.engine.precision = flags.device.precision;
  options.engine.threads = flags.device.threads;
  options.mixed = flags.mixed;
  const evaluation::Comparison comparison = evaluation::compare(options, models::catalogue(), flags.out);
  if (flags.json)
    print_json(comparison.to_json());
  else
    std::cout << comparison.to_text() << fmt::format("\n{}\n", (fs::path(flags.out) / "report.html").string());
  return 0;
}

}  // namespace

Verb add_compare(CLI::App& program, const std::string& command_line) {
  auto flags = std::make_shared<CompareFlags>();
  flags->command = command_line;
  CLI::App* app = program.add_subcommand("compare", "Several runs, bundles or evaluations in one table");
  Verb verb{app, {}, [flags] { return run_compare(*flags); }};
  verb.required.push_back(app->add_option(
      "MODELS", flags->sources,
      "Runs (their best), bundles, or folders that `evaluate` wrote; or folders of `utility`; NAME=PATH names one"));
  app->add_option("--real", flags->real, "A data set of photographs, for those that are not measured yet");
  app->add_option("--split", flags->split, "Which of them: validation, test, train")->capture_default_str();
  verb.required.push_back(app->add_option("--out", flags->out, "Folder for report.html and its tables"));
  app->add_option("--requests", flags->requests,
                  "maps (those of the photographs) or novel (drawn within what the model has seen)")
      ->capture_default_str();
  app->add_option("--count", flags->count, "How many images of each model (default: one a map, 1000 novel ones)");
  app->add_option("--seed", flags->seed, "Of requests, subsets and halves")->capture_default_str();
  app->add_flag("--no-swd", flags->no_swd, "Leave the sliced Wasserstein distance out: it takes the longest");
  app->add_flag("--mixed", flags->mixed,
                "Compare although training data, photographs or protocol differ; the report is marked");
  flags->judging.add(*app);
  flags->judging.add_more(*app);
  flags->device.add(*app);
  app->add_flag("--json", flags->json, "Print the table as JSON");
  app->footer(
      "Example:\n  dermgan compare runs/00000-dermgan-D-256 pix2pix=runs/00001-pix2pix-D-256 --real D --out "
      "comparison\n"
      "  dermgan compare report-a report-b --out comparison");
  return verb;
}

}  // namespace derm::cli
