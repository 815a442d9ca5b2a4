#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>

#include "derm/base/csv.h"
#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/base/system.h"
#include "derm/evaluation/control_report.h"
#include "derm/generation/output.h"
#include "derm/image/codec.h"
#include "derm/image/colour.h"
#include "derm/report/report.h"

namespace derm::evaluation {

std::string number(double value, int digits) {
  return std::isfinite(value) ? fmt::format("{:.{}f}", value, digits) : "-";
}

std::string with_interval(double value, const Interval& interval, int digits) {
  return fmt::format("{} [{}, {}]", number(value, digits), number(interval.low, digits), number(interval.high, digits));
}

namespace {

namespace fs = std::filesystem;

constexpr size_t kMostConditions = 8;  // rows of a sheet

/// A sweep that was generated and measured.
struct Sheet {
  generation::GridPlan plan;
  std::vector<image::Image> images;
  std::vector<ControlSample> samples;  // as the images, row after row
  image::Image picture, regions;

  size_t columns() const { return plan.column_labels.size(); }
  const ControlSample& at(size_t row, size_t col) const { return samples[row * columns() + col]; }
};

Sheet make_sheet(generation::Engine& engine, const data::Wish& wish, const std::vector<data::Sweep>& sweeps,
                 const std::string& title) {
  Sheet sheet;
  sheet.plan = generation::plan_grid(engine.offer(), wish, sweeps);
  std::vector<data::Request> requests;
  for (const auto& row : sheet.plan.rows) requests.insert(requests.end(), row.begin(), row.end());
  engine.generate(requests, [&](size_t, image::Image image) { sheet.images.push_back(std::move(image)); });
  sheet.samples.resize(requests.size());
  parallel_for(requests.size(), [&](size_t i) { sheet.samples[i] = measure_sample(requests[i], sheet.images[i]); });
  sheet.picture = generation::draw_sheet(sheet.plan, sheet.images, title, false);
  sheet.regions = generation::draw_sheet(sheet.plan, sheet.images, title, true);
  return sheet;
}

/// Evenly spread values as the text of a flag.
std::vector<std::string> spread(double low, double high, int count, const std::string& prefix = "", double unit = 100) {
  std::vector<std::string> values;
  for (int i = 0; i < count; ++i) {
    const double v = count == 1 ? (low + high) / 2 : low + (high - low) * i / (count - 1);
    values.push_back(prefix + number_text(std::round(v * unit) / unit));
  }
  return values;
}

struct Sweeps {
  Sheet condition, size, place, ita, monk;
};

Sweeps make_sweeps(generation::Engine& engine, uint64_t seed) {
  const data::Offer& offer = engine.offer();
  std::vector<std::string> conditions = offer.conditions;
  if (conditions.size() > kMostConditions) conditions.resize(kMostConditions);
  const data::Sweep by_condition{"condition", conditions};
  std::vector<std::string> two = conditions;
  if (two.size() > 2) two = {conditions.front(), conditions[conditions.size() / 2]};

  const double low = offer.low_size, high = std::min(offer.high_size, 0.9);
  const double middle = std::clamp(0.35, low, high);
  data::Wish wish;
  wish.seed = seed;
  wish.size = number_text(std::round(middle * 1000) / 1000);

  Sweeps s;
  const std::vector<std::string> seeds = {std::to_string(seed), std::to_string(seed + 1), std::to_string(seed + 2)};
  s.condition = make_sheet(engine, wish, {{"seed", seeds}, by_condition}, "");
  s.size = make_sheet(engine, wish, {by_condition, {"size", spread(low, high, 6)}}, "");

  // Where a lesion hardly differs from its skin the finder would tell its own limits, not where the lesion is.
  const auto contrast = [&](size_t c) {
    double sum = 0;
    for (size_t r = 0; r < s.condition.plan.rows.size(); ++r) sum += s.condition.at(r, c).lesion_contrast;
    return sum;
  };
  size_t clearest = 0;
  for (size_t c = 1; c < conditions.size(); ++c) {
    if (contrast(c) > contrast(clearest)) clearest = c;
  }
  data::Wish placed = wish;
  placed.condition = conditions[clearest];
  const double size = std::clamp(0.25, std::min(low, 0.6), high);
  placed.size = number_text(std::round(size * 1000) / 1000);
  const double edge = std::min(0.5, size / 2 + 0.06);
  const std::vector<std::string> positions = spread(edge, 1 - edge, 3, "", 1000);
  s.place = make_sheet(engine, placed, {{"y", positions}, {"x", positions}}, "");

  const bool known = offer.locus.known();
  const double low_ita = known ? std::ceil(offer.locus.low_ita()) : 0,
               high_ita = known ? std::floor(offer.locus.high_ita()) : 50;
  s.ita = make_sheet(engine, wish,
                     {{"condition", two}, {"skin", spread(low_ita, std::max(low_ita, high_ita), 7, "ita:", 1)}}, "");
  std::vector<std::string> monk;
  for (int tone = 1; tone <= 10; ++tone) monk.push_back("monk:" + std::to_string(tone));
  s.monk = make_sheet(engine, wish, {{"condition", two}, {"skin", monk}}, "* = colour beyond the training data");
  return s;
}

void add_condition(report::Page& page, const Sheet& sheet) {
  page.heading("Condition");
  page.paragraph(
      "Only the condition changes along a row; place, size and skin stay. Each row has another seed, and so another "
      "outline.");
  page.figure(sheet.picture, "A column a condition, a row a seed.",
              "Generated skin images, one column for each condition");
  std::vector<std::vector<std::string>> rows;
  for (size_t c = 0; c < sheet.columns(); ++c) {
    double contrast = 0, error = 0;
    for (size_t r = 0; r < sheet.plan.rows.size(); ++r) {
      contrast += sheet.at(r, c).lesion_contrast / static_cast<double>(sheet.plan.rows.size());
      error += sheet.at(r, c).skin_error / static_cast<double>(sheet.plan.rows.size());
    }
    rows.push_back({sheet.plan.column_labels[c], number(contrast, 1), number(error, 1)});
  }
  page.table({"condition", "lesion against skin (CIEDE2000)", "skin colour error (CIEDE2000)"}, rows,
             fmt::format("Means over {} images each", sheet.plan.rows.size()));
  page.note(
      "Whether a lesion looks like its condition to a dermatologist, or to a classifier trained on photographs, is not "
      "measured here.");
}

void add_size(report::Page& page, const Sheet& sheet) {
  page.heading("Size");
  page.paragraph(
      "The long side of the asked region grows from left to right over the sizes that the model has seen; a row a "
      "condition.");
  page.figure(sheet.picture, "Size: long side of the region over the image's side.",
              "Generated lesions growing from left to right");
  page.figure(sheet.regions, "The same with the asked regions outlined.", "The same images with the asked outlines");
  std::vector<std::vector<std::string>> rows;
  report::Plot plot;
  plot.title = "Area asked and found, along the sweep";
  plot.x_label = "area asked (share of the image)";
  plot.y_label = "area found";
  plot.identity = true;
  for (size_t r = 0; r < sheet.plan.rows.size(); ++r) {
    report::Series series;
    series.name = sheet.plan.row_labels[r];
    series.points = true;
    for (size_t c = 0; c < sheet.columns(); ++c) {
      series.x.push_back(sheet.at(r, c).area_asked);
      series.y.push_back(sheet.at(r, c).area_found);
    }
    plot.series.push_back(series);
  }
  for (size_t c = 0; c < sheet.columns(); ++c) {
    double asked = 0, found = 0, iou = 0, low = 1e9, high = -1e9;
    const double n = static_cast<double>(sheet.plan.rows.size());
    for (size_t r = 0; r < sheet.plan.rows.size(); ++r) {
      const ControlSample& s = sheet.at(r, c);
      asked += s.area_asked / n, found += s.area_found / n, iou += s.region_iou / n;
      low = std::min(low, s.ita_measured), high = std::max(high, s.ita_measured);
    }
    rows.push_back({sheet.plan.column_labels[c], number(asked, 3), number(found, 3), number(iou),
                    fmt::format("{} to {}", number(low, 0), number(high, 0))});
  }
  page.plot(plot);
  page.table({"asked", "area asked", "area found", "IoU", "ITA of the skin meanwhile"}, rows,
             fmt::format("Means over {} conditions", sheet.plan.rows.size()));
}

void add_place(report::Page& page, const Sheet& sheet) {
  page.heading("Place");
  page.paragraph(
      fmt::format("The centre of the region moves over the image; all else stays. Shown with {}, whose lesions "
                  "stand out most, so that the finder can tell where they are.",
                  sheet.samples.front().request.condition()));
  page.figure(sheet.picture, "x across, y down.", "Nine generated images, the lesion at nine places");
  page.figure(sheet.regions, "The same with the asked regions outlined.", "The same images with the asked outlines");
  std::vector<std::vector<std::string>> rows;
  for (size_t r = 0; r < sheet.plan.rows.size(); ++r) {
    for (size_t c = 0; c < sheet.columns(); ++c) {
      const ControlSample& s = sheet.at(r, c);
      rows.push_back({sheet.plan.column_labels[c] + ", " + sheet.plan.row_labels[r], number(s.region_iou),
                      number(s.centre_error, 3)});
    }
  }
  page.table({"asked", "IoU", "distance of the centres"}, rows,
             "Distance over the image's side; '-' where the finder saw nothing");
}

void add_skin(report::Page& page, const Sheet& ita, const Sheet& monk, bool known) {
  page.heading("Skin colour");
  page.paragraph(
      known ? "First along the training data's own range of skin tones, as ITA; then over the ten tones of the Monk "
              "scale, part of "
              "which lies beyond it. What the data does not cover is marked with '*': there the model extrapolates."
            : "First along a range of ITA, then over the ten tones of the Monk scale. The model's range is unknown, so "
              "all is marked with '*'.");
  page.figure(ita.picture, "Skin tone asked as ITA, in degrees (a colour, not a Fitzpatrick type).",
              "Generated images from dark to light skin");
  page.figure(monk.picture, "Monk Skin Tone 1 to 10 (Ellis Monk, CC BY 4.0). * beyond the training data.",
              "Generated images over the ten Monk skin tones");
  report::Plot plot;
  plot.title = "ITA asked and measured, along the sweeps";
  plot.x_label = "ITA asked (degrees)";
  plot.y_label = "ITA measured (degrees)";
  plot.identity = true;
  const auto table = [&](const Sheet& sheet, const std::string& name) {
    std::vector<std::vector<std::string>> rows;
    for (size_t r = 0; r < sheet.plan.rows.size(); ++r) {
      report::Series series;
      series.name = name + ", " + sheet.plan.row_labels[r];
      series.points = true;
      for (size_t c = 0; c < sheet.columns(); ++c) {
        const ControlSample& s = sheet.at(r, c);
        series.x.push_back(s.ita_asked);
        series.y.push_back(s.ita_measured);
        if (r > 0) continue;
        rows.push_back({sheet.plan.column_labels[c] + (s.request.extrapolated ? " *" : ""),
                        image::hex_of(image::rgb_of(s.request.skin)), image::hex_of(image::rgb_of(s.skin)),
                        number(s.ita_asked, 0), number(s.ita_measured, 0), number(s.skin_error, 1)});
      }
      plot.series.push_back(series);
    }
    page.table({"asked", "colour asked", "colour measured", "ITA asked", "ITA measured", "CIEDE2000"}, rows,
               "First row of the sheet");
  };
  table(ita, "ITA sweep");
  table(monk, "Monk sweep");
  page.plot(plot);
}

std::vector<nlohmann::json> json_lines(const fs::path& file) {
  std::vector<nlohmann::json> lines;
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    nlohmann::json json = nlohmann::json::parse(line, nullptr, false);
    if (json.is_object()) lines.push_back(std::move(json));  // the last line of a killed run may be torn
  }
  return lines;
}

double json_number(const nlohmann::json& json, const char* name) {
  return json.contains(name) && json.at(name).is_number() ? json.at(name).get<double>() : std::nan("");
}

void add_limits(report::Page& page, const ControlResult& c) {
  page.heading("Limits");
  page.note("Research software; not a medical device. The images are synthetic and marked so in the file.");
  page.list(
      {"Place and size are measured by a finder that works by colour difference. Where a lesion is as light as its "
       "skin it sees little, and what it gets wrong counts against the model here.",
       "Skin colour is measured by the means that measured the training data, so a fault that they share would not "
       "show.",
       "ITA is a colour measured in the image, lighting included. It is not a Fitzpatrick type and says nothing of a "
       "person's origin.",
       fmt::format("The intervals tell how much the figures would move with other requests (N = {}), not with another "
                   "training.",
                   c.samples.size()),
       "Control is not realism: whether the images look real, vary enough, help a classifier, or copy training images "
       "is not measured in this report.",
       "Colours marked as extrapolated lie beyond the training data; what the model makes there is a guess, however it "
       "looks."});
}

void add_drift(report::Page& page, const Drift& drift) {
  page.heading("What else moves when one control is moved");
  page.paragraph(fmt::format(
      "Each control was swept {} times over what the model has seen, {} images a sweep, all other controls and the "
      "seed "
      "held. A row is the control that moved, a column what was measured: the mean over the sweeps of the largest less "
      "the smallest value, and its 95 % interval. What a control is meant to move stands in its own column; all else "
      "in "
      "its row is drift. Area and place as {} sees them.",
      drift.sweeps, drift.steps, drift.region_by));
  std::vector<std::string> header = {"moved"};
  for (size_t q = 0; q < drift.quantities.size(); ++q)
    header.push_back(fmt::format("{} ({})", drift.quantities[q], drift.units[q]));
  std::vector<std::vector<std::string>> rows;
  for (size_t c = 0; c < drift.controls.size(); ++c) {
    rows.push_back({drift.controls[c]});
    for (size_t q = 0; q < drift.quantities.size(); ++q)
      rows.back().push_back(with_interval(drift.range[c][q], drift.interval[c][q], q == 0 ? 1 : 2));
  }
  page.table(header, rows, "Range within a sweep");
}

}  // namespace

