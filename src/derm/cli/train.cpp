#include "derm/training/train.h"

#include <iostream>
#include <memory>

#include <fmt/format.h>

#include "derm/base/csv.h"
#include "derm/base/error.h"
#include "derm/base/log.h"
#include "derm/cli/run_file.h"
#include "derm/cli/verbs.h"
#include "derm/models/catalogue.h"
#include "derm/ranks/group.h"

namespace derm::cli {

namespace {

constexpr int kInterrupted = 130;

struct TrainFlags {
  std::string config, recipe, resume;
  std::vector<std::string> sets;
  training::TrainOptions options;  ///< what flags gave; taken over where they were given
  bool dry_run = false, json = false;
  CLI::App* app = nullptr;

  bool given(const std::string& flag) const { return app->get_option(flag)->count() > 0; }
};

void take_over(const TrainFlags& flags, training::TrainOptions& o) {
  const training::TrainOptions& given = flags.options;
  if (flags.given("--data")) o.data = given.data;
  if (flags.given("--out")) o.out = given.out;
  if (flags.given("--name")) o.name = given.name;
  if (flags.given("--size")) o.size_px = given.size_px;
  if (flags.given("--batch")) o.batch = given.batch;
  if (flags.given("--kimg")) o.kimg = given.kimg;
  if (flags.given("--minutes")) o.minutes = given.minutes;
  if (flags.given("--seed")) o.seed = given.seed;
  if (flags.given("--init-from")) o.init_from = given.init_from;
  if (flags.given("--with-discriminator")) o.with_discriminator = given.with_discriminator;
}

/// A resumed run takes its settings from its own config.toml.
std::vector<std::string> changes_on_resume(const TrainFlags& flags) {
  for (const char* flag :
       {"--config", "--recipe", "--out", "--name", "--size", "--batch", "--seed", "--init-from", "--dry-run"}) {
    if (flags.given(flag)) {
      throw UsageError(
          "dermgan train: {} does not go with --resume, a run keeps its settings; its length may be changed "
          "(--minutes, "
          "--kimg), and where its data stand (--data)",
          flag);
    }
  }
  std::vector<std::string> changes = flags.sets;
  if (flags.given("--data")) changes.push_back("data=" + nlohmann::json(flags.options.data).dump());
  if (flags.given("--with-discriminator")) changes.push_back("with_discriminator=true");
  if (flags.given("--minutes")) changes.push_back("minutes=" + number_text(flags.options.minutes));
  if (flags.given("--kimg")) changes.push_back("kimg=" + number_text(flags.options.kimg));
  return changes;
}

int answer(const TrainFlags& flags, const training::TrainOutcome& outcome) {
  if (flags.json) {
    print_json({{"run", outcome.run.string()},
                {"steps", outcome.steps},
                {"kimg", outcome.kimg},
                {"interrupted", outcome.interrupted}});
  } else {
    std::cout << outcome.run.string() << '\n';
  }
  return outcome.interrupted ? kInterrupted : 0;
}

int run_train(TrainFlags& flags, const std::string& command_line) {
  const recipe::Catalogue& catalogue = models::catalogue();
  const std::unique_ptr<ranks::Group> group = join_ranks();
  const auto answered = [&](const training::TrainOutcome& outcome) {
    return group && !group->leads() ? (outcome.interrupted ? kInterrupted : 0) : answer(flags, outcome);
  };
  if (flags.given("--resume"))
    return answered(training::resume(flags.resume, changes_on_resume(flags), catalogue, command_line, group.get()));
  const RunFile run = read_run_file(
      flags.config, flags.sets, flags.recipe, [&](training::TrainOptions& options) { take_over(flags, options); },
      catalogue);
  run.options.validate();
  if (flags.dry_run) {
    if (group && !group->leads()) return 0;
    const std::string text = training::dry_run(run.options, *run.recipe);
    std::cout << text << (text.ends_with('\n') ? "" : "\n");
    return 0;
  }
  return answered(training::train(run.options, *run.recipe, catalogue, command_line, group.get()));
}

std::string recipes_text() {
  std::string text = "Recipes:\n";
  for (const std::string& name : models::catalogue().names()) {
    text += fmt::format("  {:<13} {}\n", name, models::catalogue().summary(name));
  }
  return text;
}

}  // namespace

Verb add_train(CLI::App& program, const std::string& command_line) {
  auto flags = std::make_shared<TrainFlags>();
  training::TrainOptions& o = flags->options;
  CLI::App* app = program.add_subcommand("train", "Train a recipe on a data set");
  flags->app = app;
  app->add_option("--recipe", flags->recipe, "The method [" + o.recipe + "]");
  app->add_option("--data", o.data, "A data set, as \"dermgan prepare\" writes it");
  app->add_option("--out", o.out, "Where the run's folder is made")->capture_default_str();
  app->add_option("--name", o.name, "Ends the name of the run's folder; the data set's name if not given");
  app->add_option("--config", flags->config, "A run file (TOML); flags and --set win over it");
  add_repeatable(*app, "--set", flags->sets, "One option of the run file: batch=4, model.width=32");
  app->add_option("--minutes", o.minutes, "Length by the clock");
  app->add_option("--kimg", o.kimg, "Length in thousand images shown; with neither: 200 epochs");
  app->add_option("--size", o.size_px, "Side of the images in pixels; the data set's if not given");
  app->add_option("--batch", o.batch, "Images a step; the recipe's if not given");
  app->add_option("--seed", o.seed, "The same seed repeats the run")->capture_default_str();
  app->add_option("--init-from", o.init_from,
                  "A bundle, checkpoint, or safetensors or .pth file whose fitting weights start the run");
  app->add_flag("--with-discriminator", o.with_discriminator,
                "Keep the discriminator in bundles, for further training");
  app->add_option("--resume", flags->resume, "Go on with this run, to the bit as if it had not stopped");
  app->add_flag("--dry-run", flags->dry_run, "Say how long it takes, and how much memory and disk; train nothing");
  app->add_flag("--json", flags->json, "Print the outcome as JSON");
  app->footer(recipes_text() +
              "\nExample:\n  dermgan train --recipe dermgan --data D --out runs --minutes 20\n"
              "  dermgan train --config recipes/dermgan-256.toml --data D --set model.width=32\n"
              "  dermgan train --resume runs/00000-dermgan-D-256");
  return {app, {}, [flags, command_line] { return run_train(*flags, command_line); }};
}

}  // namespace derm::cli
