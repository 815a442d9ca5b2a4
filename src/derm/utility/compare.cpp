#include "derm/utility/compare.h"

#include <algorithm>
#include <functional>
#include <map>
#include <set>

#include <fmt/format.h>

#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/base/system.h"
#include "derm/report/report.h"
#include "derm/utility/results.h"

namespace derm::utility {
namespace {

using nlohmann::json;

constexpr const char *kFile = "results.json", *kFormat = "dermgan utility";

fs::path file_of(const fs::path& path) { return fs::is_directory(path) ? path / kFile : path; }

json read(const fs::path& path) {
  const fs::path file = file_of(path);
  json results = json::parse(read_file(file), nullptr, false);
  if (!results.is_object() || results.value("format", "") != kFormat || !results.contains("registration") ||
      !results.contains("contrasts") || !results.contains("figures"))
    throw DataError("{}: it does not hold what `dermgan utility` writes; run the experiment to its end", file.string());
  return results;
}

/// What has to be alike for two experiments to say the same thing.
std::vector<std::pair<std::string, json>> footing(const json& registration) {
  std::vector<std::pair<std::string, json>> parts = {{"photographs", registration.at("data_fingerprint")},
                                                     {"conditions", registration.at("conditions")},
                                                     {"second data set", registration.at("external_fingerprint")},
                                                     {"classifier's weights", registration.at("weights_sha256")}};
  for (const char* key : {"folds", "validation", "seed", "seeds", "size_px", "primary", "classifier", "augment"}) {
    json value = registration.at("design").at(key);
    if (value.is_object()) value.erase("weights");  // a path; the file's SHA-256 stands above
    parts.emplace_back(key, value);
  }
  return parts;
}

/// "regime all: real+synthetic=1 against real"
std::string label_of(const json& row) {
  const std::string arm = row.at("arm").get<std::string>();
  return fmt::format("regime {}: {}", row.at("regime").get<std::string>(),
                     row.contains("control") ? arm + " against " + row.at("control").get<std::string>() : arm);
}

/// Rows of `list` by label, one an experiment; what not all have is left out.
json shared(const std::vector<json>& experiments, const std::vector<std::string>& names, const char* list,
            const std::function<bool(const json&)>& keep) {
  std::vector<std::string> order;
  std::map<std::string, json> rows;
  for (size_t e = 0; e < experiments.size(); ++e) {
    for (const json& row : experiments[e].at(list)) {
      if (!keep(row)) continue;
      const std::string label = label_of(row);
      if (!rows.contains(label)) order.push_back(label), rows[label] = json::array();
      json with = row;
      with["experiment"] = names[e];
      rows[label].push_back(with);
    }
  }
  json result = json::array();
  for (const std::string& label : order)
    if (rows[label].size() == experiments.size()) result.insert(result.end(), rows[label].begin(), rows[label].end());
  return result;
}

/// Lines of the table: a label, and a cell an experiment.
std::vector<std::vector<std::string>> lines_of(const json& rows, size_t experiments) {
  std::vector<std::vector<std::string>> lines;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (i % experiments == 0) lines.push_back({label_of(rows[i])});
    std::string text = estimate_text(rows[i], rows[i].contains("control"));
    if (rows[i].contains("p_holm") && rows[i].at("p_holm").is_number())
      text += fmt::format(", p {:.3f}", rows[i].at("p_holm").get<double>());
    lines.back().push_back(std::move(text));
  }
  return lines;
}

}  // namespace

bool is_experiment(const fs::path& path) {
  const fs::path file = file_of(path);
  if (file.filename() != kFile || !fs::exists(file)) return false;
  const json results = json::parse(read_file(file), nullptr, false);
  return results.is_object() && results.value("format", "") == kFormat;
}