std::vector<std::vector<std::string>> model_facts(const generation::Engine& engine) {
  const data::Offer& offer = engine.offer();
  std::vector<std::vector<std::string>> rows = {
      {"recipe", engine.recipe_name()},
      {"image size", fmt::format("{0} x {0} px", engine.size_px())},
      {"conditions", fmt::format("{}", fmt::join(engine.conditions(), ", "))},
      {"skin it has seen", offer.locus.known() ? fmt::format("ITA {:.0f} to {:.0f} degrees (5th to 95th percentile)",
                                                             offer.locus.low_ita(), offer.locus.high_ita())
                                               : std::string("unknown; every colour counts as extrapolated")},
      {"lesion sizes it has seen",
       fmt::format("{:.2f} to {:.2f} of the image's side (5th to 95th percentile)", offer.low_size, offer.high_size)},
      {"weights, SHA-256", engine.bundle_sha256()},
      {"computed on", engine.compute_text()},
  };
  for (const auto& [name, value] : engine.training_facts().items()) {
    if (value.is_null() || value.is_object() || value.is_array() ||
        (value.is_string() && value.get<std::string>().empty()))
      continue;
    std::string text = value.is_string()         ? value.get<std::string>()
                       : value.is_number_float() ? number(value.get<double>(), 3)
                                                 : value.dump();
    rows.push_back({"training: " + name, text});
  }
  return rows;
}

