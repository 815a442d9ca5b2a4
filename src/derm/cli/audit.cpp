#include <iostream>
#include <memory>

#include <fmt/format.h>

#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/cli/judging.h"
#include "derm/cli/verbs.h"
#include "derm/evaluation/evaluate.h"
#include "derm/models/catalogue.h"

namespace derm::cli {

namespace fs = std::filesystem;

namespace {

constexpr int kVerdictNo = 4;

struct AuditFlags {
  std::string bundle;
  JudgingFlags judging;
  DeviceFlags device;
  evaluation::AuditRunOptions options;
  std::string real, synthetic, out;
  bool json = false;
};

int run_audit_verb(AuditFlags& flags) {
  if (flags.bundle.empty() == flags.synthetic.empty()) {
    throw UsageError(
        "dermgan audit: give what is searched for copies, either a bundle (--bundle B) or a generated set (--synthetic "
        "S)");
  }
  evaluation::AuditRunOptions& options = flags.options;
  options.real = flags.real;
  options.synthetic = flags.synthetic;
  options.cache = flags.judging.cache_folder();
  std::unique_ptr<generation::Engine> engine;
  if (!flags.bundle.empty()) {
    generation::EngineOptions made;
    made.bundle = flags.bundle;
    made.device = flags.device.device;
    made.precision = flags.device.precision;
    made.threads = flags.device.threads;
    engine = std::make_unique<generation::Engine>(made, models::catalogue());
  }
  options.engine = engine.get();
  options.extractor = flags.judging.open_extractors(flags.device.device, flags.device.threads).front();
  const evaluation::AuditResult result = evaluation::run_audit(options, flags.out);
  if (flags.json) {
    print_json(nlohmann::ordered_json::parse(read_file(fs::path(flags.out) / "audit.json")));
  } else {
    std::cout << evaluation::summary_text(result)
              << fmt::format("\n{}\n", (fs::path(flags.out) / "report.html").string());
  }
  return result.passed ? 0 : kVerdictNo;
}

}  // namespace

Verb add_audit(CLI::App& program, const std::string& command_line) {
  auto flags = std::make_shared<AuditFlags>();
  flags->options.command = command_line;
  CLI::App* app =
      program.add_subcommand("audit", "Search for copies of the training photographs; a verdict that can say no");
  Verb verb{app, {}, [flags] { return run_audit_verb(*flags); }};
  verb.required.push_back(app->add_option("--real", flags->real, "The data set that the model learned from"));
  app->add_option("--bundle", flags->bundle, "A bundle, or a run (its best): asked for novel images here");
  app->add_option("--synthetic", flags->synthetic, "Or a generated set that is there already");
  verb.required.push_back(app->add_option("--out", flags->out, "Folder for report.html and its tables"));
  app->add_option("--count", flags->options.count, "How many novel images of a bundle")->capture_default_str();
  app->add_option("--seed", flags->options.audit.seed, "Of requests and permutations")->capture_default_str();
  app->add_option("--pairs", flags->options.pairs, "How many of the closest pairs the report shows")
      ->capture_default_str();
  app->add_flag("--keep-images", flags->options.keep_images, "Keep the bundle's images beside the report");
  flags->judging.add(*app);
  flags->device.add(*app);
  app->add_flag("--json", flags->json, "Print figures and verdict as JSON");
  app->footer(
      "Exit code 4: the verdict is no. The report shows training photographs; it is your own file.\n"
      "Example:\n  dermgan audit --real D --bundle runs/00000-dermgan-D-256 --out audit");
  return verb;
}

}  // namespace derm::cli
