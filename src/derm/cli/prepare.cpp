#include <algorithm>
#include <iostream>
#include <map>
#include <memory>

#include <fmt/format.h>

#include "derm/base/error.h"
#include "derm/cli/verbs.h"
#include "derm/prepare/prepare.h"

namespace derm::cli {

namespace {

constexpr size_t kShownReasons = 10;

struct PrepareFlags {
  prepare::PrepareOptions options;
  std::string source, out, images, masks;
  std::vector<std::string> columns;
  bool json = false;
};

/// Reasons for refusal, the most frequent first. What differs from file to file (all up to the first colon, if it names
/// the file) has been taken off.
std::vector<std::pair<std::string, size_t>> reasons(const prepare::Summary& summary) {
  std::map<std::string, size_t> counted;
  for (const prepare::Refused& refused : summary.refused) {
    std::string reason = refused.reason;
    const size_t colon = reason.find(": ");
    if (colon != std::string::npos && reason.substr(0, colon).ends_with(refused.file))
      reason = reason.substr(colon + 2);
    ++counted[reason];
  }
  std::vector<std::pair<std::string, size_t>> sorted(counted.begin(), counted.end());
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  return sorted;
}

nlohmann::json json_of(const prepare::Summary& summary, const std::string& out) {
  nlohmann::json refused = nlohmann::json::array();
  for (const prepare::Refused& r : summary.refused) refused.push_back({{"file", r.file}, {"reason", r.reason}});
  return {{"out", out},
          {"layout", summary.layout},
          {"fingerprint", summary.fingerprint},
          {"read", summary.read},
          {"written", summary.written},
          {"below_quality", summary.below_quality},
          {"duplicates", summary.duplicates},
          {"near_duplicates", summary.near_duplicates},
          {"counts", summary.counts},
          {"refused", refused}};
}

void print_summary(const prepare::Summary& summary, const std::string& out) {
  const std::vector<std::string> splits{"train", "validation", "test"};
  size_t width = std::string("condition").size();
  for (const auto& [condition, counts] : summary.counts) width = std::max(width, condition.size());
  std::cout << fmt::format("{:<{}}", "condition", width);
  for (const std::string& split : splits) std::cout << fmt::format("{:>12}", split);
  std::cout << fmt::format("{:>12}\n", "all");
  std::map<std::string, size_t> sums;
  const auto line = [&](const std::string& name, const std::map<std::string, size_t>& counts) {
    std::cout << fmt::format("{:<{}}", name, width);
    size_t all = 0;
    for (const std::string& split : splits) {
      const auto at = counts.find(split);
      const size_t n = at == counts.end() ? 0 : at->second;
      all += n;
      std::cout << fmt::format("{:>12}", n);
    }
    std::cout << fmt::format("{:>12}\n", all);
  };
  for (const auto& [condition, counts] : summary.counts) {
    line(condition, counts);
    for (const auto& [split, n] : counts) sums[split] += n;
  }
  line("all", sums);

  std::cout << '\n';
  print_facts({{"read as", summary.layout},
               {"images read", std::to_string(summary.read)},
               {"written", std::to_string(summary.written)},
               {"below quality", fmt::format("{} (kept in the set, left out of training)", summary.below_quality)},
               {"duplicates", fmt::format("{} exact, {} near", summary.duplicates, summary.near_duplicates)},
               {"refused", std::to_string(summary.refused.size())},
               {"fingerprint", summary.fingerprint}});
  const auto sorted = reasons(summary);
  for (size_t i = 0; i < std::min(sorted.size(), kShownReasons); ++i) {
    std::cout << fmt::format("  {:>6} x {}\n", sorted[i].second, sorted[i].first);
  }
  if (sorted.size() > kShownReasons)
    std::cout << fmt::format("  and {} further reasons\n", sorted.size() - kShownReasons);
  std::cout << fmt::format(
      "\n{0}/metadata.csv  the data set\n{0}/preview.png   look here: outlines found, skin colours measured\n", out);
  if (!summary.refused.empty()) std::cout << fmt::format("{}/refused.csv   what was left out, and why\n", out);
}

int run_prepare(PrepareFlags& flags) {
  prepare::PrepareOptions& options = flags.options;
  options.source = flags.source;
  options.out = flags.out;
  options.images = flags.images;
  options.masks = flags.masks;
  for (const std::string& column : flags.columns) options.columns.insert(split_assignment("--column", column));
  options.validate();
  const prepare::Summary summary = prepare::prepare(options);
  if (flags.json) {
    print_json(json_of(summary, flags.out));
  } else {
    print_summary(summary, flags.out);
  }
  return 0;
}

}  // namespace

Verb add_prepare(CLI::App& program) {
  auto flags = std::make_shared<PrepareFlags>();
  prepare::PrepareOptions& o = flags->options;
  CLI::App* app =
      program.add_subcommand("prepare", "Turn what you have (image folder, CSV and images) into a data set");
  Verb verb{app, {}, [flags] { return run_prepare(*flags); }};
  verb.required.push_back(
      app->add_option("SOURCE", flags->source, "A folder, or a CSV beside its images; never changed"));
  verb.required.push_back(app->add_option("--out", flags->out, "The data set to write; must not exist yet"));
  app->add_option("--size", o.size_px, "Side of the stored images in pixels")->capture_default_str();
  app->add_option("--layout", o.layout, "auto, folder, isic, ham10000, pad-ufes-20, fitzpatrick17k, scin, csv")
      ->capture_default_str();
  app->add_option("--images", flags->images, "Folder of the images, if not found by itself");
  app->add_option("--masks", flags->masks, "Folder of the masks, if not found by itself");
  add_repeatable(*app, "--csv", o.csv, "A further table, joined by image name");
  add_repeatable(*app, "--column", flags->columns, "Our name of a column and theirs, as condition=dx");
  app->add_option("--regions", o.regions,
                  "Where lesion regions come from: auto (mask, else box, else found), mask, box, found")
      ->capture_default_str();
  app->add_option("--min-quality", o.min_quality, "Found regions below it are left out of training (0 to 1)")
      ->capture_default_str();
  app->add_option("--crop", o.crop, "centre (square of the short side), lesion (square round the lesion), stretch")
      ->capture_default_str();
  app->add_option("--train", o.train, "Share of the training split")->capture_default_str();
  app->add_option("--validation", o.validation, "Share of the validation split; the rest is test")
      ->capture_default_str();
  add_repeatable(*app, "--condition", o.conditions, "Keep only this condition");
  app->add_option("--threads", o.threads, "0: every processor that this process may use")->capture_default_str();
  app->add_flag("--json", flags->json, "Print the summary as JSON");
  app->footer(
      "Example:\n  dermgan prepare photographs --out D\n"
      "  dermgan prepare table.csv --images pictures --column file_name=img --column condition=dx --out D");
  return verb;
}

}  // namespace derm::cli