void add_control_figures(report::Page& page, const ControlResult& c) {
  page.paragraph(
      fmt::format("{} requests: {}. Skin colour is measured as `dermgan prepare` measures a photograph; the region by "
                  "the finder of "
                  "`prepare`{}. In brackets: 95 % intervals (percentile bootstrap over the images).",
                  c.samples.size(), c.requests,
                  c.judged ? " and, independently of it, by the trained segmenter " + c.segmenter : std::string()));
  std::vector<std::vector<std::string>> rows = {
      {"skin colour error, median (CIEDE2000)", with_interval(c.skin_error_median, c.skin_error_interval),
       "lower; below about 2 is hard to see"},
      {"skin colour error, 95th percentile (CIEDE2000)", number(c.skin_error_p95), "lower"},
      {"ITA, rank correlation of asked and measured", with_interval(c.ita_rank_correlation, c.ita_rank_interval, 3),
       "nearer to 1"},
      {"ITA error, median (degrees)", with_interval(c.ita_error_median, c.ita_error_interval, 1), "lower"}};
  if (c.judged) {
    const ControlResult::Judged& j = *c.judged;
    rows.push_back(
        {"region by the segmenter: IoU, median", with_interval(j.iou_median, j.iou_interval, 3), "nearer to 1"});
    rows.push_back({"area by the segmenter: rank correlation",
                    with_interval(j.area_rank_correlation, j.area_rank_interval, 3), "nearer to 1"});
    rows.push_back({"area by the segmenter: relative error, median",
                    with_interval(j.area_error_median, j.area_error_interval), "lower"});
    rows.push_back({"centre by the segmenter: distance, median (share of the side)",
                    with_interval(j.centre_error_median, j.centre_error_interval, 3), "lower"});
    rows.push_back({"images in which the segmenter saw no lesion", std::to_string(j.nothing_seen), "lower"});
  }
  rows.push_back({"region by the finder: IoU, median", with_interval(c.region_iou_median, c.region_iou_interval, 3),
                  "nearer to 1"});
  rows.push_back({"area by the finder: rank correlation",
                  with_interval(c.area_rank_correlation, c.area_rank_interval, 3), "nearer to 1"});
  rows.push_back({"centre by the finder: distance, median (share of the side)",
                  with_interval(c.centre_error_median, c.centre_error_interval, 3), "lower"});
  rows.push_back({"images in which the finder saw no lesion", std::to_string(c.nothing_found), "lower"});
  const auto accuracy = [&](const std::string& of, const ConditionAccuracy& a) {
    rows.push_back({fmt::format("condition as asked, by the classifier, {}: balanced accuracy (N = {}, chance {})", of,
                                a.count, number(a.chance)),
                    with_interval(a.balanced, a.balanced_interval), "near to that on photographs"});
  };
  if (c.condition) accuracy("synthetic", *c.condition);
  if (c.condition_real) accuracy(c.condition_real_of, *c.condition_real);
  page.table({"figure", "value", "better is"}, rows, fmt::format("N = {}, seed {}", c.samples.size(), c.seed));
  report::Plot ita;
  ita.title = "Skin tone asked and measured";
  ita.x_label = "ITA asked (degrees)";
  ita.y_label = "ITA measured (degrees)";
  ita.identity = true;
  report::Plot area;
  area.title = "Lesion area asked and found";
  area.x_label = "area asked (share of the image)";
  area.y_label = "area found";
  area.identity = true;
  std::map<std::string, std::pair<report::Series, report::Series>> by_condition;
  for (const ControlSample& s : c.samples) {
    auto& [tone, extent] = by_condition[s.request.condition()];
    tone.x.push_back(s.ita_asked), tone.y.push_back(s.ita_measured);
    extent.x.push_back(s.area_asked), extent.y.push_back(s.judged ? s.judged->area : s.area_found);
  }
  for (auto& [name, pair] : by_condition) {
    for (report::Series* series : {&pair.first, &pair.second}) {
      series->name = name;
      series->line = false;
      series->points = true;
    }
    ita.series.push_back(std::move(pair.first));
    area.series.push_back(std::move(pair.second));
  }
  ita.caption =
      fmt::format("One point an image, N = {}. On the dashed line the skin has just the tone that was asked for.",
                  c.samples.size());
  area.caption = fmt::format("One point an image, N = {}. The {} is not told where to look; what it misses lies at 0.",
                             c.samples.size(), c.judged ? "segmenter" : "finder");
  page.plot(ita);
  page.plot(area);
  const auto group_table = [&](const std::string& what, const std::vector<ControlGroup>& groups) {
    std::vector<std::string> header = {what, "N", "skin error (CIEDE2000)", "ITA error (degrees)", "IoU, finder"};
    if (c.judged) header.push_back("IoU, segmenter");
    if (c.condition) header.push_back("condition as asked");
    std::vector<std::vector<std::string>> cells;
    for (const ControlGroup& g : groups) {
      cells.push_back({g.name, std::to_string(g.count), number(g.skin_error_median), number(g.ita_error_median, 1),
                       number(g.region_iou_median)});
      if (c.judged) cells.back().push_back(number(g.judged_iou_median));
      if (c.condition) cells.back().push_back(number(g.condition_accuracy));
    }
    page.table(header, cells, c.condition ? "Medians; of the condition the share that the classifier sees" : "Medians");
  };
  page.subheading("By condition");
  group_table("condition", c.by_condition);
  page.subheading("By the tone that was asked for");
  group_table("tone", c.by_tone);
  const auto confusion = [&](const std::string& of, const ConditionAccuracy& a, const std::vector<std::string>& seen) {
    std::vector<std::string> header = {"asked \\ seen"};
    header.insert(header.end(), seen.begin(), seen.end());
    std::vector<std::vector<std::string>> cells;
    for (size_t r = 0; r < a.conditions.size(); ++r) {
      cells.push_back({a.conditions[r]});
      for (const size_t n : a.confusion[r]) cells.back().push_back(std::to_string(n));
    }
    page.table(header, cells, "Images, " + of);
  };
  if (c.condition && c.condition->count > 0) {
    page.subheading("What the classifier sees");
    confusion("synthetic", *c.condition, c.classes);
    if (c.condition_real) confusion(c.condition_real_of, *c.condition_real, c.classes);
    page.note(
        "The classifier is a judge of images, trained on photographs alone; it errs on them too. An image counts as "
        "right "
        "when it sees the condition that was asked for, which is not a dermatologist's word.");
  }
}

