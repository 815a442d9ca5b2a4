#include "derm/phantom/phantom.h"

#include <iostream>
#include <memory>

#include <fmt/format.h>

#include "derm/base/error.h"
#include "derm/cli/verbs.h"
#include "derm/ranks/group.h"

namespace derm::cli {

namespace {

struct PhantomFlags {
  phantom::PhantomOptions options;
  std::string out;
  bool json = false, parameters = false;
};

void print_parameters(bool json) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  std::vector<std::pair<std::string, std::string>> facts;
  for (const phantom::ParameterInfo& p : phantom::parameter_list()) {
    list.push_back({{"name", p.name}, {"low", p.low}, {"high", p.high}, {"whole", p.whole}, {"help", p.help}});
    facts.emplace_back(p.name, fmt::format("{} to {}  {}", p.low, p.high, p.help));
  }
  json ? print_json(list) : print_facts(facts);
}

int run_phantom(PhantomFlags& flags) {
  if (flags.parameters) {
    print_parameters(flags.json);
    return 0;
  }
  if (flags.out.empty()) throw UsageError("dermgan phantom: --out is missing; see dermgan phantom --help");
  flags.options.out = flags.out;
  flags.options.validate();
  const std::unique_ptr<ranks::Group> group = join_ranks();
  if (group) {
    const ranks::Group::Busy busy(group.get());
    phantom::write_phantoms(flags.options,
                            {.rank = group->rank(),
                             .world = group->world(),
                             .threads = static_cast<int>(ranks::threads_of(group->place(), 0)),
                             .sum = [&](std::vector<double>& values) { group->sum(values); },
                             .of_first = [&](const std::string& text) { return group->of_first(text); }});
    group->barrier();  // until the first rank has written the table
    if (!group->leads()) return 0;
  } else {
    phantom::write_phantoms(flags.options);
  }
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
  app->add_option("--out", flags->out, "The data set to write; must not exist yet");
  app->add_option("--count", o.count, "How many images")->capture_default_str();
  app->add_option("--size", o.size_px, "Side in pixels")->capture_default_str();
  app->add_option("--seed", o.seed, "The same seed gives the same set")->capture_default_str();
  app->add_option("--look", o.look, "clinical, dermoscopic or mixed")->capture_default_str();
  app->add_option("--light", o.light, "daylight (D65, as the standard observer sees it) or mixed (lamps and a camera)")
      ->capture_default_str();
  add_repeatable(*app, "--condition", o.conditions, "Only this condition");
  app->add_option("--hair", o.hair, "Probability of hair")->capture_default_str();
  app->add_option("--ruler", o.ruler, "Probability of a ruler")->capture_default_str();
  app->add_option("--ink", o.ink, "Probability of ink")->capture_default_str();
  app->add_option("--dark-corners", o.dark_corners, "Probability of dark corners")->capture_default_str();
  app->add_option("--bubbles", o.bubbles, "Probability of bubbles in the fluid, of dermoscopic pictures")
      ->capture_default_str();
  add_repeatable(*app, "--set", o.set, "NAME=VALUE: a parameter held at this value, as condition=nevus or size=0.4");
  add_repeatable(*app, "--sweep", o.sweep,
                 "NAME=VALUES: a parameter that goes through these on the same subject, as ita=-40..50:7, "
                 "size=0.2,0.4, condition=*");
  app->add_flag("--parameters", flags->parameters, "List what --set and --sweep reach");
  app->add_flag("--json", flags->json, "Print what was made as JSON");
  app->footer(
      "Example:\n  dermgan phantom --count 400 --size 64 --out made\n"
      "  dermgan phantom --count 84 --sweep melanosome_fraction=0.01..0.43:12 --out ladder\n"
      "  dermgan phantom --parameters");
  return verb;
}

}  // namespace derm::cli
