#include "derm/utility/utility_report.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "derm/report/report.h"
#include "derm/utility/results.h"
#include "derm/utility/utility.h"

namespace derm::utility {
namespace {

using nlohmann::json;
using Rows = std::vector<std::vector<std::string>>;

std::string text(const json& row, const char* key) { return row.at(key).get<std::string>(); }

double number(const json& row, const char* key) {
  return row.at(key).is_number() ? row.at(key).get<double>() : std::nan("");
}

std::string short_text(double value) { return std::isfinite(value) ? fmt::format("{:.3f}", value) : "-"; }

std::string p_text(double p) { return !std::isfinite(p) ? "-" : p < 0.001 ? "< 0.001" : fmt::format("{:.3f}", p); }

/// What a corrected difference says, in words that claim no more.
std::string verdict_of(const json& row) {
  const double p = number(row, "p_holm"), value = number(row, "value");
  if (!std::isfinite(p)) return "not measured";
  if (p >= 0.05) return "no difference shown";
  return (value > 0) == (row.at("better").get<int>() > 0) ? "better" : "worse";
}

/// The table in a sentence or two.
std::string headline(const std::vector<json>& rows) {
  std::vector<std::string> better, worse;
  double least = std::nan(""), most = std::nan("");
  for (const json& row : rows) {
    const std::string verdict = verdict_of(row);
    if (verdict == "better" || verdict == "worse")
      (verdict == "better" ? better : worse)
          .push_back(
              fmt::format("{} against {} (regime {})", text(row, "arm"), text(row, "control"), text(row, "regime")));
    const double seen = number(row, "smallest_effect_corrected");
    least = std::fmin(least, seen), most = std::fmax(most, seen);
  }
  std::string said =
      fmt::format("Of {} comparisons, after Holm's correction, {} show a gain", rows.size(), better.size());
  if (!better.empty()) said += fmt::format(": {}", fmt::join(better, "; "));
  said += fmt::format(". {} show a harm", worse.size());
  if (!worse.empty()) said += fmt::format(": {}", fmt::join(worse, "; "));
  said += fmt::format(". {} show no difference", rows.size() - better.size() - worse.size());
  if (std::isfinite(least))
    said += fmt::format("; what the design finds in 8 of 10 times begins at {:.3f} to {:.3f}", least, most);
  return said + ".";
}

std::vector<json> rows_where(const json& list, const std::function<bool(const json&)>& keep) {
  std::vector<json> rows;
  for (const json& row : list)
    if (keep(row)) rows.push_back(row);
  return rows;
}

std::vector<std::string> values_of(const json& list, const char* key) {
  std::vector<std::string> values;
  for (const json& row : list)
    if (std::find(values.begin(), values.end(), text(row, key)) == values.end()) values.push_back(text(row, key));
  return values;
}

std::string named(const json& row) {
  return text(row, "condition").empty() ? text(row, "metric") : text(row, "metric") + " of " + text(row, "condition");
}

/// Contrasts of one figure on one slice.
void add_contrasts(report::Page& page, const std::vector<json>& rows, const std::string& caption) {
  Rows table;
  for (const json& row : rows)
    table.push_back({text(row, "arm"), text(row, "control"), text(row, "regime"), estimate_text(row, true),
                     p_text(number(row, "p")), p_text(number(row, "p_holm")), verdict_of(row),
                     short_text(number(row, "smallest_effect")), short_text(number(row, "smallest_effect_corrected"))});
  page.table(
      {"arm", "against", "regime", "difference [95 %]", "p", "p, Holm", "says", "smallest seen", "same, corrected"},
      table, caption);
}

void add_arms(report::Page& page, const json& results, const std::string& slice, const std::string& regime) {
  const auto rows = rows_where(results.at("figures"), [&](const json& r) {
    return text(r, "slice") == slice && text(r, "regime") == regime && text(r, "condition").empty();
  });
  const std::vector<std::string> arms = values_of(rows, "arm"), metrics = values_of(rows, "metric");
  Rows table;
  for (const std::string& arm : arms) {
    std::vector<std::string> line = {arm};
    for (const std::string& metric : metrics)
      for (const json& row : rows)
        if (text(row, "arm") == arm && text(row, "metric") == metric) line.push_back(estimate_text(row));
    table.push_back(std::move(line));
  }
  std::vector<std::string> header = {"arm"};
  header.insert(header.end(), metrics.begin(), metrics.end());
  page.table(header, table, fmt::format("Regime {}: mean over folds and seeds [95 %]", regime));
}

/// Bars of one metric: a group a condition (or all), a series an arm.
void add_bars(report::Page& page, const json& results, const std::string& slice, const std::string& regime,
              const std::string& metric) {
  const auto rows = rows_where(results.at("figures"), [&](const json& r) {
    return text(r, "slice") == slice && text(r, "regime") == regime && text(r, "metric") == metric;
  });
  if (rows.empty()) return;
  report::Bars bars;
  bars.title = fmt::format("{}, regime {}", metric, regime);
  bars.y_label = metric;
  for (const json& row : rows) {
    const std::string group = text(row, "condition").empty() ? "all" : text(row, "condition");
    if (std::find(bars.groups.begin(), bars.groups.end(), group) == bars.groups.end()) bars.groups.push_back(group);
    auto series = std::find_if(bars.series.begin(), bars.series.end(),
                               [&](const report::Bars::Series& s) { return s.name == text(row, "arm"); });
    if (series == bars.series.end()) {
      bars.series.push_back({.name = text(row, "arm"), .value = {}, .low = {}, .high = {}});
      series = std::prev(bars.series.end());
    }
    series->value.push_back(number(row, "value"));
    series->low.push_back(number(row, "low"));
    series->high.push_back(number(row, "high"));
  }
  page.plot(bars);
}

/// Images of each arm, from the least to the most over folds.
void add_counts(report::Page& page, const json& results) {
  using Span = std::pair<int64_t, int64_t>;
  std::vector<std::pair<std::vector<std::string>, std::vector<Span>>> lines;
  for (const json& row : results.at("counts")) {
    const std::vector<std::string> key = {text(row, "regime"), text(row, "arm"), text(row, "condition")};
    auto line = std::find_if(lines.begin(), lines.end(), [&](const auto& l) { return l.first == key; });
    if (line == lines.end()) line = lines.insert(line, {key, std::vector<Span>(3, Span(INT64_MAX, 0))});
    size_t at = 0;
    for (const char* name : {"photographs", "synthetic", "different_synthetic"}) {
      const auto n = row.at(name).get<int64_t>();
      Span& span = line->second[at++];
      span = {std::min(span.first, n), std::max(span.second, n)};
    }
  }
  Rows table;
  for (const auto& [key, spans] : lines) {
    std::vector<std::string> row = key;
    for (const auto& [low, high] : spans)
      row.push_back(low == high ? std::to_string(low) : fmt::format("{} to {}", low, high));
    table.push_back(std::move(row));
  }
  page.table({"regime", "arm", "condition", "photographs", "synthetic", "different ones"}, table,
             "Images of each arm, over folds; a duplicated photograph counts as often as it stands there");
}

}  // namespace

void write_report(const json& results, const std::filesystem::path& file) {
  const json& registration = results.at("registration");
  const json& design = registration.at("design");
  const std::string primary = text(design, "primary");
  const auto regimes = design.at("regimes").get<std::vector<std::string>>();
  report::Page page("Does it help a classifier?", fmt::format("{}, {}", results.at("data").get<std::string>(),
                                                              results.at("software").get<std::string>()));
  for (const json& mark : results.at("marks")) page.note(mark.get<std::string>());

  page.heading("What came out");
  const auto decisive = rows_where(results.at("contrasts"), [](const json& r) { return r.at("primary").get<bool>(); });
  if (decisive.empty()) page.paragraph("Photographs alone: a baseline, with nothing to compare it with.");
  if (!decisive.empty()) {
    page.paragraph(fmt::format(
        "{} on photographs of patients that neither classifier nor generator has seen; differences of arms with "
        "synthetic images from controls without, paired by fold, seed and patient. \"Smallest seen\" is the difference "
        "that this "
        "design finds in 8 of 10 times, at 5 % and at the level that Holm's correction asks of the first of {} "
        "comparisons.",
        primary, static_cast<int>(number(decisive.front(), "comparisons"))));
    page.paragraph(headline(decisive));
    add_contrasts(page, decisive, "The figure that was named before the first training; nothing else here decides");
  }

  page.heading("Arms");
  for (const std::string& regime : regimes) {
    page.subheading("Regime " + regime);
    add_arms(page, results, "test", regime);
    add_bars(page, results, "test", regime, primary);
    for (const char* metric : {"f1", "recall", "auc"}) add_bars(page, results, "test", regime, metric);
  }

  if (!decisive.empty())
    page.heading("Other figures").note("Exploratory: p-values are corrected within each figure, not over all of them.");
  const auto others = rows_where(results.at("contrasts"), [&](const json& r) {
    return text(r, "slice") == "test" && !r.at("primary").get<bool>();
  });
  std::vector<std::string> seen;
  for (const json& row : others) {
    if (std::find(seen.begin(), seen.end(), named(row)) != seen.end()) continue;
    seen.push_back(named(row));
    add_contrasts(page, rows_where(others, [&](const json& r) { return named(r) == seen.back(); }), seen.back());
  }

  for (const std::string& slice : values_of(results.at("figures"), "slice")) {
    if (slice == "test") continue;
    page.heading(slice == "external" ? "Second data set" : "Skin " + slice);
    const auto rows = rows_where(results.at("figures"), [&](const json& r) { return text(r, "slice") == slice; });
    page.paragraph(fmt::format("{} images, {} patients.{}", rows.front().at("images").dump(),
                               rows.front().at("patients").dump(),
                               slice == "external" ? " Never trained on: " + results.at("external").get<std::string>() +
                                                         "; probabilities of the common conditions alone."
                                                   : ""));
    for (const std::string& regime : regimes) add_arms(page, results, slice, regime);
    add_contrasts(page,
                  rows_where(results.at("contrasts"),
                             [&](const json& r) { return text(r, "slice") == slice && named(r) == primary; }),
                  primary);
  }

  page.heading("Design");
  page.paragraph(fmt::format("Registered before the first training; SHA-256 of registration.json: {}",
                             results.at("registration_sha256").get<std::string>()));
  Rows facts;
  for (const auto& [key, value] : design.items()) {
    if (!value.is_object()) {
      facts.push_back({key, value.is_string() ? value.get<std::string>() : value.dump()});
      continue;
    }
    for (const auto& [inner, v] : value.items())
      facts.push_back({key + "." + inner, v.is_string() ? v.get<std::string>() : v.dump()});
  }
  page.table({"option", "value"}, facts);
  Rows folds;
  for (const json& fold : results.at("folds")) {
    std::vector<std::string> row = {fold.at("fold").dump()};
    for (const char* part : {"train", "validation", "test"})
      row.push_back(
          fmt::format("{} of {} patients", fold.at(part).at("images").dump(), fold.at(part).at("patients").dump()));
    folds.push_back(std::move(row));
  }
  page.table({"fold", "train", "validation", "test"}, folds, "Images; no patient is in two parts of a fold");
  add_counts(page, results);

  page.heading("Provenance");
  Rows from = {{"photographs", results.at("data").get<std::string>()},
               {"their fingerprint", text(registration, "data_fingerprint")},
               {"synthetic images", results.at("synthetic").get<std::string>()}};
  for (const json& learned : results.at("generator_learned_from"))
    from.push_back({"the generator learned from", learned.get<std::string>()});
  if (!text(registration, "weights_sha256").empty())
    from.push_back({"classifiers start from, SHA-256", text(registration, "weights_sha256")});
  for (const json& compute : results.at("compute")) from.push_back({"computed on", compute.get<std::string>()});
  from.push_back({"classifiers, seconds in all", fmt::format("{:.0f}", number(results, "classifier_seconds"))});
  if (!results.at("command").get<std::string>().empty()) from.push_back({"command", text(results, "command")});
  page.table({"what", "value"}, from);

  page.heading("Limits");
  page.list(
      {"Intervals cover which patients are asked and how trainings vary; not another clinic, camera or way of "
       "labelling.",
       "Training parts of different folds overlap, so folds are not fully independent of each other.",
       "That no difference is shown is no proof that there is none: see the smallest difference that could be seen.",
       "Research software; not a medical device."});
  page.write(file);
}

std::string summary_text(const json& results) {
  std::string lines;
  for (const json& mark : results.at("marks")) lines += "note: " + mark.get<std::string>() + "\n";
  for (const json& row : results.at("figures"))
    if (text(row, "slice") == "test")
      lines +=
          fmt::format("{}, regime {}: {} {}\n", named(row), text(row, "regime"), text(row, "arm"), estimate_text(row));
  for (const json& row : results.at("contrasts")) {
    if (!row.at("primary").get<bool>()) continue;
    lines += fmt::format("{}, regime {}: {} against {}: {}, p (Holm) {}: {}\n", text(row, "metric"),
                         text(row, "regime"), text(row, "arm"), text(row, "control"), estimate_text(row, true),
                         p_text(number(row, "p_holm")), verdict_of(row));
  }
  return lines;
}

}  // namespace derm::utility