void add_run(report::Page& page, const fs::path& run) {
  page.heading("The training run");
  std::map<std::string, std::map<std::string, report::Series>> plots;  // phase, then term
  std::vector<nlohmann::json> stats = json_lines(run / "stats.jsonl");
  for (const nlohmann::json& line : stats) {
    if (!line.contains("losses") || !line.at("losses").is_object()) continue;
    for (const auto& [name, value] : line.at("losses").items()) {
      if (!value.is_number()) continue;
      report::Series& series = plots[name.substr(0, name.find('/'))][name];
      series.name = name;
      series.x.push_back(json_number(line, "kimg"));
      series.y.push_back(value.get<double>());
    }
  }
  if (plots.empty()) page.paragraph("Its stats.jsonl holds no losses yet.");
  for (auto& [phase, terms] : plots) {
    report::Plot plot;
    plot.title = "Losses of " + phase;
    plot.x_label = "thousand images shown (kimg)";
    plot.y_label = "loss, before its weight";
    for (auto& [name, series] : terms) plot.series.push_back(series);
    page.plot(plot);
  }
  std::vector<fs::path> metrics, sheets;
  for (const auto& entry : fs::directory_iterator(run)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("metric-") && entry.path().extension() == ".jsonl") metrics.push_back(entry.path());
    if (name.starts_with("fakes") && entry.path().extension() == ".png") sheets.push_back(entry.path());
  }
  std::sort(metrics.begin(), metrics.end());
  std::sort(sheets.begin(), sheets.end());
  for (const fs::path& file : metrics) {
    report::Series series;
    series.points = true;
    series.name = "KID";
    for (const nlohmann::json& line : json_lines(file)) {
      series.x.push_back(json_number(line, "kimg"));
      series.y.push_back(json_number(line, "kid"));
    }
    if (series.x.empty()) continue;
    report::Plot plot;
    plot.title = "Distance to the validation images: " + file.stem().string().substr(7);
    plot.x_label = "thousand images shown (kimg)";
    plot.y_label = "KID";
    plot.series.push_back(series);
    page.plot(plot);
  }
  // The first, one from the middle and the last: what training changed.
  std::vector<fs::path> shown;
  for (const size_t i : {size_t{0}, sheets.size() / 2, sheets.size() - 1}) {
    if (i < sheets.size() && std::find(shown.begin(), shown.end(), sheets[i]) == shown.end())
      shown.push_back(sheets[i]);
  }
  for (const fs::path& sheet : shown) {
    page.figure(image::read_image(sheet),
                sheet.stem().string() + ": the same requests through the whole run; no photograph stands behind them.",
                "Sheet of generated images during training");
  }
}

