#include <iostream>
#include <memory>

#include <fmt/format.h>

#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/cli/verbs.h"
#include "derm/evaluation/control.h"
#include "derm/models/catalogue.h"

namespace derm::cli {

namespace {

struct EvaluateFlags {
  std::string bundle, run, out;
  DeviceFlags device;
  size_t count = 200;
  uint64_t seed = 0;
  bool control = false, json = false;
};

int run_evaluate(const EvaluateFlags& flags) {
  if (!flags.control)
    throw UsageError("dermgan evaluate: say what to measure; --control (asked against achieved) is what there is");
  generation::EngineOptions options;
  options.bundle = flags.bundle;
  options.device = flags.device.device;
  options.precision = flags.device.precision;
  options.threads = flags.device.threads;
  generation::Engine engine(options, models::catalogue());
  evaluation::write_control_report(engine, flags.count, flags.seed, flags.out, flags.run);

  const fs::path answer = fs::path(flags.out) / "control.json";
  const nlohmann::json control = nlohmann::json::parse(read_file(answer));
  if (flags.json) {
    print_json(control);
    return 0;
  }
  std::vector<std::pair<std::string, std::string>> facts;
  for (const auto& [name, value] : control.items()) {
    if (!value.is_number()) continue;
    std::string text = value.is_number_float() ? fmt::format("{:.3f}", value.get<double>()) : value.dump();
    const auto interval = control.find(name + "_interval");
    if (interval != control.end() && interval->is_array() && interval->size() == 2 && (*interval)[0].is_number() &&
        (*interval)[1].is_number()) {
      text += fmt::format("  ({:.3f} to {:.3f})", (*interval)[0].get<double>(), (*interval)[1].get<double>());
    }
    facts.emplace_back(name, text);
  }
  print_facts(facts);
  std::cout << fmt::format("\n{}\n", (fs::path(flags.out) / "report.html").string());
  return 0;
}

}  // namespace

Verb add_evaluate(CLI::App& program) {
  auto flags = std::make_shared<EvaluateFlags>();
  CLI::App* app = program.add_subcommand("evaluate", "Measure what a model makes: does it do what it is asked?");
  Verb verb{app, {}, [flags] { return run_evaluate(*flags); }};
  app->add_flag("--control", flags->control, "Skin colour, place and size: asked against achieved");
  verb.required.push_back(app->add_option("--bundle", flags->bundle, "A bundle, or a run (its best)"));
  verb.required.push_back(app->add_option("--out", flags->out, "Folder for report.html and its tables"));
  app->add_option("--count", flags->count, "How many novel requests")->capture_default_str();
  app->add_option("--seed", flags->seed, "Which requests")->capture_default_str();
  app->add_option("--run", flags->run, "A run whose loss curves and samples join the report");
  flags->device.add(*app);
  app->add_flag("--json", flags->json, "Print the figures as JSON");
  app->footer("Example:\n  dermgan evaluate --control --bundle runs/00000-dermgan-D-256 --count 200 --out report");
  return verb;
}

}  // namespace derm::cli