json compare_experiments(const std::vector<std::pair<std::string, fs::path>>& sources, bool mixed,
                         const fs::path& out) {
  if (sources.size() < 2) throw UsageError("one experiment is given, a comparison needs two or more");
  NewDirectory directory(out);
  std::vector<json> experiments;
  std::vector<std::string> names;
  std::set<std::string> marks;
  for (const auto& [name, path] : sources) {
    experiments.push_back(read(path));
    const fs::path folder = fs::absolute(file_of(path)).lexically_normal().parent_path();
    names.push_back(name.empty() ? folder.filename().string() : name);
    if (std::count(names.begin(), names.end(), names.back()) > 1)
      throw UsageError("two experiments are called {}; name them apart, NAME=PATH", names.back());
    const auto first = footing(experiments.front().at("registration")),
               own = footing(experiments.back().at("registration"));
    for (size_t i = 0; i < first.size(); ++i) {
      if (first[i].second == own[i].second) continue;
      const std::string sentence = fmt::format("{} and {} differ in {}: {} and {}", names.front(), names.back(),
                                               first[i].first, first[i].second.dump(), own[i].second.dump());
      if (!mixed) throw UsageError("{}; --mixed compares them all the same, and marks the report", sentence);
      marks.insert(sentence);
    }
    for (const json& mark : experiments.back().at("marks")) marks.insert(names.back() + ": " + mark.get<std::string>());
  }
  const std::string primary = experiments.front().at("registration").at("design").at("primary");
  const auto decides = [&](const json& row) { return row.at("slice") == "test" && row.at("metric") == primary; };
  json comparison = {{"format", "dermgan utility comparison"},
                     {"primary", primary},
                     {"experiments", json::array()},
                     {"figures", shared(experiments, names, "figures", decides)},
                     {"contrasts", shared(experiments, names, "contrasts", decides)},
                     {"marks", marks},
                     {"software", "dermgan " + version()}};
  for (size_t e = 0; e < experiments.size(); ++e)
    comparison["experiments"].push_back({{"name", names[e]},
                                         {"path", sources[e].second.string()},
                                         {"registration_sha256", experiments[e].at("registration_sha256")},
                                         {"synthetic", experiments[e].at("synthetic")}});
  if (comparison.at("figures").empty())
    throw UsageError("the experiments share no arm and regime by name; there is nothing to compare");

  report::Page page("Experiments compared",
                    fmt::format("{}, {}", primary, comparison.at("software").get<std::string>()));
  for (const std::string& mark : marks) page.note(mark);
  std::vector<std::string> header = {primary};
  header.insert(header.end(), names.begin(), names.end());
  page.heading("Arms").table(header, lines_of(comparison.at("figures"), names.size()), "Mean [95 %]");
  if (!comparison.at("contrasts").empty())
    page.heading("Differences")
        .table(header, lines_of(comparison.at("contrasts"), names.size()),
               "Difference [95 %], and p adjusted by Holm within each experiment, not over them");
  page.heading("Experiments");
  std::vector<std::vector<std::string>> facts;
  for (const json& e : comparison.at("experiments"))
    facts.push_back({e.at("name"), e.at("synthetic"), e.at("registration_sha256"), e.at("path")});
  page.table({"name", "synthetic images", "registration, SHA-256", "folder"}, facts);
  page.write(directory.path() / "report.html");
  json rows = comparison.at("contrasts").empty() ? comparison.at("figures") : comparison.at("contrasts");
  write_file(directory.path() / "comparison.csv", csv_of(rows));
  write_file(directory.path() / "comparison.json", comparison.dump(1) + "\n");
  directory.commit();
  return comparison;
}

std::string comparison_text(const json& comparison) {
  std::string text;
  for (const json& mark : comparison.at("marks")) text += "note: " + mark.get<std::string>() + "\n";
  const size_t experiments = comparison.at("experiments").size();
  for (const char* list : {"figures", "contrasts"}) {
    for (const auto& line : lines_of(comparison.at(list), experiments)) {
      text += line.front() + "\n";
      for (size_t e = 0; e < experiments; ++e)
        text +=
            fmt::format("  {:<24} {}\n", comparison.at("experiments")[e].at("name").get<std::string>(), line[e + 1]);
    }
  }
  return text;
}

}  // namespace derm::utility