ControlResult add_control_study(report::Page& page, generation::Engine& engine, const fs::path& root,
                                const ControlReportOptions& options) {
  const Sweeps sweeps = make_sweeps(engine, options.seed);
  ControlResult control = measure_control(engine, options.count, options.seed, options.judges, options.group);
  control.condition_real = options.photographs;
  control.condition_real_of = options.photographs_of;

  const image::TextChunks marks = {{"image_manipulation", "synthetic"},
                                   {"bundle_sha256", engine.bundle_sha256()},
                                   {"Software", "dermgan " + version()}};
  const std::vector<std::pair<std::string, const Sheet*>> sheets = {{"condition", &sweeps.condition},
                                                                    {"size", &sweeps.size},
                                                                    {"place", &sweeps.place},
                                                                    {"ita", &sweeps.ita},
                                                                    {"monk", &sweeps.monk}};
  for (const auto& [name, sheet] : sheets) {
    image::write_png(root / ("sweep-" + name + ".png"), sheet->picture, marks);
    image::write_png(root / ("sweep-" + name + "-regions.png"), sheet->regions, marks);
  }
  write_file(root / "control.json", control.to_json().dump(2) + "\n");
  write_file(root / "control.csv", control.to_csv());

  add_condition(page, sweeps.condition);
  add_size(page, sweeps.size);
  add_place(page, sweeps.place);
  add_skin(page, sweeps.ita, sweeps.monk, engine.offer().locus.known());
  page.heading("Asked against achieved, in figures");
  add_control_figures(page, control);
  if (options.drift_sweeps > 0) {
    const Drift drift = measure_drift(engine, options.drift_sweeps, options.drift_steps, options.seed, options.judges);
    write_file(root / "drift.json", drift.to_json().dump(2) + "\n");
    add_drift(page, drift);
  }
  return control;
}

