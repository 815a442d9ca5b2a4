#include "derm/phantom/phantom.h"

#include <iostream>
#include <memory>

#include "derm/cli/verbs.h"

namespace derm::cli {

namespace {

struct PhantomFlags {
  phantom::PhantomOptions options;
  std::string out;
  bool json = false;
};

int run_phantom(PhantomFlags& flags) {
  flags.options.out = flags.out;
  flags.options.validate();
  phantom::write_phantoms(flags.options);
  if (flags.json) {
    print_json({{"out", flags.out},
                {"images", flags.options.count},
                {"size_px", flags.options.size_px},
                {"seed", flags.options.seed}});
  } else {
    std::cout << flags.out << '\n';
  }
  return 0;
}

}  // namespace

Verb add_phantom(CLI::App& program) {
  auto flags = std::make_shared<PhantomFlags>();
  phantom::PhantomOptions& o = flags->options;
  CLI::App* app =
      program.add_subcommand("phantom", "Made skin with known truth, as a data set: test bed and demo data");
  Verb verb{app, {}, [flags] { return run_phantom(*flags); }};
  verb.required.push_back(app->add_option("--out", flags->out, "The data set to write; must not exist yet"));
  app->add_option("--count", o.count, "How many images")->capture_default_str();
  app->add_option("--size", o.size_px, "Side in pixels")->capture_default_str();
  app->add_option("--seed", o.seed, "The same seed gives the same set")->capture_default_str();
  app->add_option("--hair", o.hair, "Probability of hair")->capture_default_str();
  app->add_option("--ruler", o.ruler, "Probability of a ruler")->capture_default_str();
  app->add_option("--ink", o.ink, "Probability of ink")->capture_default_str();
  app->add_option("--dark-corners", o.dark_corners, "Probability of dark corners")->capture_default_str();
  add_repeatable(*app, "--condition", o.conditions, "Only this condition");
  app->add_flag("--json", flags->json, "Print what was made as JSON");
  app->footer("Example:\n  dermgan phantom --count 400 --size 64 --out made");
  return verb;
}

}  // namespace derm::cli
