#include "derm/explore/truncation.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "derm/base/csv.h"
#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/base/progress.h"
#include "derm/base/random.h"
#include "derm/base/system.h"
#include "derm/data/dataset.h"
#include "derm/evaluation/evaluate.h"
#include "derm/explore/interpolate.h"
#include "derm/image/codec.h"
#include "derm/image/draw.h"
#include "derm/image/resize.h"
#include "derm/report/report.h"

namespace derm::explore {
namespace {

namespace fs = std::filesystem;

constexpr double kMostPsi = 2;
constexpr int kLargestSheet = 4096;  // px
constexpr size_t kMostNumbers = 64;

image::Image image_at(const Model& model, uint64_t seed, const std::string& condition, double psi) {
  const at::Tensor middle = model.middle(condition), point = model.points({seed}, condition);
  return model.images(middle + psi * (point - middle), condition).front();
}

/// A set of images at one psi, of the photographs' conditions where the model has classes.
evaluation::ImageSet made(const Model& model, const TruncationOptions& options, const evaluation::ImageSet& real,
                          double psi, const fs::path& root) {
  std::vector<std::string> conditions;
  if (model.has_classes() && options.condition.empty()) {
    const std::vector<std::string>& known = model.map().conditions;
    for (const evaluation::Item& item : real.items()) {
      if (std::find(known.begin(), known.end(), item.condition) != known.end()) conditions.push_back(item.condition);
    }
  }
  if (conditions.empty()) conditions.push_back(model.condition(options.condition));
  const size_t count = options.count > 0 ? options.count : real.size();
  fs::create_directories(root / "images");
  std::vector<data::Record> records;
  Progress progress(fmt::format("psi {:.2f}", psi), static_cast<double>(count), "images");
  for (size_t i = 0; i < count; ++i) {
    const std::string& condition = conditions[i % conditions.size()];
    data::Record record;
    record.file_name = fmt::format("images/{:06d}.png", i);
    record.condition = condition.empty() ? "unknown" : condition;
    record.extra["image_manipulation"] = "synthetic";
    image::write_png(root / record.file_name, image_at(model, mix_seed(options.seed, 1000 + i) >> 24, condition, psi),
                     marks_of(model));
    records.push_back(std::move(record));
    progress.update(static_cast<double>(i + 1));
  }
  progress.finish();
  std::vector<std::string> heeds = {"seed"};
  if (model.has_classes()) heeds.insert(heeds.begin(), "condition");
  data::write_data_set(
      root, records,
      {{"image_manipulation", "synthetic"},
       {"image_size_px", model.size_px()},
       {"generator", {{"recipe", model.recipe_name()}, {"bundle_sha256", model.sha256()}, {"heeds", heeds}}}});
  return evaluation::ImageSet::synthetic(std::make_shared<data::DataSet>(data::DataSet::open(root)));
}

image::Image sheet_of(const Model& model, const TruncationOptions& options, const std::string& condition) {
  image::Grid grid;
  const int cell = std::min(model.size_px(), kLargestSheet / static_cast<int>(options.psis.size()));
  for (const double psi : options.psis) grid.column_labels.push_back(fmt::format("psi {:.2f}", psi));
  for (int64_t i = 0; i < options.shown; ++i) {
    const uint64_t seed = options.seed + static_cast<uint64_t>(i);
    grid.row_labels.push_back(fmt::format("seed {}", seed));
    grid.rows.emplace_back();
    for (const double psi : options.psis) {
      image::Image picture = image_at(model, seed, condition, psi);
      if (picture.width > cell) picture = image::resize(picture, cell, cell);
      grid.rows.back().push_back(std::move(picture));
    }
  }
  return image::draw_grid(grid);
}

/// Figures over psi: a table, and curves of those whose names say that they belong together.
void add_figures(report::Page& page, const std::vector<TruncationStep>& steps) {
  std::vector<std::string> header = {"figure", "better is"};
  for (const TruncationStep& s : steps) header.push_back(fmt::format("psi {:.2f}", s.psi));
  std::vector<std::vector<std::string>> rows;
  const std::vector<evaluation::Figure>& first = steps.front().figures.figures;
  for (size_t f = 0; f < first.size(); ++f) {
    rows.push_back({evaluation::label_of(first[f]), first[f].better_low ? "lower" : "higher"});
    for (const TruncationStep& s : steps) rows.back().push_back(evaluation::figure_text(s.figures.figures.at(f)));
  }
  page.table(header, rows,
             fmt::format("{} photographs, {} synthetic images at each psi; 95 % intervals",
                         steps.front().figures.n_real, steps.front().figures.n_synthetic));
  const auto curves = [&](const std::string& title, const std::vector<std::string>& beginnings, const char* axis) {
    report::Plot plot;
    plot.title = title;
    plot.x_label = "psi";
    plot.y_label = axis;
    for (size_t f = 0; f < first.size(); ++f) {
      const bool wanted = std::any_of(beginnings.begin(), beginnings.end(),
                                      [&](const std::string& b) { return first[f].metric.starts_with(b); });
      if (!wanted) continue;
      report::Series series;
      series.name = evaluation::label_of(first[f]);
      series.points = true;
      for (const TruncationStep& s : steps) {
        series.x.push_back(s.psi);
        series.y.push_back(s.figures.figures.at(f).value);
      }
      plot.series.push_back(std::move(series));
    }
    if (!plot.series.empty()) page.plot(plot);
  };
  curves("Kernel distance over psi", {"KID"}, "KID");
  curves("Precision and recall over psi", {"precision", "recall"}, "share");
  curves("Variety over psi", {"MS-SSIM", "LPIPS"}, "mean over pairs");
}

}  // namespace

std::vector<double> parse_numbers(const std::string& text, const std::string& flag) {
  std::vector<double> numbers;
  const auto number = [&](const std::string& part) {
    try {
      return parse_number(part, flag);
    } catch (const DataError&) {
      throw UsageError("{} {}: '{}' is no number; 0..1:6 or 0.3,0.7,1 is expected", flag, text, part);
    }
  };
  if (const size_t dots = text.find(".."); dots != std::string::npos) {
    const size_t colon = text.find(':', dots);
    const double low = number(text.substr(0, dots));
    const double high = number(text.substr(dots + 2, colon == std::string::npos ? colon : colon - dots - 2));
    const double count = colon == std::string::npos ? 6 : number(text.substr(colon + 1));
    if (count < 2 || count > static_cast<double>(kMostNumbers) || count != std::floor(count) || low >= high)
      throw UsageError("{} {}: LOW..HIGH:COUNT is expected, LOW below HIGH, 2 to {} numbers", flag, text, kMostNumbers);
    for (int i = 0; i < static_cast<int>(count); ++i) numbers.push_back(low + (high - low) * i / (count - 1));
    return numbers;
  }
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find(',', at), text.size());
    numbers.push_back(number(text.substr(at, end - at)));
    at = end + 1;
  }
  if (numbers.size() > kMostNumbers)
    throw UsageError("{}: {} numbers were given, {} are the most", flag, numbers.size(), kMostNumbers);
  return numbers;
}