void require_map(const generation::Engine& engine) {
  const std::vector<std::string> heeded = engine.heeds();
  if (std::find(heeded.begin(), heeded.end(), "region") != heeded.end()) return;
  throw UsageError(
      "{}: {} heeds the {} and nothing else of a request, so skin colour, place and size cannot be asked of it; leave "
      "--control out and compare with photographs (--real D)",
      engine.bundle_path(), engine.recipe_name(), fmt::join(heeded, " and the "));
}

ControlResult write_control_report(generation::Engine& engine, const ControlReportOptions& options,
                                   const fs::path& out) {
  if (!options.run.empty() && !fs::is_directory(options.run)) {
    throw UsageError("{}: there is no run directory of that name; leave it out or name another", options.run.string());
  }
  require_map(engine);
  const ranks::Group::Busy busy(options.group);
  if (options.group && !options.group->leads()) {
    measure_control(engine, options.count, options.seed, options.judges, options.group);
    return {};
  }
  NewDirectory directory(out);  // refuses before the work, not after it
  report::Page page("Does the model do what it is asked?",
                    fmt::format("{}, {} px, weights {}", engine.recipe_name(), engine.size_px(),
                                engine.bundle_sha256().substr(0, 12)));
  const ControlResult control = add_control_study(page, engine, directory.path(), options);
  page.heading("The model");
  std::vector<std::vector<std::string>> facts = model_facts(engine);
  facts.push_back({"images measured", std::to_string(control.samples.size())});
  facts.push_back({"seed of the requests", std::to_string(control.seed)});
  facts.push_back({"software", "dermgan " + version()});
  page.table({"what", "value"}, facts);
  if (!options.run.empty()) add_run(page, options.run);
  add_limits(page, control);
  page.write(directory.path() / "report.html");
  directory.commit();
  return control;
}

