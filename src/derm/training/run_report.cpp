#include "derm/training/run_report.h"

#include <algorithm>
#include <fstream>
#include <map>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "derm/base/files.h"
#include "derm/image/codec.h"
#include "derm/report/report.h"

namespace derm::training {
namespace {

std::vector<nlohmann::json> read_lines(const fs::path& file) {
  std::vector<nlohmann::json> lines;
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (json.is_object()) lines.push_back(std::move(json));
  }
  return lines;
}

report::Plot curves(const std::string& title, const std::string& y_label, std::vector<report::Series> series) {
  report::Plot plot;
  plot.title = title;
  plot.x_label = "kimg";
  plot.y_label = y_label;
  plot.series = std::move(series);
  return plot;
}

}  // namespace

void write_run_report(const fs::path& run) {
  report::Page page(fs::weakly_canonical(run).filename().string(), "A training run of dermgan");
  const auto stats = read_lines(run / "stats.jsonl");
  std::vector<fs::path> fakes;
  for (const auto& entry : fs::directory_iterator(run))
    if (entry.path().filename().string().starts_with("fakes") && entry.path().extension() == ".png")
      fakes.push_back(entry.path());
  std::sort(fakes.begin(), fakes.end());
  if (!fakes.empty()) {
    page.heading("What it makes");
    page.figure(image::read_image(fakes.back()),
                "The same requests through the whole run, here at " + fakes.back().stem().string() +
                    "; no photograph stands behind them. Average of the weights.",
                "Sheet of generated skin images, a row a condition");
  }
  if (fs::exists(run / "reals.png"))
    page.figure(image::read_image(run / "reals.png"), "Some of the images it learns from", "Sheet of training images");
  for (const auto& entry : fs::directory_iterator(run)) {
    if (!entry.path().filename().string().starts_with("metric-")) continue;
    const auto lines = read_lines(entry.path());
    if (lines.empty()) continue;
    // A judge's figures, each on its own scale; or a generator's KID; or how varied its images are.
    const bool judge = lines.front().contains("figures");
    if (lines.front().contains("nearest")) {
      report::Series pairs, nearest;
      pairs.name = "any two", nearest.name = "the nearest two";
      pairs.points = nearest.points = true;
      for (const auto& line : lines)
        for (auto& [series, key] : {std::pair{&pairs, "pairs"}, {&nearest, "nearest"}}) {
          series->x.push_back(line.value("kimg", 0.0));
          series->y.push_back(line.value(key, 0.0));
        }
      page.heading("How varied its images are");
      page.plot(curves("difference of two images, over that of two photographs", "1: as varied", {pairs, nearest}));
      continue;
    }
    std::vector<std::string> names = {"KID"};
    if (judge) {
      names.clear();
      for (const auto& [name, value] : lines.front()["figures"].items()) names.push_back(name);
    }
    page.heading(judge ? "Figures on the validation images" : "Distance to the validation images");
    for (const std::string& name : names) {
      report::Series series;
      series.name = name;
      series.points = true;
      for (const auto& line : lines) {
        series.x.push_back(line.value("kimg", 0.0));
        series.y.push_back(judge ? line["figures"].value(name, 0.0) : line.value("kid", 0.0));
      }
      page.plot(curves(judge ? name : entry.path().stem().string(), name, {series}));
    }
  }
  page.heading("Losses");
  std::map<std::string, std::vector<report::Series>> by_player;
  for (const auto& line : stats) {
    const auto losses = line.value("losses", nlohmann::json::object());
    for (const auto& [name, value] : losses.items()) {
      auto& series = by_player[name.substr(0, name.find('/'))];
      auto found = std::find_if(series.begin(), series.end(), [&](const auto& s) { return s.name == name; });
      if (found == series.end()) {
        found = series.insert(series.end(), report::Series());
        found->name = name;
      }
      found->x.push_back(line.value("kimg", 0.0));
      found->y.push_back(value.get<double>());
    }
  }
  for (const auto& [player, series] : by_player) page.plot(curves(player, "loss (before its weight)", series));
  if (!stats.empty()) {
    const auto& last = stats.back();
    page.heading("Speed");
    page.table({"figure", "value"}, {{"steps", std::to_string(last.value("step", int64_t{0}))},
                                     {"kimg", fmt::format("{:.2f}", last.value("kimg", 0.0))},
                                     {"seconds a kimg", fmt::format("{:.1f}", last.value("s_per_kimg", 0.0))},
                                     {"seconds waited for data", fmt::format("{:.1f}", last.value("waited_s", 0.0))}});
  }
  page.heading("Its options");
  page.code(read_file(run / "config.toml"));
  page.write(run / "report.html");
}

}  // namespace derm::training
