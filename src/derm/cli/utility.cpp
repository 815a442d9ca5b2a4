#include "derm/utility/utility.h"

#include <iostream>
#include <memory>

#include <fmt/format.h>

#include "derm/base/csv.h"
#include "derm/base/error.h"
#include "derm/cli/verbs.h"
#include "derm/models/catalogue.h"
#include "derm/ranks/place.h"

namespace derm::cli {

namespace fs = std::filesystem;

namespace {

struct UtilityFlags {
  utility::UtilityOptions options;
  std::string config, real, external, out, part;
  std::vector<std::string> sets, trained_on;
  bool json = false;
};

/// "2/4": the second of four. Without it: which of the processes that torchrun, mpirun or srun has started this one is.
void take_part(const std::string& text, utility::UtilityOptions& options) {
  if (text.empty()) {
    const ranks::Place place = ranks::place_from_environment();
    options.part = static_cast<size_t>(place.rank) + 1;
    options.parts = static_cast<size_t>(place.world);
    options.threads = static_cast<int>(ranks::threads_of(place, options.threads));
    return;
  }
  const size_t slash = text.find('/');
  try {
    if (slash == std::string::npos) throw DataError("no slash");
    const int64_t part = parse_integer(text.substr(0, slash), "--part"),
                  parts = parse_integer(text.substr(slash + 1), "--part");
    if (part < 1 || parts < part) throw DataError("out of range");
    options.part = static_cast<size_t>(part);
    options.parts = static_cast<size_t>(parts);
  } catch (const DataError&) {
    throw UsageError("dermgan utility --part {}: K/N is expected, the K-th of N processes, as 1/4", text);
  }
}

int run_utility_verb(UtilityFlags& flags) {
  utility::UtilityOptions& options = flags.options;
  Options all;
  options.design.bind(all);
  if (!flags.config.empty()) all.read_toml_file(flags.config);
  for (const std::string& set : flags.sets) all.set(set);
  options.real = flags.real;
  options.external = flags.external;
  options.trained_on.assign(flags.trained_on.begin(), flags.trained_on.end());
  take_part(flags.part, options);
  const utility::UtilityOutcome outcome = utility::run_utility(options, models::catalogue(), flags.out);
  if (!outcome.complete) {
    std::cout << fmt::format("{}: this part is done, others are not; the last one to end writes the report\n",
                             flags.out);
  } else if (flags.json) {
    print_json(outcome.results);
  } else {
    std::cout << utility::summary_text(outcome.results)
              << fmt::format("\n{}\n", (fs::path(flags.out) / "report.html").string());
  }
  return 0;
}

}  // namespace

Verb add_utility(CLI::App& program, const std::string& command_line) {
  auto flags = std::make_shared<UtilityFlags>();
  utility::UtilityOptions& o = flags->options;
  o.command = command_line;
  CLI::App* app = program.add_subcommand(
      "utility", "Does it help a classifier? Registered arms, equal budgets, folds by patient, intervals");
  Verb verb{app, {}, [flags] { return run_utility_verb(*flags); }};
  verb.required.push_back(app->add_option("--real", flags->real, "A data set of photographs"));
  app->add_option("--config", flags->config, "The design (TOML): arms, regimes, folds, seeds, classifier, generator");
  add_repeatable(*app, "--set", flags->sets, "One option of the design: folds=5, classifier.steps=600");
  app->add_option("--bundle", o.bundle,
                  "Synthetic images come from this bundle or run; {fold} and {regime} may stand in it");
  app->add_option("--synthetic", o.synthetic,
                  "Or from this generated set; with --bundle too the bundle says what it learned from");
  verb.required.push_back(
      app->add_option("--out", flags->out, "Folder of the experiment; started again, it goes on there"));
  app->add_option("--external", flags->external, "A second data set, asked and never trained on");
  add_repeatable(*app, "--trained-on", flags->trained_on,
                 "A data set that the generator learned from, so that what it has seen is known");
  app->add_flag("--allow-unknown-provenance", o.allow_unknown,
                "Go on although nobody knows what the generator has seen; the report is marked");
  app->add_option(
      "--part", flags->part,
      "K/N: the K-th of N processes that share the folds and regimes (torchrun, mpirun and srun say it by themselves)");
  app->add_option("--device", o.device, "auto, cpu, cuda, cuda:1")->capture_default_str();
  app->add_option("--threads", o.threads, "0: every processor that this process may use")->capture_default_str();
  app->add_flag("--json", flags->json, "Print the results as JSON");
  app->footer(
      "Example:\n  dermgan utility --real D --bundle B --set folds=1 --set seeds=5 --out helps\n"
      "  dermgan utility --real isic --config experiments/imbalance.toml --set classifier.weights=FILE --out "
      "helps");
  return verb;
}

}  // namespace derm::cli