std::vector<TruncationStep> write_truncation(const Model& model, const TruncationOptions& options,
                                             const std::optional<evaluation::ImageSet>& real,
                                             const evaluation::FidelityOptions& fidelity,
                                             const evaluation::FeatureCache& cache, const fs::path& out) {
  model.styles();  // says that it needs them
  if (options.psis.size() < 2)
    throw UsageError("truncation: {} psi; a sweep has two or more (--psi 0..1:6)", options.psis.size());
  for (const double psi : options.psis) {
    if (!(psi >= 0 && psi <= kMostPsi))
      throw UsageError("truncation: psi {}; 0 (the average) to {} is accepted, 1 leaves images as they are", psi,
                       kMostPsi);
  }
  if (options.shown < 1 || options.shown > 64)
    throw UsageError("truncation: {} seeds for the sheet; 1 to 64 are shown", options.shown);
  const std::string condition = model.condition(options.condition);
  NewDirectory directory(out);
  const fs::path& root = directory.path();
  std::vector<TruncationStep> steps;
  for (const double psi : options.psis) steps.push_back({.psi = psi, .figures = {}});
  nlohmann::json protocol;
  CsvTable table({"psi", "metric", "space", "value", "low", "high", "floor", "n_real", "n_synthetic", "note"});
  const auto text = [](double v) { return std::isfinite(v) ? number_text(v) : std::string(); };
  if (real) {
    evaluation::FidelityOptions measuring = fidelity;
    measuring.swd = false;
    measuring.seed = options.seed;
    for (TruncationStep& step : steps) {
      throw_if_interrupted();
      const fs::path folder = root / "measured";
      const evaluation::ImageSet set = made(model, options, *real, step.psi, folder);
      const evaluation::FidelityResult result =
          evaluation::measure_fidelity(*real, std::nullopt, set, measuring, cache);
      step.figures = result.groups.front();
      protocol = result.protocol;
      fs::remove_all(folder);
      for (const evaluation::Figure& f : step.figures.figures)
        table.add_row({text(step.psi), f.metric, f.space, text(f.value), text(f.low), text(f.high), text(f.floor),
                       std::to_string(f.n_real), std::to_string(f.n_synthetic), f.note});
    }
    write_file(root / "truncation.csv", table.to_string());
  }
  const image::Image sheet = sheet_of(model, options, condition);
  image::write_png(root / "truncation.png", sheet, marks_of(model));
  report::Page page("What truncation costs and gives", fmt::format("{}, {} px, weights {}", model.recipe_name(),
                                                                   model.size_px(), model.sha256().substr(0, 12)));
  page.paragraph(
      "psi draws every style towards the average: 1 leaves images as they are, 0 gives the average image alone. Less "
      "psi "
      "mostly gives cleaner images and less variety.");
  page.heading("Images");
  page.figure(sheet, "A row a seed, a column a psi. All are synthetic.", "Synthetic images over psi");
  if (real) {
    page.heading("Figures");
    add_figures(page, steps);
  }
  page.heading("Provenance");
  std::vector<std::vector<std::string>> facts = {{"bundle", model.bundle().string()},
                                                 {"weights, SHA-256", model.sha256()},
                                                 {"condition of the sheet", condition.empty() ? "none" : condition},
                                                 {"seed", std::to_string(options.seed)}};
  if (real) facts.push_back({"photographs", real->name()});
  facts.push_back({"software", "dermgan " + version()});
  if (!options.command.empty()) facts.push_back({"command", options.command});
  page.table({"what", "value"}, facts);
  nlohmann::json json = {{"bundle_sha256", model.sha256()},
                         {"recipe", model.recipe_name()},
                         {"psi", options.psis},
                         {"condition", condition},
                         {"seed", options.seed},
                         {"protocol", protocol},
                         {"software", "dermgan " + version()}};
  if (!options.command.empty()) json["command"] = options.command;
  for (const TruncationStep& s : steps) {
    nlohmann::json figures = nlohmann::json::array();
    const auto number = [](double v) { return std::isfinite(v) ? nlohmann::json(v) : nlohmann::json(); };
    for (const evaluation::Figure& f : s.figures.figures)
      figures.push_back({{"metric", f.metric},
                         {"space", f.space},
                         {"value", number(f.value)},
                         {"interval", {number(f.low), number(f.high)}},
                         {"n_real", f.n_real},
                         {"n_synthetic", f.n_synthetic}});
    json["steps"].push_back({{"psi", s.psi}, {"figures", figures}});
  }
  write_file(root / "truncation.json", json.dump(2) + "\n");
  page.write(root / "report.html");
  directory.commit();
  return steps;
}

}  // namespace derm::explore
