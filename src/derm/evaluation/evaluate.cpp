#include "derm/evaluation/evaluate.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "derm/base/csv.h"
#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/base/log.h"
#include "derm/base/random.h"
#include "derm/base/system.h"
#include "derm/generation/output.h"
#include "derm/image/codec.h"
#include "derm/image/colour.h"
#include "derm/image/draw.h"
#include "derm/image/resize.h"
#include "derm/report/report.h"

namespace derm::evaluation {

std::string label_of(const std::string& metric, const std::string& space) {
  return metric.find(space) == std::string::npos ? metric + ", " + space : metric;
}

std::string figure_text(double value) {
  if (!std::isfinite(value)) return "-";
  const double size = std::abs(value);
  return size >= 100   ? fmt::format("{:.1f}", value)
         : size >= 0.1 ? fmt::format("{:.3f}", value)
                       : fmt::format("{:.5f}", value);
}

std::string figure_text(const Figure& f) {
  if (!std::isfinite(f.value)) return "-";
  if (!std::isfinite(f.low)) return figure_text(f.value);
  return fmt::format("{} [{}, {}]", figure_text(f.value), figure_text(f.low), figure_text(f.high));
}

namespace {

namespace fs = std::filesystem;

/// Raised when a figure is measured in another way, so that no evaluation from before stands for one of now. 2: SWD has
/// an interval.
constexpr int kProtocolFormat = 2;
constexpr size_t kNovelImages = 1000;
constexpr size_t kSamplesShown = 24;

std::shared_ptr<const data::DataSet> open(const fs::path& root) {
  return std::make_shared<data::DataSet>(data::DataSet::open(root));
}

/// What a bundle is asked for, and the patient behind each map.
struct Asked {
  std::vector<data::Request> requests;
  std::vector<std::string> patients;
  std::string what;
};

/// True of a generated set whose generator heeded the condition.
bool says_condition(const ImageSet& set) {
  return set.data().records()[set.items().front().row].extra.contains("requested_condition");
}

bool heeds(const generation::Engine& engine, const std::string& part) {
  const std::vector<std::string> heeded = engine.heeds();
  return std::find(heeded.begin(), heeded.end(), part) != heeded.end();
}

/// What a generator without a map is asked for: each image from its own seed, of a condition where it has classes.
Asked noise_requests(const EvaluateOptions& options, const ImageSet& real) {
  const data::Offer& offer = options.engine->offer();
  const bool classes = heeds(*options.engine, "condition");
  const bool novel = options.requests == Requests::novel;
  std::vector<std::string> conditions = offer.conditions;
  if (classes && !novel) {
    conditions.clear();
    for (const Item& item : real.items()) {
      if (std::find(offer.conditions.begin(), offer.conditions.end(), item.condition) != offer.conditions.end())
        conditions.push_back(item.condition);
    }
    if (conditions.empty()) {
      throw DataError("{}: none of its conditions is one that the model knows ({}); take another data set", real.name(),
                      fmt::join(offer.conditions, ", "));
    }
  }
  Asked asked;
  const size_t count = options.count > 0 ? options.count : novel ? kNovelImages : real.size();
  for (size_t i = 0; i < count; ++i) {
    data::Wish wish;
    wish.condition = conditions[i % conditions.size()];
    wish.seed = mix_seed(options.seed, i) >> 24;  // short enough to be typed again
    asked.requests.push_back(data::make_request(wish, offer));
    asked.patients.push_back("sample " + std::to_string(i));
  }
  asked.what = fmt::format("{} samples, each from its own seed{}, seed {}", count,
                           !classes ? ", since the model heeds nothing else"
                           : novel  ? ", the conditions in turn"
                                    : ", of the photographs' conditions",
                           options.seed);
  return asked;
}

Asked requests_of(const EvaluateOptions& options, const ImageSet& real) {
  if (!heeds(*options.engine, "region")) return noise_requests(options, real);
  Asked asked;
  const data::Offer& offer = options.engine->offer();
  if (options.requests == Requests::novel) {
    const size_t count = options.count > 0 ? options.count : kNovelImages;
    asked.requests = data::balanced_requests(count, {"condition", "tone", "size"}, offer, options.seed);
    for (size_t i = 0; i < count; ++i) asked.patients.push_back("request " + std::to_string(i));
    asked.what = fmt::format("{} novel requests, balanced over condition, tone and size, seed {}", count, options.seed);
    return asked;
  }
  const nlohmann::json& facts = options.engine->training_facts();
  const data::Shape shape = data::shape_from_name(facts.value("region_shape", std::string("mask")));
  const std::vector<size_t> usable = real.data().usable(options.split);
  size_t unknown = 0;
  for (const Item& item : real.items()) {
    if (!std::binary_search(usable.begin(), usable.end(), item.row)) continue;
    const data::Record& record = real.data().records()[item.row];
    if (std::find(offer.conditions.begin(), offer.conditions.end(), record.condition) == offer.conditions.end()) {
      ++unknown;
      continue;
    }
    image::Mask mask;
    if (!record.mask_file_name.empty()) mask = image::read_mask(real.data().path_of(record.mask_file_name));
    const int side = real.data().size_px() > 0 ? real.data().size_px() : real.size_px();
    asked.requests.push_back(data::request_of(record, mask, side, shape));
    asked.requests.back().extrapolated = offer.locus.extrapolated(asked.requests.back().skin);
    asked.patients.push_back(item.patient);
  }
  if (unknown > 0)
    log_warning("{}: {} photographs show conditions that the model does not know; no map is made of them", real.name(),
                unknown);
  if (options.count > asked.requests.size()) {
    throw UsageError(
        "--count {}: {} has {} maps, and a map asked for twice would give one image twice; leave --count out, or ask "
        "for "
        "novel requests (--requests novel)",
        options.count, real.name(), asked.requests.size());
  }
  if (asked.requests.empty()) {
    throw DataError("{}: no photograph of it has a region and a skin colour to ask for; `dermgan prepare` finds them",
                    real.name());
  }
  if (options.count > 0) {
    asked.requests.resize(options.count);
    asked.patients.resize(options.count);
  }
  asked.what = fmt::format("the maps of {} photographs of {}: their regions, conditions and skin colours",
                           asked.requests.size(), real.name());
  return asked;
}

/// "yes", "no" or "unknown": are these the averaged weights?
std::string ema_of(const nlohmann::json& training) {
  const auto ema = training.find("ema");
  return ema == training.end() || !ema->is_boolean() ? "unknown" : ema->get<bool>() ? "yes" : "no";
}

const Figure* leading(const FigureGroup& group) { return group.figures.empty() ? nullptr : &group.figures.front(); }

/// The same images as a sheet of their own.
image::Image samples_sheet(const ImageSet& set) {
  constexpr size_t kColumns = 8;
  constexpr int kCell = 128;
  image::Grid grid;
  const size_t count = std::min(kSamplesShown, set.size());
  for (size_t i = 0; i < count; ++i) {
    if (i % kColumns == 0) grid.rows.emplace_back();
    image::Image picture = set.image(i * set.size() / count);
    if (picture.width > kCell) picture = image::resize(picture, kCell, kCell);
    grid.rows.back().push_back(std::move(picture));
  }
  return image::draw_grid(grid);
}

void add_samples(report::Page& page, const ImageSet& set) {
  std::vector<report::Thumbnail> shown;
  for (size_t i = 0; i < std::min(kSamplesShown, set.size()); ++i) {
    const size_t at = i * set.size() / std::min(kSamplesShown, set.size());
    const Item& item = set.items()[at];
    std::string caption = item.tone.empty() ? item.condition : item.condition + ", " + item.tone;
    std::replace(caption.begin(), caption.end(), '_', ' ');
    shown.push_back({set.image(at), caption,
                     item.condition.empty() ? "Synthetic image" : "Synthetic image, asked for: " + item.condition});
  }
  page.gallery(shown, 128, "Every n-th image of the set as it is; none was chosen. All are synthetic.");
}

/// The figure with whoever measured it, said once.
void add_group_table(report::Page& page, const FigureGroup& group) {
  std::vector<std::vector<std::string>> rows;
  std::vector<std::string> notes;
  for (const Figure& f : group.figures) {
    rows.push_back({label_of(f), figure_text(f), f.better_low ? "lower" : "higher", figure_text(f.beside),
                    figure_text(f.floor), f.n_floor > 0 ? std::to_string(f.n_floor) : "-"});
    if (!f.note.empty()) notes.push_back(label_of(f) + ": " + f.note);
  }
  page.table({"figure", "value [95 %]", "better is", "synthetic at equal N", "floor: photographs", "N"}, rows,
             fmt::format("{} photographs, {} synthetic images. Floor: {}.", group.n_real, group.n_synthetic,
                         group.floor_from));
  if (!notes.empty()) page.list(notes);
}

/// A table and bars of the leading figure for the groups of one kind.
void add_groups(report::Page& page, const FidelityResult& result, const std::string& kind) {
  const FigureGroup& all = result.groups.front();
  const Figure* lead = leading(all);
  if (lead == nullptr) return;
  if (std::none_of(result.groups.begin(), result.groups.end(), [&](const FigureGroup& g) { return g.kind == kind; }))
    return;  // the generator does not heed it
  page.subheading(kind == "condition" ? "By condition" : "By skin tone");
  std::vector<std::vector<std::string>> rows;
  report::Bars bars;
  bars.title = fmt::format("{} {}", lead->metric, kind == "condition" ? "by condition" : "by skin tone");
  bars.y_label = lead->metric;
  report::Bars::Series synthetic{"synthetic, all images [95 %]", {}, {}, {}}, equal{"synthetic at equal N", {}, {}, {}},
      floor{"photographs against photographs", {}, {}, {}};
  const auto add_bar = [](report::Bars::Series& s, double value, double low, double high) {
    s.value.push_back(value);
    s.low.push_back(low);
    s.high.push_back(high);
  };
  bool any = false;
  for (const FigureGroup& g : result.groups) {
    if (g.kind != kind && g.kind != "all") continue;
    const std::string name = g.kind == "all" ? "all" : g.name;
    bars.groups.push_back(name);
    if (!g.refused.empty()) {
      rows.push_back({name, std::to_string(g.n_real), std::to_string(g.n_synthetic), "-", "-", "-", "-", "-"});
      for (auto* s : {&synthetic, &equal, &floor}) add_bar(*s, Figure::kNone, Figure::kNone, Figure::kNone);
      continue;
    }
    any = any || g.kind != "all";
    const Figure& f = *leading(g);
    const auto figure_of = [&](const std::string& metric) {
      const Figure* found = g.find(metric, f.space);
      return found == nullptr ? std::string("-") : figure_text(*found);
    };
    rows.push_back({name, std::to_string(g.n_real), std::to_string(g.n_synthetic), figure_text(f),
                    figure_text(f.beside), figure_text(f.floor), figure_of("precision"), figure_of("recall")});
    add_bar(synthetic, f.value, f.low, f.high);
    add_bar(equal, f.beside, Figure::kNone, Figure::kNone);
    add_bar(floor, f.floor, Figure::kNone, Figure::kNone);
  }
  page.table(
      {kind, "N photographs", "N synthetic", lead->metric + " [95 %]", "at equal N", "floor", "precision", "recall"},
      rows,
      fmt::format("'-' in place of a number: fewer than {} images on a side, or too few photographs for a floor.",
                  kFewestImages));
  if (!any) return;
  bars.series = {synthetic, equal, floor};
  bars.caption = kind == "tone"
                     ? "Photographs by the measured ITA group of their skin, synthetic images by the one asked for."
                     : "Whiskers: 95 % intervals. '-': fewer than 64 images on a side, or no photographs for a floor.";
  page.plot(bars);
}

void add_neighbours(report::Page& page, const FidelityResult& result) {
  report::Plot plot;
  plot.title = "Precision and recall over the number of neighbours";
  plot.x_label = "neighbours k";
  plot.y_label = "share";
  plot.y_range = {0, 1};
  for (const NeighbourSweep& s : result.sweeps) {
    for (const auto& [name, values] : {std::pair{"precision, ", &s.precision}, {"recall, ", &s.recall}}) {
      report::Series series;
      series.name = name + s.space;
      series.x = s.k;
      series.y = *values;
      series.points = true;
      plot.series.push_back(std::move(series));
    }
  }
  plot.caption =
      "Precision: synthetic images that lie among photographs. Recall: photographs that lie among synthetic images. "
      "The "
      "tables have k = 3.";
  page.plot(plot);
}

void add_protocol(report::Page& page, const nlohmann::json& protocol) {
  page.heading("Protocol");
  std::vector<std::vector<std::string>> rows;
  const auto text = [](const nlohmann::json& v) {
    return v.is_string() ? v.get<std::string>() : v.is_null() ? "none" : v.dump();
  };
  for (const auto& [name, value] : protocol.items()) {
    if (name == "extractors") {
      for (const nlohmann::json& e : value) {
        rows.push_back({"extractor " + text(e.at("name")),
                        fmt::format("{} dimensions; weights SHA-256 {}; {}", text(e.at("dimension")),
                                    text(e.at("sha256")), text(e.at("resize_kernel")))});
      }
      continue;
    }
    std::string label = name;
    std::replace(label.begin(), label.end(), '_', ' ');
    rows.push_back({label, text(value)});
  }
  page.table({"what", "value"}, rows, "Printed with every number");
}

void add_fidelity_limits(report::Page& page) {
  page.heading("Limits");
  page.note("Research software; not a medical device. The images are synthetic and marked so in the file.");
  page.list(
      {"A distance says how alike two sets are to its extractor. It does not say that an image is right, and distances "
       "of "
       "two extractors, of other sizes, or of other N do not compare.",
       "Compare a value with its floor: what photographs of other patients reach at the same N. Below the floor there "
       "is "
       "nothing to win.",
       "Fréchet distances are biased upwards at small N; kernel distances are not, and lead here.",
       "Intervals tell how much a figure would move with other patients and requests, not with another training.",
       "Whether a model kept copies of its training photographs is not measured here: `dermgan audit`."});
}

std::string headline(const FidelityResult& fidelity) {
  const FigureGroup& all = fidelity.groups.front();
  const Figure* lead = leading(all);
  if (lead == nullptr) return "";
  std::string text = fmt::format("{} of {} synthetic images against {} photographs: {}.", lead->metric, all.n_synthetic,
                                 all.n_real, figure_text(*lead));
  if (std::isfinite(lead->floor)) {
    text += fmt::format(" At equal N ({}) it is {}, where photographs of other patients reach {}.", lead->n_floor,
                        figure_text(lead->beside), figure_text(lead->floor));
  }
  return text;
}

/// Generates the set of a bundle below the report's folder; it goes away with the folder unless it is kept.
std::shared_ptr<const data::DataSet> generated(generation::Engine& engine, const std::vector<data::Request>& requests,
                                               const fs::path& folder, ranks::Group* group = nullptr) {
  generation::write_generated_set(engine, requests, folder, group);
  return open(group ? fs::path(group->of_first(folder.string())) : folder);
}

void check_sources(const fs::path& real, const fs::path& synthetic, const generation::Engine* engine) {
  if (real.empty()) throw UsageError("no photographs are named; give a data set (--real D)");
  if ((engine != nullptr) == !synthetic.empty())
    throw UsageError(
        "either a bundle (--bundle B) or a generated set (--synthetic S) is compared; give one of the two");
}

std::string provenance_of(const data::DataSet& set) {
  const nlohmann::json generator = set.facts().value("generator", nlohmann::json::object());
  if (!generator.is_object() || generator.empty()) return "not said";
  return fmt::format("{}, weights {}", generator.value("recipe", "?"), generator.value("bundle_sha256", "?"));
}

}  // namespace

nlohmann::json protocol_of(const EvaluateOptions& options, const data::DataSet& photographs, int size_px) {
  nlohmann::json extractors = nlohmann::json::array();
  for (const auto& e : options.fidelity.extractors)
    extractors.push_back({{"name", e->name()}, {"sha256", e->sha256()}, {"resize_kernel", e->resize_kernel()}});
  std::string compute = options.engine != nullptr ? options.engine->compute_text() : "images as found";
  compute = compute.substr(0, compute.rfind(", "));  // the number of threads changes no byte
  return {{"format", kProtocolFormat},
          {"reference_fingerprint", photographs.fingerprint().empty()
                                        ? data::data_set_fingerprint(photographs.root(), photographs.records())
                                        : photographs.fingerprint()},
          {"reference_split", options.split},
          {"size_px", size_px},
          {"requests", options.requests == Requests::maps ? "maps" : "novel"},
          {"count", options.count},
          {"seed", options.seed},
          {"extractors", extractors},
          {"lpips_sha256", options.fidelity.lpips.empty() ? "" : sha256_file(options.fidelity.lpips)},
          {"swd", options.fidelity.swd},
          {"draws", options.fidelity.draws},
          {"halvings", options.fidelity.halvings},
          {"pairs", options.fidelity.pairs},
          {"segmenter_sha256", options.control.judges.segmenter_sha256},
          {"classifier_sha256", options.control.judges.classifier_sha256},
          {"compute", compute},
          {"software", "dermgan " + version()}};
}

fs::path kept_evaluation(const fs::path& cache, const std::string& bundle_sha256, const nlohmann::json& protocol) {
  return cache / ("evaluation-" + sha256_hex(bundle_sha256 + "\n" + protocol.dump()).substr(0, 32));
}

namespace {

/// For the next comparison.
void keep_evaluation(const fs::path& root, const fs::path& kept) {
  if (fs::exists(kept)) return;
  try {
    fs::create_directories(kept.parent_path());
    NewDirectory folder(kept);
    for (const char* name : {"evaluation.json", "samples.png"}) fs::copy_file(root / name, folder.path() / name);
    folder.commit();
  } catch (const std::exception& error) {  // a cache that cannot be written costs time, not the evaluation
    log_warning("{}: the evaluation could not be kept ({})", kept.string(), error.what());
  }
}

}  // namespace

EvaluateResult evaluate(const EvaluateOptions& options, const fs::path& out) {
  check_sources(options.real, options.synthetic, options.engine);
  if (options.study && options.engine != nullptr) require_map(*options.engine);
  if (!options.control.run.empty() && !fs::is_directory(options.control.run)) {
    throw UsageError("{}: there is no run directory of that name; leave it out or name another",
                     options.control.run.string());
  }
  const bool leads = !options.group || options.group->leads();
  const ranks::Group::Busy busy(options.group);
  std::optional<NewDirectory> directory;
  if (leads) directory.emplace(out);  // refuses before the work, not after it
  const std::shared_ptr<const data::DataSet> photographs = open(options.real);
  const ImageSet real = ImageSet::real(photographs, {options.split});
  std::vector<std::string> other_splits;
  for (const char* split : {"train", "validation", "test"}) {
    if (split != options.split && !photographs->of_split(split).empty()) other_splits.emplace_back(split);
  }
  std::optional<ImageSet> others;
  try {
    if (!other_splits.empty()) others = ImageSet::real(photographs, other_splits);
  } catch (const DataError&) {  // none of them can be used: groups too small for halves have no floor then
  }

  std::optional<ImageSet> synthetic;
  std::string made_from, ema = "unknown";
  if (options.engine != nullptr) {
    if (real.size_px() < options.engine->size_px()) {
      ImageSet(real).reduce_to(options.engine->size_px());  // says what is wrong before anything is generated
    }
    Asked asked = requests_of(options, real);
    if (asked.requests.size() < kFewestImages) {
      throw DataError(
          "{}: {} requests give as many synthetic images, and below {} there is no number; take another split, a "
          "larger --count, or --requests novel",
          real.name(), asked.requests.size(), kFewestImages);
    }
    synthetic = ImageSet::synthetic(generated(*options.engine, asked.requests,
                                              leads ? directory->path() / "synthetic" : fs::path(), options.group));
    synthetic->set_patients(asked.patients);
    made_from = asked.what;
    ema = ema_of(options.engine->training_facts());
  } else {
    synthetic = ImageSet::synthetic(open(options.synthetic));
    made_from = "as found in " + options.synthetic.string();
  }

  EvaluateResult result;
  FidelityOptions fidelity = options.fidelity;
  fidelity.seed = options.seed;
  fidelity.group = options.group;
  result.fidelity = measure_fidelity(real, others, *synthetic, fidelity, FeatureCache(options.cache));
  result.fidelity.protocol["ema"] = ema;
  result.fidelity.protocol["synthetic"] = made_from;

  ControlReportOptions study = options.control;
  study.seed = options.seed;
  study.group = options.group;
  const bool asked = synthetic->has_requests();
  if (!leads) {
    if (asked) measure_control(*synthetic, options.seed, study.judges, options.group);
    if (options.study && options.engine != nullptr)
      measure_control(*options.engine, study.count, study.seed, study.judges, options.group);
    return {};
  }
  if (study.judges.classify && (asked || options.study)) {
    study.photographs = accuracy_on(real, study.judges, options.seed);
    study.photographs_of = "photographs of " + real.selection();
  }
  if (asked) {
    result.control = measure_control(*synthetic, options.seed, study.judges, options.group);
    result.control->condition_real = study.photographs;
    result.control->condition_real_of = study.photographs_of;
  }
  if (!asked && study.judges.classify && synthetic->has_conditions() && says_condition(*synthetic)) {
    result.condition = accuracy_on(*synthetic, study.judges, options.seed);
    result.condition_real = accuracy_on(real, study.judges, options.seed);
  }

  const fs::path& root = directory->path();
  const std::string subject =
      options.engine != nullptr ? fmt::format("{}, {} px, weights {}", options.engine->recipe_name(),
                                              options.engine->size_px(), options.engine->bundle_sha256().substr(0, 12))
                                : options.synthetic.string();
  report::Page page("What the images are worth", subject);
  page.paragraph(headline(result.fidelity));
  page.heading("Samples");
  add_samples(page, *synthetic);
  page.heading("Fidelity and diversity");
  page.paragraph(fmt::format("Synthetic images: {}. Reference: {}.", made_from, real.name()));
  add_group_table(page, result.fidelity.groups.front());
  add_neighbours(page, result.fidelity);
  add_groups(page, result.fidelity, "condition");
  add_groups(page, result.fidelity, "tone");
  if (result.control) {
    page.heading("Asked against achieved, on these images");
    add_control_figures(page, *result.control);
    write_file(root / "control.csv", result.control->to_csv());
  } else {
    page.heading("Asked against achieved");
    if (options.engine != nullptr) {
      page.paragraph(fmt::format(
          "Of what can be asked for this model heeds the {} and nothing else: skin colour, place and size are as they "
          "come, and there is nothing to measure them against.",
          fmt::join(options.engine->heeds(), " and the ")));
    } else {
      page.paragraph("The set does not say what was asked for, so control was not measured.");
    }
    if (result.condition) {
      const auto row = [&](const std::string& what, const ConditionAccuracy& a) {
        return std::vector<std::string>{what, with_interval(a.balanced, a.balanced_interval), number(a.chance),
                                        std::to_string(a.count)};
      };
      page.table({"the condition as the classifier sees it", "balanced accuracy [95 %]", "chance", "N"},
                 {row("synthetic images, as asked for", *result.condition), row("photographs", *result.condition_real)},
                 study.judges.classifier);
    }
  }
  if (options.study && options.engine != nullptr) {
    fs::create_directories(root / "study");
    result.study = add_control_study(page, *options.engine, root / "study", study);
  }
  if (!study.run.empty()) add_run(page, study.run);
  add_protocol(page, result.fidelity.protocol);
  page.heading("Provenance");
  std::vector<std::vector<std::string>> facts;
  if (options.engine != nullptr) facts = model_facts(*options.engine);
  facts.push_back({"synthetic images", synthetic->name().find(root.string()) == 0 ? made_from : synthetic->name()});
  facts.push_back({"made by", provenance_of(synthetic->data())});
  facts.push_back({"photographs", real.data().root().string()});
  facts.push_back({"photographs, fingerprint", real.data().fingerprint().empty() ? "none" : real.data().fingerprint()});
  if (!options.command.empty()) facts.push_back({"command", options.command});
  facts.push_back({"software", "dermgan " + version()});
  page.table({"what", "value"}, facts);
  add_fidelity_limits(page);

  result.json = {{"fidelity", result.fidelity.to_json()}};
  if (result.control) result.json["control"] = result.control->to_json();
  if (result.study) result.json["study"] = result.study->to_json();
  if (result.condition) {
    result.json["condition"] = {{"classifier", study.judges.classifier},
                                {"sha256", study.judges.classifier_sha256},
                                {"synthetic", to_json(*result.condition)},
                                {"photographs", to_json(*result.condition_real)}};
  }
  const nlohmann::json protocol = protocol_of(options, *photographs, synthetic->size_px());
  result.json["protocol"] = protocol;
  if (options.engine != nullptr) {
    const generation::Engine& engine = *options.engine;
    result.json["bundle"] = {{"path", engine.bundle_path()},
                             {"sha256", engine.bundle_sha256()},
                             {"recipe", engine.recipe_name()},
                             {"size_px", engine.size_px()},
                             {"heeds", engine.heeds()},
                             {"parameters", engine.parameter_count()},
                             {"training", engine.training_facts()}};
  }
  if (!options.command.empty()) result.json["command"] = options.command;
  image::write_png(root / "samples.png", samples_sheet(*synthetic),
                   {{"image_manipulation", "synthetic"}, {"Software", "dermgan " + version()}});
  write_file(root / "evaluation.json", result.json.dump(2) + "\n");
  write_file(root / "fidelity.csv", result.fidelity.to_csv());
  page.write(root / "report.html");
  if (!options.keep_images) fs::remove_all(root / "synthetic");
  if (options.engine != nullptr && !options.cache.empty())
    keep_evaluation(root, kept_evaluation(options.cache, options.engine->bundle_sha256(), protocol));
  directory->commit();
  return result;
}

std::string summary_text(const EvaluateResult& result) {
  const FigureGroup& all = result.fidelity.groups.front();
  std::string text =
      fmt::format("{} photographs ({}), {} synthetic images; floor: {}\n\n", all.n_real,
                  result.fidelity.protocol.value("reference_split", ""), all.n_synthetic, all.floor_from);
  size_t widest = 6;
  for (const Figure& f : all.figures) widest = std::max(widest, label_of(f).size());
  text += fmt::format("{:<{}}  {:<30} {:>12} {:>12}\n", "figure", widest, "value [95 %]", "at equal N", "floor");
  for (const Figure& f : all.figures) {
    text += fmt::format("{:<{}}  {:<30} {:>12} {:>12}{}\n", label_of(f), widest, figure_text(f), figure_text(f.beside),
                        figure_text(f.floor), f.note.starts_with("biased") ? "  biased at this N" : "");
  }
  for (const auto& [name, control] : {std::pair{"these images", &result.control}, {"novel requests", &result.study}}) {
    if (!*control) continue;
    const ControlResult& c = **control;
    text += fmt::format("\ncontrol, {} (N = {})\n", name, c.samples.size());
    const auto line = [&](const std::string& what, const std::string& value) {
      text += fmt::format("{:<{}}  {}\n", what, widest, value);
    };
    line("skin colour error (CIEDE2000), median", with_interval(c.skin_error_median, c.skin_error_interval));
    line("ITA, rank correlation", with_interval(c.ita_rank_correlation, c.ita_rank_interval, 3));
    if (c.judged)
      line("region IoU by the segmenter, median", with_interval(c.judged->iou_median, c.judged->iou_interval, 3));
    line("region IoU by the finder, median", with_interval(c.region_iou_median, c.region_iou_interval, 3));
    if (c.condition)
      line("condition, balanced accuracy",
           fmt::format("{} (chance {})", with_interval(c.condition->balanced, c.condition->balanced_interval),
                       number(c.condition->chance)));
    if (c.condition_real)
      line("  the same on photographs", with_interval(c.condition_real->balanced, c.condition_real->balanced_interval));
  }
  if (result.condition) {
    text += fmt::format("\ncondition by the classifier, balanced accuracy: {} (chance {}); photographs {}\n",
                        with_interval(result.condition->balanced, result.condition->balanced_interval),
                        number(result.condition->chance),
                        with_interval(result.condition_real->balanced, result.condition_real->balanced_interval));
  }
  return text;
}

// The audit's report.

namespace {

/// The synthetic image, turned as it lies nearest, beside the photograph.
image::Image side_by_side(const image::Image& a, const image::Image& b) {
  constexpr int kGap = 4;
  image::Image both(a.width + kGap + b.width, std::max(a.height, b.height), 3, 255);
  for (const auto& [part, left] : {std::pair{&a, 0}, {&b, a.width + kGap}}) {
    for (int y = 0; y < part->height; ++y)
      std::copy_n(part->at(0, y), static_cast<size_t>(part->width) * 3, both.at(left, y));
  }
  return both;
}

/// The space in which an image lies nearest, by its share of the 1st percentile.
const AuditSpace& nearest_space(const AuditResult& result, size_t i, bool synthetic) {
  const auto score = [&](const AuditSpace& s) { return (synthetic ? s.synthetic : s.held_out)[i].distance / s.first; };
  return score(result.spaces[1]) < score(result.spaces[0]) ? result.spaces[1] : result.spaces[0];
}

void add_pairs(report::Page& page, const AuditResult& result, const ImageSet& set, const ImageSet& training,
               const std::vector<size_t>& which, bool synthetic, const std::string& caption) {
  std::vector<report::Thumbnail> shown;
  for (const size_t i : which) {
    const AuditSpace& space = nearest_space(result, i, synthetic);
    const Nearest& nearest = (synthetic ? space.synthetic : space.held_out)[i];
    std::string text = fmt::format("{} | {}", set.items()[i].file_name, training.items()[nearest.training].file_name);
    for (const AuditSpace& s : result.spaces) {
      const Nearest& n = (synthetic ? s.synthetic : s.held_out)[i];
      text += fmt::format("; {}: {:.2f} of the 1st percentile, ratio {:.2f}", s.name, n.distance / s.first, n.ratio());
    }
    shown.push_back({side_by_side(turned(set.image(i), nearest.turn), training.image(nearest.training)), text,
                     synthetic ? "Synthetic image beside the nearest training photograph"
                               : "Held-out photograph beside the nearest training photograph"});
  }
  page.gallery(shown, 264, caption);
}

report::Plot curves_of(const AuditSpace& space) {
  report::Plot plot;
  plot.title = fmt::format("Distance to the nearest training photograph: {}", space.name);
  plot.x_label = fmt::format("distance ({})", space.unit);
  plot.y_label = "share of images nearer than this";
  plot.y_range = {0, 1};
  for (const auto& [name, list] :
       {std::pair{"synthetic", &space.synthetic}, {"held-out photographs", &space.held_out}}) {
    std::vector<double> values;
    for (const Nearest& n : *list) values.push_back(n.distance);
    std::sort(values.begin(), values.end());
    report::Series series;
    series.name = name;
    for (size_t i = 0; i < values.size(); ++i) {
      series.x.push_back(values[i]);
      series.y.push_back((static_cast<double>(i) + 1) / static_cast<double>(values.size()));
    }
    plot.series.push_back(std::move(series));
  }
  plot.caption =
      fmt::format("1st percentile of the held-out photographs: {:.3g}; 5th: {:.3g}.", space.first, space.fifth);
  return plot;
}

std::string audit_csv(const AuditResult& result, const ImageSet& synthetic, const ImageSet& training) {
  std::vector<std::string> header = {"file_name"};
  for (const AuditSpace& s : result.spaces) {
    std::string name = s.name;
    std::replace(name.begin(), name.end(), ' ', '_');
    for (const char* what : {"_distance", "_ratio", "_nearest", "_turn"}) header.push_back(name + what);
  }
  CsvTable table(header);
  for (size_t i = 0; i < synthetic.size(); ++i) {
    std::vector<std::string> row = {synthetic.items()[i].file_name};
    for (const AuditSpace& s : result.spaces) {
      const Nearest& n = s.synthetic[i];
      row.insert(row.end(), {fmt::format("{:.6g}", n.distance), fmt::format("{:.6g}", n.ratio()),
                             training.items()[n.training].file_name, std::to_string(n.turn)});
    }
    table.add_row(std::move(row));
  }
  return table.to_string();
}

std::vector<std::vector<std::string>> audit_rows(const AuditResult& r) {
  std::vector<std::vector<std::string>> rows;
  const auto row = [&](const std::string& what, const std::string& expected, const auto& of) {
    rows.push_back({what, expected});
    for (const AuditSpace& s : r.spaces) rows.back().push_back(of(s));
  };
  const auto percent = [](double share) { return fmt::format("{:.1f} %", 100 * share); };
  row("nearer than the held-out 1st percentile", "1 %", [&](const AuditSpace& s) { return percent(s.share_first); });
  row("nearer than the held-out 5th percentile", "5 %", [&](const AuditSpace& s) { return percent(s.share_fifth); });
  row("ratio below the held-out 1st percentile", "1 %",
      [&](const AuditSpace& s) { return percent(s.share_first_ratio); });
  row("p of the first, exact", ">= alpha", [](const AuditSpace& s) { return fmt::format("{:.2g}", s.first_p); });
  row("p of the third, exact", ">= alpha", [](const AuditSpace& s) { return fmt::format("{:.2g}", s.ratio_p); });
  row("nearest photograph of all is a training one", "as expected",
      [&](const AuditSpace& s) { return percent(s.nearest_is_training); });
  row("  expected of a model that had not seen them", "", [&](const AuditSpace& s) { return percent(s.expected); });
  row("  p, patients dealt anew", ">= alpha",
      [](const AuditSpace& s) { return fmt::format("{:.2g}", s.permutation_p); });
  row("copies", "0", [](const AuditSpace& s) { return std::to_string(s.copies.size()); });
  row("probability to lie nearer than a held-out photograph", "0.5, soft images above",
      [](const AuditSpace& s) { return fmt::format("{:.3f}", s.distances.smaller); });
  row("  p, Mann-Whitney (not in the verdict)", "",
      [](const AuditSpace& s) { return fmt::format("{:.2g}", s.distances.p); });
  return rows;
}

}  // namespace

AuditResult run_audit(const AuditRunOptions& options, const fs::path& out) {
  check_sources(options.real, options.synthetic, options.engine);
  NewDirectory directory(out);
  const fs::path& root = directory.path();
  const std::shared_ptr<const data::DataSet> photographs = open(options.real);
  ImageSet training = ImageSet::real(photographs, {"train"});
  std::vector<std::string> splits;
  for (const char* split : {"validation", "test"}) {
    if (!photographs->of_split(split).empty()) splits.emplace_back(split);
  }
  if (splits.empty()) {
    throw DataError(
        "{}: all its photographs are in the training split, and without held-out patients there is no measure; "
        "`dermgan prepare` sets some aside",
        options.real.string());
  }
  ImageSet held_out = ImageSet::real(photographs, splits);
  std::string subject, warning;
  std::optional<ImageSet> synthetic;
  if (options.engine != nullptr) {
    const generation::Engine& engine = *options.engine;
    subject = fmt::format("{}, {} px, weights {}", engine.recipe_name(), engine.size_px(),
                          engine.bundle_sha256().substr(0, 12));
    const std::string learned = engine.training_facts().value("data_fingerprint", std::string());
    if (learned.empty() || learned != photographs->fingerprint()) {
      warning = fmt::format(
          "The model says that it learned from a data set of the fingerprint {}, and {} has {}. The audit holds for "
          "the "
          "photographs of the latter alone: make sure that they are those the model learned from, in the same splits.",
          learned.empty() ? "(none)" : learned.substr(0, 12), options.real.string(),
          photographs->fingerprint().empty() ? "(none)" : photographs->fingerprint().substr(0, 12));
      log_warning("{}", warning);
    }
    synthetic = ImageSet::synthetic(generated(
        *options.engine,
        data::balanced_requests(options.count, {"condition", "tone", "size"}, engine.offer(), options.audit.seed),
        root / "synthetic"));
  } else {
    subject = options.synthetic.string();
    synthetic = ImageSet::synthetic(open(options.synthetic));
  }
  // All at one size, as in training; larger synthetic images are reduced too, since a copy may have been enlarged.
  const int side = std::min({training.size_px(), held_out.size_px(), synthetic->size_px()});
  for (ImageSet* set : {&training, &held_out, &*synthetic}) set->reduce_to(side);
  const AuditResult result =
      audit(training, held_out, *synthetic, *options.extractor, FeatureCache(options.cache), options.audit);

  nlohmann::json json = result.to_json();
  json["training"] = training.name();
  json["held_out"] = held_out.name();
  json["synthetic"] = options.engine != nullptr
                          ? fmt::format("{} novel requests, seed {}", options.count, options.audit.seed)
                          : options.synthetic.string();
  if (options.engine != nullptr) json["bundle_sha256"] = options.engine->bundle_sha256();
  if (!warning.empty()) json["warning"] = warning;
  json["software"] = "dermgan " + version();
  if (!options.command.empty()) json["command"] = options.command;

  report::Page page("Copies of the training photographs?", subject);
  page.paragraph(result.passed
                     ? "Verdict: passed. By the rules below no copies of training photographs were found."
                     : "Verdict: failed. By the rules below the images carry copies of training photographs.");
  if (!result.reasons.empty()) page.list(result.reasons);
  if (!warning.empty()) page.note(warning);
  page.note(
      "This report shows training photographs of patients. It is your own file: pass it on only where the photographs "
      "may go.");
  page.heading("Figures");
  std::vector<std::string> header = {"figure", "without copies"};
  for (const AuditSpace& s : result.spaces) header.push_back(s.name);
  page.table(
      header, audit_rows(result),
      fmt::format("{} synthetic images against {} training photographs of {} patients and {} held-out ones of {}",
                  result.synthetic, result.training, result.training_patients, result.held_out,
                  result.held_out_patients));
  for (const AuditSpace& s : result.spaces) page.plot(curves_of(s));
  page.heading("The closest pairs");
  add_pairs(
      page, result, *synthetic, training, closest_images(result, options.pairs), true,
      "Left: the synthetic image, mirrored and turned as it lies nearest. Right: the training photograph. Nearest "
      "first; a distance of 1.00 of the 1st percentile is as near as the nearest 1 % of held-out photographs come.");
  page.subheading("For scale: held-out photographs of other patients");
  add_pairs(page, result, held_out, training, closest_held_out(result, 6), false,
            "The closest pairs that two different patients give.");
  page.heading("The rules of the verdict");
  page.paragraph(
      "The ratio of an image is its distance to the nearest training photograph over that to the nearest held-out one: "
      "near 0 for a copy, near 1 for an image that is merely soft or common. The verdict is no if, by the encoder or "
      "by "
      "small pictures,");
  const AuditOptions& o = result.options;
  page.list(
      {fmt::format("more images than chance allows (exact, p < {}) lie below the 1st percentile of the held-out "
                   "photographs' distances, and more than chance allows below that of their ratios; or",
                   o.alpha),
       fmt::format("the nearest photograph of all is a training one more often than when patients are dealt to "
                   "training and held-out at random ({} times, p < {}), by {:.0f} points of a hundred or more; or",
                   o.permutations, o.alpha, 100 * o.least_excess),
       fmt::format("a single image is nearer to a training photograph than {0} times the smallest distance of a "
                   "held-out one, at a ratio below {0}.",
                   o.copy_factor)});
  page.heading("Protocol");
  std::vector<std::vector<std::string>> facts = {
      {"training", training.name()},
      {"held out", held_out.name()},
      {"synthetic", json["synthetic"].get<std::string>()},
      {"compared at", fmt::format("{} px", side)},
      {"encoder",
       fmt::format("{}; weights SHA-256 {}; {}", result.extractor,
                   result.extractor_sha256.empty() ? "none" : result.extractor_sha256, result.resize_kernel)},
      {"distance by the encoder", "root mean square of features, each divided by its deviation over training"},
      {"small pictures", "32 px (box), CIE Lab, less the mean colour, root mean square"},
      {"copies looked at", "all eight mirrorings and quarter turns of every image"},
      {"seed", std::to_string(o.seed)},
      {"software", "dermgan " + version()}};
  if (!options.command.empty()) facts.push_back({"command", options.command});
  page.table({"what", "value"}, facts);
  page.heading("Limits");
  page.list(
      {"An audit finds likeness that its two ways of looking see. It cannot prove that nothing was kept; formal "
       "privacy would need training with differential privacy.",
       "A paired generator that is given a training photograph's own map paints that photograph by design; the "
       "images here were asked for by other maps.",
       "Research software; not a medical device."});
  write_file(root / "audit.json", json.dump(2) + "\n");
  write_file(root / "audit.csv", audit_csv(result, *synthetic, training));
  page.write(root / "report.html");
  if (!options.keep_images) fs::remove_all(root / "synthetic");
  directory.commit();
  return result;
}

std::string summary_text(const AuditResult& r) {
  std::string text = fmt::format(
      "{} synthetic images against {} training photographs ({} patients) and {} held-out ones ({} patients)\n\n",
      r.synthetic, r.training, r.training_patients, r.held_out, r.held_out_patients);
  text += fmt::format("{:<54} {:>24}", "", "without copies");
  for (const AuditSpace& s : r.spaces) text += fmt::format(" {:>18}", s.name);
  text += "\n";
  for (const std::vector<std::string>& row : audit_rows(r)) {
    text += fmt::format("{:<54} {:>24}", row[0], row[1]);
    for (size_t i = 2; i < row.size(); ++i) text += fmt::format(" {:>18}", row[i]);
    text += "\n";
  }
  text += r.passed ? "\nverdict: passed\n" : "\nverdict: failed\n";
  for (const std::string& reason : r.reasons) text += "  " + reason + "\n";
  return text;
}

}  // namespace derm::evaluation
