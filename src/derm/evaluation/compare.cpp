#include "derm/evaluation/compare.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <optional>
#include <set>

#include "derm/base/csv.h"
#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/base/log.h"
#include "derm/base/progress.h"
#include "derm/base/system.h"
#include "derm/evaluation/statistics.h"
#include "derm/image/codec.h"
#include "derm/recipe/bundle.h"
#include "derm/report/report.h"

namespace derm::evaluation {
namespace {

namespace fs = std::filesystem;

constexpr const char* kEvaluation = "evaluation.json";

/// A source, looked at but not measured.
struct Looked {
  CompareSource source;
  fs::path bundle, run;     // of a bundle: its folder, and the run that it belongs to
  fs::path evaluation;      // of an evaluation: its folder
  nlohmann::json figures;   // of an evaluation: evaluation.json
  nlohmann::json training;  // facts, where they are known
  std::string sha256, recipe;
  int64_t size_px = 0;
};

double number_in(const nlohmann::json& json, const char* name) {
  const auto found = json.find(name);
  return found == json.end() || !found->is_number() ? ComparedFigure::kNone : found->get<double>();
}

std::string text_in(const nlohmann::json& json, const char* name) {
  const auto found = json.find(name);
  return found == json.end() || !found->is_string() ? std::string() : found->get<std::string>();
}

nlohmann::json json_or_null(double value) { return std::isfinite(value) ? nlohmann::json(value) : nlohmann::json(); }

nlohmann::json read_evaluation(const fs::path& folder) {
  const fs::path file = folder / kEvaluation;
  nlohmann::json json = nlohmann::json::parse(read_file(file, 64 << 20), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("fidelity") || !json.at("fidelity").is_object()) {
    throw DataError("{}: it is no evaluation (an object with \"fidelity\" is expected); evaluate the model again",
                    file.string());
  }
  if (!json.contains("protocol") || !json.at("protocol").is_object()) {
    throw UsageError(
        "{}: it does not say by which protocol it was measured, as older versions did not; evaluate the model again",
        file.string());
  }
  return json;
}

/// The run that a bundle lies in, or "".
fs::path run_of(const fs::path& given, const fs::path& bundle) {
  std::error_code failed;
  const fs::path real = fs::canonical(bundle, failed);
  for (const fs::path& candidate : {given, failed ? fs::path() : real.parent_path().parent_path().parent_path()}) {
    if (!candidate.empty() && fs::exists(candidate / "stats.jsonl")) return candidate;
  }
  return {};
}

Looked look_at(const CompareSource& source) {
  Looked looked;
  looked.source = source;
  fs::path path = source.path;
  if (path.filename() == kEvaluation && fs::exists(path)) path = path.has_parent_path() ? path.parent_path() : ".";
  if (fs::exists(path / kEvaluation)) {
    looked.evaluation = path;
    looked.figures = read_evaluation(path);
    const nlohmann::json bundle = looked.figures.value("bundle", nlohmann::json::object());
    if (bundle.is_object()) {
      looked.sha256 = text_in(bundle, "sha256");
      looked.recipe = text_in(bundle, "recipe");
      looked.size_px = bundle.value("size_px", int64_t{0});
      looked.training = bundle.value("training", nlohmann::json::object());
    }
  } else {
    looked.bundle = recipe::find_bundle(path);
    const recipe::BundleConfig config = recipe::read_bundle_config(looked.bundle);
    if (recipe::is_judge(config.kind)) {
      throw UsageError("{}: is a {} (\"{}\"), which makes no images; compare generators", looked.bundle.string(),
                       recipe::kind_name(config.kind), config.name);
    }
    looked.run = run_of(path, looked.bundle);
    looked.training = config.training;
    looked.recipe = config.recipe;
    looked.size_px = config.size_px;
    looked.sha256 = recipe::bundle_sha256(looked.bundle);
  }
  if (!looked.training.is_object()) looked.training = nlohmann::json::object();
  if (looked.source.name.empty()) {
    fs::path plain = path.lexically_normal();
    if (!plain.has_filename()) plain = plain.parent_path();
    looked.source.name = plain.filename().string();
  }
  return looked;
}

/// Names that are taken twice become paths.
void tell_apart(std::vector<Looked>& models) {
  std::map<std::string, int> count;
  for (const Looked& m : models) ++count[m.source.name];
  for (Looked& m : models) {
    if (count[m.source.name] > 1) m.source.name = m.source.path.string();
  }
  std::set<std::string> names;
  for (const Looked& m : models) {
    if (!names.insert(m.source.name).second) {
      throw UsageError("\"{}\" stands twice among the models; name each once, or tell them apart by NAME=PATH",
                       m.source.name);
    }
  }
}

std::string short_hash(const std::string& hash) { return hash.empty() ? "unknown" : hash.substr(0, 12); }

std::string data_text(const Looked& m) {
  const std::string data = text_in(m.training, "data");
  return fmt::format("{} learned from {} (fingerprint {})", m.source.name, data.empty() ? "unknown data" : data,
                     short_hash(text_in(m.training, "data_fingerprint")));
}

/// A difference ends the comparison, or marks it.
void differ(const std::string& sentence, bool mixed, std::vector<std::string>& marks) {
  if (!mixed)
    throw UsageError("{}; a table of them would not compare models alone. --mixed makes it, marked", sentence);
  marks.push_back(sentence + ".");
  log_warning("{}", sentence);
}

void check_training_data(const std::vector<Looked>& models, bool mixed, std::vector<std::string>& marks) {
  for (const Looked& m : models) {
    if (text_in(m.training, "data_fingerprint") == text_in(models.front().training, "data_fingerprint")) continue;
    differ(fmt::format("{}, {}", data_text(models.front()), data_text(m)), mixed, marks);
    return;
  }
}

/// The fields in which two protocols differ, "seed: 0 and 1".
std::string protocol_difference(const nlohmann::json& a, const nlohmann::json& b) {
  std::string text;
  std::set<std::string> names;
  for (const nlohmann::json* one : {&a, &b})
    for (const auto& [name, value] : one->items()) names.insert(name);
  for (const std::string& name : names) {
    const nlohmann::json x = a.value(name, nlohmann::json()), y = b.value(name, nlohmann::json());
    if (x == y) continue;
    const auto shown = [](const nlohmann::json& v) {
      const std::string all = v.is_string() ? v.get<std::string>() : v.dump();
      return all.empty() ? std::string("none") : all.size() > 48 ? all.substr(0, 45) + "..." : all;
    };
    text += fmt::format("{}{}: {} and {}", text.empty() ? "" : "; ", name, shown(x), shown(y));
  }
  return text;
}

void check_protocols(const std::vector<ComparedModel>& models, bool mixed, std::vector<std::string>& marks) {
  for (const ComparedModel& m : models) {
    if (m.protocol == models.front().protocol) continue;
    const bool other_photographs =
        text_in(m.protocol, "reference_fingerprint") != text_in(models.front().protocol, "reference_fingerprint");
    differ(fmt::format("{} and {} were measured {} ({})", models.front().name, m.name,
                       other_photographs ? "on different photographs" : "by different protocols",
                       protocol_difference(models.front().protocol, m.protocol)),
           mixed, marks);
    return;
  }
}

ComparedFigure control_figure(const nlohmann::json& json, const char* name, const std::string& metric,
                              const std::string& space, int better, size_t count) {
  ComparedFigure f;
  f.metric = metric;
  f.space = space;
  f.value = number_in(json, name);
  f.better = better;
  f.n_synthetic = count;
  const auto interval = json.find(std::string(name) + "_interval");
  if (interval != json.end() && interval->is_array() && interval->size() == 2 && (*interval)[0].is_number() &&
      (*interval)[1].is_number()) {
    f.low = (*interval)[0].get<double>();
    f.high = (*interval)[1].get<double>();
  }
  f.note = "interval: bootstrap over images";
  return f;
}

void add_condition(std::vector<ComparedFigure>& figures, const nlohmann::json& condition) {
  if (!condition.is_object() || !condition.contains("synthetic")) return;
  const nlohmann::json& made = condition.at("synthetic");
  ComparedFigure f = control_figure(made, "balanced_accuracy", "condition as asked, balanced accuracy",
                                    text_in(condition, "classifier"), 1, made.value("count", size_t{0}));
  if (condition.contains("photographs")) f.floor = number_in(condition.at("photographs"), "balanced_accuracy");
  f.note += fmt::format("; chance {:.2f}; floor: the photographs' own", number_in(made, "chance"));
  figures.push_back(std::move(f));
}

/// Where and what a figure is, in the order in which the table shows it.
std::string label_of(const ComparedFigure& f) { return evaluation::label_of(f.metric, f.space); }

std::vector<std::string> labels_of(const std::vector<ComparedModel>& models) {
  std::vector<std::string> labels;
  for (const ComparedModel& m : models) {
    for (const ComparedFigure& f : m.figures) {
      if (std::find(labels.begin(), labels.end(), label_of(f)) == labels.end()) labels.push_back(label_of(f));
    }
  }
  return labels;
}

const ComparedFigure* find(const ComparedModel& model, const std::string& label) {
  for (const ComparedFigure& f : model.figures) {
    if (label_of(f) == label) return &f;
  }
  return nullptr;
}

/// True of the best of the models, and of those that cannot be told from it: whose interval overlaps the best one's.
bool leads(const std::vector<ComparedModel>& models, const ComparedModel& model, const std::string& label) {
  const ComparedFigure* mine = find(model, label);
  if (mine == nullptr || mine->better == 0 || !std::isfinite(mine->value)) return false;
  const ComparedFigure* best = mine;
  for (const ComparedModel& m : models) {
    const ComparedFigure* f = find(m, label);
    if (f != nullptr && std::isfinite(f->value) && f->better * (f->value - best->value) > 0) best = f;
  }
  if (best->value == mine->value) return true;
  return std::isfinite(best->low) && std::isfinite(mine->low) && best->low <= mine->high && mine->low <= best->high;
}

std::string interval_text(const ComparedFigure& f) {
  return std::isfinite(f.low)
             ? fmt::format("{} [{}, {}]", figure_text(f.value), figure_text(f.low), figure_text(f.high))
             : figure_text(f.value);
}

std::string amount(double value, int digits) {
  return std::isfinite(value) ? fmt::format("{:.{}f}", value, digits) : std::string("-");
}

/// A row a figure: label, what is better, the photographs' floor, then the models.
std::vector<std::vector<std::string>> figure_rows(const std::vector<ComparedModel>& models) {
  std::vector<std::vector<std::string>> rows;
  for (const std::string& label : labels_of(models)) {
    std::vector<std::string> row = {label};
    double low = ComparedFigure::kNone, high = low;
    int better = 0;
    for (const ComparedModel& m : models) {
      const ComparedFigure* f = find(m, label);
      if (f == nullptr) continue;
      better = f->better;
      if (!std::isfinite(f->floor)) continue;
      low = std::isfinite(low) ? std::min(low, f->floor) : f->floor;
      high = std::isfinite(high) ? std::max(high, f->floor) : f->floor;
    }
    row.push_back(better < 0 ? "lower" : better > 0 ? "higher" : "-");
    row.push_back(figure_text(low) == figure_text(high) ? figure_text(low)
                                                        : fmt::format("{} to {}", figure_text(low), figure_text(high)));
    for (const ComparedModel& m : models) {
      const ComparedFigure* f = find(m, label);
      row.push_back(f == nullptr ? "-" : interval_text(*f) + (leads(models, m, label) ? " *" : ""));
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

/// A row a fact of the models: what each is and cost.
std::vector<std::vector<std::string>> cost_rows(const std::vector<ComparedModel>& models) {
  std::vector<std::vector<std::string>> rows;
  const auto row = [&](const std::string& what, const auto& of) {
    rows.push_back({what});
    for (const ComparedModel& m : models) rows.back().push_back(of(m));
  };
  row("recipe", [](const ComparedModel& m) { return m.recipe.empty() ? std::string("not said") : m.recipe; });
  row("image size, px", [](const ComparedModel& m) { return std::to_string(m.size_px); });
  row("synthetic images, N", [](const ComparedModel& m) {
    const auto n = m.measured.find("n_synthetic");
    return n == m.measured.end() ? std::string("-") : n->dump();
  });
  row("kimg shown in training", [](const ComparedModel& m) { return amount(m.cost.kimg, 2); });
  row("minutes of training", [](const ComparedModel& m) { return amount(m.cost.minutes, 1); });
  row("seconds per kimg [quartiles]", [](const ComparedModel& m) {
    const TrainingCost& c = m.cost;
    return std::isfinite(c.s_per_kimg_low)
               ? fmt::format("{:.1f} [{:.1f}, {:.1f}]", c.s_per_kimg, c.s_per_kimg_low, c.s_per_kimg_high)
               : amount(c.s_per_kimg, 1);
  });
  row("memory in training, MB", [](const ComparedModel& m) { return amount(m.cost.memory_bytes / 1e6, 0); });
  row("parameters of the generator, M", [](const ComparedModel& m) {
    return m.cost.parameters > 0 ? fmt::format("{:.2f}", static_cast<double>(m.cost.parameters) / 1e6)
                                 : std::string("-");
  });
  row("seed of the training", [](const ComparedModel& m) { return std::to_string(m.training_seed); });
  row("weights, SHA-256", [](const ComparedModel& m) { return short_hash(m.bundle_sha256); });
  return rows;
}

/// Text that is the same for all models, or what it is for each.
std::string common(const std::vector<ComparedModel>& models,
                   const std::function<std::string(const ComparedModel&)>& of) {
  std::string text;
  for (const ComparedModel& m : models) {
    const std::string one = of(m);
    if (&m == &models.front()) {
      text = one;
    } else if (one != text) {
      text.clear();
      for (const ComparedModel& each : models)
        text += fmt::format("{}{}: {}", text.empty() ? "" : "; ", each.name, of(each));
      return text;
    }
  }
  return text;
}

std::string plain(const nlohmann::json& v) {
  return v.is_string() ? v.get<std::string>() : v.is_null() ? "none" : v.dump();
}

std::string measured_text(const ComparedModel& m, const char* name) {
  return plain(m.measured.value(name, nlohmann::json()));
}

std::string how_measured(const std::vector<ComparedModel>& models) {
  const auto fact = [&](const char* name) {
    return common(models, [&](const ComparedModel& m) { return measured_text(m, name); });
  };
  return fmt::format(
      "Reference: {} photographs, {}. Synthetic: {}. Seed {}. Intervals 95 %. Floor: what photographs of other "
      "patients "
      "reach at equal N. *: the best, and what its interval does not tell from the best.",
      fact("n_real"), fact("reference"), fact("synthetic"), fact("seed"));
}

report::Bars bars_of(const std::vector<ComparedModel>& models, const std::string& label) {
  report::Bars bars;
  bars.title = label;
  bars.y_label = label;
  report::Bars::Series made{"synthetic [95 %]", {}, {}, {}}, equal{"synthetic at equal N", {}, {}, {}},
      floor{"photographs at equal N", {}, {}, {}};
  for (const ComparedModel& m : models) {
    bars.groups.push_back(m.name);
    const ComparedFigure* f = find(m, label);
    const ComparedFigure none;
    const ComparedFigure& shown = f == nullptr ? none : *f;
    made.value.push_back(shown.value);
    made.low.push_back(shown.low);
    made.high.push_back(shown.high);
    for (const auto& [series, value] : {std::pair{&equal, shown.beside}, {&floor, shown.floor}}) {
      series->value.push_back(value);
      series->low.push_back(ComparedFigure::kNone);
      series->high.push_back(ComparedFigure::kNone);
    }
  }
  bars.series = {made, equal, floor};
  return bars;
}

void write_report(const Comparison& comparison, const std::string& command, const fs::path& file) {
  const std::vector<ComparedModel>& models = comparison.models;
  report::Page page("Models compared", fmt::format("{} models on one data set", models.size()));
  for (const std::string& mark : comparison.marks)
    page.note("Not on one footing: " + mark + " The numbers below do not compare the models alone.");
  page.heading("Figures");
  std::vector<std::string> header = {"figure", "better is", "photographs"};
  std::vector<std::string> models_header = {"model"};
  for (const ComparedModel& m : models) {
    const auto n = m.measured.find("n_synthetic");
    header.push_back(n == m.measured.end() ? m.name : fmt::format("{} (N = {})", m.name, n->dump()));
    models_header.push_back(m.name);
  }
  page.table(header, figure_rows(models), how_measured(models));
  std::map<std::string, std::set<std::string>> notes;  // of a figure
  for (const ComparedModel& m : models) {
    for (const ComparedFigure& f : m.figures) {
      if (f.note.starts_with("biased") || (f.note.size() > 0 && !std::isfinite(f.value)))
        notes[label_of(f)].insert(f.note);
    }
  }
  std::vector<std::string> lines;
  for (const auto& [label, texts] : notes) lines.push_back(fmt::format("{}: {}", label, fmt::join(texts, "; ")));
  if (!lines.empty()) page.list(lines);
  const std::vector<std::string> labels = labels_of(models);
  int plotted = 0;
  for (const std::string& label : labels) {
    if (plotted < 2 && label.starts_with("K") && label.find("ID") != std::string::npos) {
      page.plot(bars_of(models, label));
      ++plotted;
    }
  }
  page.heading("Cost");
  page.table(models_header, cost_rows(models),
             "Seconds: the median over the lines of stats.jsonl, training alone. Minutes: on the clock, with "
             "checkpoints and their measurements. Memory: the largest that the process held.");
  page.heading("Samples");
  page.paragraph("Every n-th image of each set as it is; none was chosen. All are synthetic.");
  for (const ComparedModel& m : models) {
    page.subheading(m.name);
    if (m.samples.empty())
      page.paragraph("The evaluation holds no samples.");
    else
      page.figure(m.samples, m.name, "Sheet of synthetic images by " + m.name);
  }
  page.heading("Protocol");
  std::vector<std::vector<std::string>> rows;
  std::set<std::string> names;
  for (const ComparedModel& m : models)
    for (const auto& [name, value] : m.protocol.items()) names.insert(name);
  for (const std::string& name : names) {
    std::string label = name;
    std::replace(label.begin(), label.end(), '_', ' ');
    rows.push_back({label, common(models, [&](const ComparedModel& m) {
                      return plain(m.protocol.value(name, nlohmann::json()));
                    })});
  }
  for (const char* name : {"kid", "interval", "floor", "ema", "photographs_resized"}) {
    std::string label = name;
    std::replace(label.begin(), label.end(), '_', ' ');
    rows.push_back({label, common(models, [&](const ComparedModel& m) { return measured_text(m, name); })});
  }
  rows.push_back({"learned from", common(models, [](const ComparedModel& m) {
                    return fmt::format("{} (fingerprint {})", m.data.empty() ? "unknown" : m.data,
                                       short_hash(m.data_fingerprint));
                  })});
  if (!command.empty()) rows.push_back({"command", command});
  rows.push_back({"software", "dermgan " + version()});
  page.table({"what", "value"}, rows, "The same for every model, or each said");
  page.table({"model", "taken from", "seconds from", "measured"}, [&] {
    std::vector<std::vector<std::string>> from;
    for (const ComparedModel& m : models)
      from.push_back({m.name, m.path.string(), m.cost.from, m.evaluated_now ? "now" : "before"});
    return from;
  }());
  page.heading("Limits");
  page.list(
      {"One training of each recipe says little of the next: intervals hold other patients and samples, not another "
       "training seed.",
       "Colour histograms see colour alone and never choose a model.",
       "Whether a model kept copies of its photographs is not measured here: `dermgan audit`.",
       "Research software; not a medical device. All samples are synthetic."});
  page.write(file);
}

/// A folder name that a model's name allows.
std::string folder_name(const std::string& name) {
  std::string safe;
  for (const char c : name)
    safe += std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.' ? c : '-';
  while (safe.starts_with('.') || safe.starts_with('-')) safe.erase(0, 1);
  return safe.empty() ? "model" : safe;
}

ComparedModel model_of(const Looked& looked, const nlohmann::json& evaluation, const fs::path& folder) {
  ComparedModel model;
  model.name = looked.source.name;
  model.path = looked.source.path;
  model.recipe = looked.recipe;
  model.bundle_sha256 = looked.sha256;
  model.data = text_in(looked.training, "data");
  model.data_fingerprint = text_in(looked.training, "data_fingerprint");
  model.training_seed = looked.training.value("seed", int64_t{0});
  model.cost = training_cost(looked.run, looked.training);
  model.protocol = evaluation.at("protocol");
  model.measured = evaluation.at("fidelity").value("protocol", nlohmann::json::object());
  model.size_px = looked.size_px > 0 ? looked.size_px : model.measured.value("size_px", int64_t{0});
  const nlohmann::json bundle = evaluation.value("bundle", nlohmann::json::object());
  model.cost.parameters = bundle.value("parameters", int64_t{0});
  model.figures = figures_of(evaluation, (folder / kEvaluation).string());
  if (fs::exists(folder / "samples.png")) model.samples = image::read_image(folder / "samples.png");
  return model;
}

}  // namespace

TrainingCost training_cost(const fs::path& run, const nlohmann::json& training) {
  TrainingCost cost;
  cost.kimg = number_in(training, "kimg");
  cost.minutes = number_in(training, "elapsed_s") / 60;
  std::vector<double> seconds;
  if (!run.empty()) {
    std::ifstream in(run / "stats.jsonl");
    for (std::string line; std::getline(in, line);) {
      const nlohmann::json json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
      if (!json.is_object()) continue;  // a kill can cut the last line
      if (const double s = number_in(json, "s_per_kimg"); s > 0) seconds.push_back(s);
      const double bytes = number_in(json, "resident_bytes");
      if (std::isfinite(bytes) && !(bytes <= cost.memory_bytes)) cost.memory_bytes = bytes;
    }
  }
  if (!seconds.empty()) {
    cost.s_per_kimg = median(seconds);
    cost.s_per_kimg_low = quantile(seconds, 0.25);
    cost.s_per_kimg_high = quantile(seconds, 0.75);
    cost.from = fmt::format("{} lines of {}", seconds.size(), (run / "stats.jsonl").string());
  } else if (cost.kimg > 0 && std::isfinite(cost.minutes)) {
    cost.s_per_kimg = cost.minutes * 60 / cost.kimg;
    cost.from = "all of the training's time, checkpoints in it";
  } else {
    cost.from = "not known";
  }
  return cost;
}

std::vector<ComparedFigure> figures_of(const nlohmann::json& evaluation, const std::string& where) {
  std::vector<ComparedFigure> figures;
  try {
    const nlohmann::json& all = evaluation.at("fidelity").at("groups").at(0);
    for (const nlohmann::json& json : all.at("figures")) {
      ComparedFigure f;
      f.metric = json.at("metric").get<std::string>();
      f.space = json.at("space").get<std::string>();
      f.value = number_in(json, "value");
      f.floor = number_in(json, "floor");
      f.beside = number_in(json, "synthetic_at_equal_n");
      const nlohmann::json& interval = json.at("interval");
      if (interval.at(0).is_number() && interval.at(1).is_number()) {
        f.low = interval.at(0).get<double>();
        f.high = interval.at(1).get<double>();
      }
      f.n_real = all.at("n_real").get<size_t>();
      f.n_synthetic = all.at("n_synthetic").get<size_t>();
      f.n_floor = json.at("n_floor").get<size_t>();
      f.better = json.at("better").get<std::string>() == "lower" ? -1 : 1;
      f.note = json.at("note").get<std::string>();
      figures.push_back(std::move(f));
    }
    if (const auto found = evaluation.find("control"); found != evaluation.end()) {
      const nlohmann::json& c = *found;
      const size_t count = c.at("count").get<size_t>();
      figures.push_back(control_figure(c, "skin_error_median", "skin colour error, median CIEDE2000", "", -1, count));
      figures.push_back(control_figure(c, "ita_rank_correlation", "ITA, rank correlation", "", 1, count));
      if (const auto judged = c.find("segmenter"); judged != c.end()) {
        figures.push_back(
            control_figure(*judged, "region_iou_median", "region IoU, median", text_in(*judged, "name"), 1, count));
      }
      figures.push_back(control_figure(c, "region_iou_median", "region IoU, median", "the finder", 1, count));
      if (c.contains("condition")) add_condition(figures, c.at("condition"));
    }
    if (evaluation.contains("condition")) add_condition(figures, evaluation.at("condition"));
  } catch (const nlohmann::json::exception& error) {
    throw DataError("{}: it does not hold what an evaluation holds ({}); evaluate the model again", where,
                    error.what());
  }
  return figures;
}

Comparison compare(const CompareOptions& options, const recipe::Catalogue& catalogue, const fs::path& out) {
  if (options.sources.size() < 2) {
    throw UsageError("{} model{} given, a comparison needs two or more; `dermgan evaluate` measures one",
                     options.sources.size(), options.sources.size() == 1 ? " is" : "s are");
  }
  NewDirectory directory(out);  // refuses before the work, not after it
  std::vector<Looked> models, evaluations;
  for (const CompareSource& source : options.sources) {
    Looked looked = look_at(source);
    (looked.bundle.empty() ? evaluations : models).push_back(std::move(looked));
  }
  // An evaluation of a model that is there itself gives its figures, and is no model of its own.
  std::map<std::string, std::vector<const Looked*>> measured;
  std::vector<Looked> alone;
  for (const Looked& e : evaluations) {
    const bool of_model =
        std::any_of(models.begin(), models.end(), [&](const Looked& m) { return m.sha256 == e.sha256; });
    if (of_model)
      measured[e.sha256].push_back(&e);
    else
      alone.push_back(e);
  }
  models.insert(models.end(), alone.begin(), alone.end());
  // In the order in which they were given.
  const auto place = [&](const Looked& m) {
    return std::find_if(options.sources.begin(), options.sources.end(),
                        [&](const CompareSource& s) { return s.path == m.source.path; }) -
           options.sources.begin();
  };
  std::stable_sort(models.begin(), models.end(), [&](const Looked& a, const Looked& b) { return place(a) < place(b); });
  if (models.size() < 2) {
    throw UsageError("{} is one model and its evaluation; a comparison needs two models or more",
                     models.front().source.name);
  }
  tell_apart(models);

  Comparison comparison;
  check_training_data(models, options.mixed, comparison.marks);
  std::optional<data::DataSet> photographs;
  for (const Looked& m : models) {
    if (m.bundle.empty() || measured.contains(m.sha256)) continue;
    if (options.evaluate.real.empty()) {
      throw UsageError("{}: it was not measured yet; name the photographs to measure it on (--real D)",
                       m.source.path.string());
    }
    photographs = data::DataSet::open(options.evaluate.real);
    break;
  }

  fs::create_directories(directory.path() / "evaluations");
  EvaluateOptions evaluating = options.evaluate;
  const bool cached = !evaluating.cache.empty();
  if (!cached) evaluating.cache = directory.path() / "cache";  // the photographs' features serve every model
  for (const Looked& m : models) {
    if (m.bundle.empty()) {
      comparison.models.push_back(model_of(m, m.figures, m.evaluation));
      continue;
    }
    if (const auto found = measured.find(m.sha256); found != measured.end()) {
      const Looked& e = *found->second.front();
      comparison.models.push_back(model_of(m, e.figures, e.evaluation));
      continue;
    }
    throw_if_interrupted();
    log_info("{} ({} of {})", m.source.name, comparison.models.size() + 1, models.size());
    generation::EngineOptions opening = options.engine;
    opening.bundle = m.bundle;
    generation::Engine engine(opening, catalogue);
    evaluating.engine = &engine;
    evaluating.synthetic.clear();
    const nlohmann::json protocol = protocol_of(evaluating, *photographs, engine.size_px());
    const fs::path kept = kept_evaluation(evaluating.cache, m.sha256, protocol);
    fs::path folder = directory.path() / "evaluations" / folder_name(m.source.name);
    for (int i = 2; fs::exists(folder); ++i)
      folder = directory.path() / "evaluations" / fmt::format("{}-{}", folder_name(m.source.name), i);
    bool now = false;
    if (fs::exists(kept / kEvaluation)) {
      log_info("{}: measured before by this protocol; its figures are read from {}", m.source.name, kept.string());
      fs::copy(kept, folder);
    } else {
      evaluate(evaluating, folder);
      now = true;
    }
    comparison.models.push_back(model_of(m, read_evaluation(folder), folder));
    comparison.models.back().evaluated_now = now;
  }
  check_protocols(comparison.models, options.mixed, comparison.marks);
  fs::remove_all(directory.path() / "cache");
  if (fs::is_empty(directory.path() / "evaluations")) fs::remove(directory.path() / "evaluations");

  nlohmann::json json = comparison.to_json();
  if (!options.evaluate.command.empty()) json["command"] = options.evaluate.command;
  write_file(directory.path() / "comparison.json", json.dump(2) + "\n");
  write_file(directory.path() / "comparison.csv", comparison.to_csv());
  write_report(comparison, options.evaluate.command, directory.path() / "report.html");
  directory.commit();
  return comparison;
}

nlohmann::json Comparison::to_json() const {
  nlohmann::json list = nlohmann::json::array();
  for (const ComparedModel& m : models) {
    nlohmann::json figures = nlohmann::json::array();
    for (const ComparedFigure& f : m.figures) {
      figures.push_back({{"metric", f.metric},
                         {"space", f.space},
                         {"value", json_or_null(f.value)},
                         {"interval", {json_or_null(f.low), json_or_null(f.high)}},
                         {"floor", json_or_null(f.floor)},
                         {"synthetic_at_equal_n", json_or_null(f.beside)},
                         {"n_real", f.n_real},
                         {"n_synthetic", f.n_synthetic},
                         {"n_floor", f.n_floor},
                         {"better", f.better < 0   ? "lower"
                                    : f.better > 0 ? "higher"
                                                   : "neither"},
                         {"leads", leads(models, m, label_of(f))},
                         {"note", f.note}});
    }
    list.push_back(
        {{"name", m.name},
         {"path", m.path.string()},
         {"recipe", m.recipe},
         {"bundle_sha256", m.bundle_sha256},
         {"size_px", m.size_px},
         {"data", m.data},
         {"data_fingerprint", m.data_fingerprint},
         {"training_seed", m.training_seed},
         {"cost",
          {{"kimg", json_or_null(m.cost.kimg)},
           {"minutes", json_or_null(m.cost.minutes)},
           {"s_per_kimg", json_or_null(m.cost.s_per_kimg)},
           {"s_per_kimg_quartiles", {json_or_null(m.cost.s_per_kimg_low), json_or_null(m.cost.s_per_kimg_high)}},
           {"memory_bytes", json_or_null(m.cost.memory_bytes)},
           {"parameters", m.cost.parameters},
           {"from", m.cost.from}}},
         {"evaluated_now", m.evaluated_now},
         {"protocol", m.protocol},
         {"measured", m.measured},
         {"figures", figures}});
  }
  return {{"models", list}, {"marks", marks}, {"software", "dermgan " + version()}};
}

std::string Comparison::to_csv() const {
  CsvTable table({"model",
                  "recipe",
                  "metric",
                  "space",
                  "value",
                  "low",
                  "high",
                  "better",
                  "leads",
                  "floor",
                  "synthetic_at_equal_n",
                  "n_real",
                  "n_synthetic",
                  "n_floor",
                  "seed",
                  "reference",
                  "protocol",
                  "bundle_sha256",
                  "kimg",
                  "minutes",
                  "s_per_kimg",
                  "memory_bytes",
                  "parameters",
                  "mixed",
                  "note"});
  const auto text = [](double v) { return std::isfinite(v) ? number_text(v) : std::string(); };
  for (const ComparedModel& m : models) {
    for (const ComparedFigure& f : m.figures) {
      table.add_row({m.name,
                     m.recipe,
                     f.metric,
                     f.space,
                     text(f.value),
                     text(f.low),
                     text(f.high),
                     f.better < 0   ? "lower"
                     : f.better > 0 ? "higher"
                                    : "neither",
                     leads(models, m, label_of(f)) ? "yes" : "no",
                     text(f.floor),
                     text(f.beside),
                     std::to_string(f.n_real),
                     std::to_string(f.n_synthetic),
                     std::to_string(f.n_floor),
                     plain(m.protocol.value("seed", nlohmann::json())),
                     measured_text(m, "reference"),
                     sha256_hex(m.protocol.dump()).substr(0, 12),
                     m.bundle_sha256,
                     text(m.cost.kimg),
                     text(m.cost.minutes),
                     text(m.cost.s_per_kimg),
                     text(m.cost.memory_bytes),
                     std::to_string(m.cost.parameters),
                     marks.empty() ? "no" : "yes",
                     f.note});
    }
  }
  return table.to_string();
}

std::string Comparison::to_text() const {
  std::string text;
  for (const std::string& mark : marks) text += "not on one footing: " + mark + "\n";
  if (!marks.empty()) text += "\n";
  std::vector<std::vector<std::string>> rows = {{"figure", "better", "photographs"}};
  for (const ComparedModel& m : models) rows.front().push_back(m.name);
  for (std::vector<std::string>& row : figure_rows(models)) rows.push_back(std::move(row));
  const size_t figures_end = rows.size();
  for (std::vector<std::string>& row : cost_rows(models)) {
    row.insert(row.begin() + 1, 2, "");
    rows.push_back(std::move(row));
  }
  std::vector<size_t> widths(rows.front().size(), 0);
  for (const auto& row : rows)
    for (size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], row[c].size());
  for (size_t r = 0; r < rows.size(); ++r) {
    if (r == 1 || r == figures_end) text += "\n";
    std::string line;
    for (size_t c = 0; c < rows[r].size(); ++c) line += fmt::format("{:<{}}  ", rows[r][c], widths[c]);
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text + "\n" + how_measured(models) + "\n";
}

}  // namespace derm::evaluation