ControlResult write_control_report(const ImageSet& set, const ControlReportOptions& options, const fs::path& out) {
  if (!options.run.empty() && !fs::is_directory(options.run)) {
    throw UsageError("{}: there is no run directory of that name; leave it out or name another", options.run.string());
  }
  set.request(0);  // says at once if the set does not say what was asked for
  const ranks::Group::Busy busy(options.group);
  if (options.group && !options.group->leads()) {
    measure_control(set, options.seed, options.judges, options.group);
    return {};
  }
  NewDirectory directory(out);
  ControlResult control = measure_control(set, options.seed, options.judges, options.group);
  control.condition_real = options.photographs;
  control.condition_real_of = options.photographs_of;
  write_file(directory.path() / "control.json", control.to_json().dump(2) + "\n");
  write_file(directory.path() / "control.csv", control.to_csv());
  report::Page page("Do the images show what was asked for?", set.name());
  page.heading("Asked against achieved, in figures");
  add_control_figures(page, control);
  page.heading("The set");
  page.table({"what", "value"},
             {{"images", std::to_string(set.size())},
              {"recipe", control.recipe.empty() ? "not said" : control.recipe},
              {"weights, SHA-256", control.bundle_sha256.empty() ? "not said" : control.bundle_sha256},
              {"software", "dermgan " + version()}});
  if (!options.run.empty()) add_run(page, options.run);
  add_limits(page, control);
  page.write(directory.path() / "report.html");
  directory.commit();
  return control;
}

}  // namespace derm::evaluation
