#include "derm/utility/utility.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <numeric>
#include <optional>
#include <set>

#include <torch/torch.h>

#include "derm/base/csv.h"
#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/base/log.h"
#include "derm/base/progress.h"
#include "derm/base/random.h"
#include "derm/base/suggest.h"
#include "derm/base/system.h"
#include "derm/recipe/bundle.h"
#include "derm/utility/classifier.h"
#include "derm/utility/folds.h"
#include "derm/utility/pool.h"
#include "derm/utility/provenance.h"
#include "derm/utility/results.h"
#include "derm/utility/utility_report.h"

namespace derm::utility {
namespace {

constexpr int kFormat = 1;
constexpr const char *kRegistration = "registration.json", *kDesign = "design.toml";
constexpr double kDigits = 1e6;  // of probabilities in a cell's file

/// A name as part of a file's.
std::string safe(std::string text) {
  for (char& c : text)
    if (!std::isalnum(static_cast<unsigned char>(c)) && std::string_view("_-+=.").find(c) == std::string_view::npos)
      c = '_';
  return text;
}

std::string replaced(std::string text, const std::string& what, const std::string& by) {
  for (size_t at; (at = text.find(what)) != std::string::npos;) text.replace(at, what.size(), by);
  return text;
}

std::string fingerprint_of(const data::DataSet& data) {
  return data.fingerprint().empty() ? data::data_set_fingerprint(data.root(), data.records()) : data.fingerprint();
}

/// The first place where two documents differ, for a message.
std::string first_difference(const nlohmann::json& a, const nlohmann::json& b) {
  for (const nlohmann::json& step : nlohmann::json::diff(a, b)) {
    const nlohmann::json::json_pointer path(step.at("path").get<std::string>());
    const auto text = [&](const nlohmann::json& j) { return j.contains(path) ? j.at(path).dump() : "nothing"; };
    return fmt::format("{} is {} there and {} now", step.at("path").get<std::string>(), text(a), text(b));
  }
  return "they do not differ";
}

/// SHA-256 of an image's pixels, by which a copy is known whatever file it stands in.
std::string pixels_sha256(const at::Tensor& pixels) {
  const at::Tensor bytes = pixels.contiguous();
  return sha256_hex({reinterpret_cast<const char*>(bytes.data_ptr<uint8_t>()), static_cast<size_t>(bytes.numel())});
}

/// One classifier: where its file stands and what it is.
struct Cell {
  size_t regime, fold, arm, seed;
};

class Experiment {
 public:
  Experiment(const UtilityOptions& options, const recipe::Catalogue& catalogue, const fs::path& out)
      : options_(options), design_(options_.design), catalogue_(catalogue), out_(out) {
    design_.validate();
    if (options_.parts < 1 || options_.part < 1 || options_.part > options_.parts)
      throw UsageError("part {} of {}: parts are counted from 1", options_.part, options_.parts);
    arms_ = design_.parsed_arms();
    regimes_ = design_.parsed_regimes();
    const data::DataSet all = data::DataSet::open(options_.real);
    data_ = std::make_shared<data::DataSet>(design_.conditions.empty() ? all : all.only(design_.conditions));
    conditions_ = data_->conditions();
    if (conditions_.size() < 2)
      throw UsageError("{}: it has one condition (\"{}\"), a classifier needs two or more", options_.real.string(),
                       conditions_.front());
    for (const Regime& regime : regimes_)
      for (const auto& [condition, count] : regime.at_most) known_condition("regimes", condition);
    fill_.assign(conditions_.size(), design_.fill_conditions.empty());
    for (const std::string& condition : design_.fill_conditions)
      fill_[known_condition("fill_conditions", condition)] = true;
    for (const std::string& condition : design_.generator.conditions)
      known_condition("generator.conditions", condition);

    // A classifier needs no region: photographs whose lesion was not found are seen as well.
    photographs_ = evaluation::ImageSet::real(data_, {"train", "validation", "test"}, /*sure_regions=*/false);
    photographs_->reduce_to(static_cast<int>(design_.size_px));
    for (const evaluation::Item& item : photographs_->items())
      rows_.push_back({item.patient, index_of(conditions_, item.condition), data_->records()[item.row].split});
    folds_ = make_folds(rows_, conditions_, design_.folds, design_.validation, static_cast<uint64_t>(design_.seed));
    for (size_t r = 0; r < regimes_.size(); ++r) {
      for (size_t f = 0; f < folds_.size(); ++f) {
        // A photographer of 32 images a condition has not hundreds to validate on either.
        const uint64_t seed = mix_seed(static_cast<uint64_t>(design_.seed), 100 + f);
        train_[{r, f}] = limited(folds_[f].train, rows_, conditions_, regimes_[r], seed);
        validation_[{r, f}] = limited(folds_[f].validation, rows_, conditions_, regimes_[r], seed);
      }
    }
    if (!options_.external.empty()) open_external();
    if (!design_.classifier.weights.empty()) start_ = tensor::read_weights(design_.classifier.weights);
    check_sources();
    register_design();
    for (size_t f = 0; f < folds_.size(); ++f)
      for (size_t r = 0; r < regimes_.size(); ++r)
        for (const size_t a : order_of_arms())
          for (size_t s = 0; s < static_cast<size_t>(design_.seeds); ++s) cells_.push_back({r, f, a, s});
  }

  UtilityOutcome run() {
    policy_ = tensor::choose_policy(
        {.device = options_.device, .precision = design_.classifier.precision, .threads = options_.threads});
    LogFile log(out_ / "log.txt");
    fs::create_directories(out_ / "cells");
    const auto there = static_cast<size_t>(
        std::count_if(cells_.begin(), cells_.end(), [&](const Cell& c) { return fs::exists(file_of(c)); }));
    log_info("{}: {} classifiers, {} of them there; design {}; {}", out_.string(), cells_.size(), there,
             hash_.substr(0, 12), policy_.text());
    for (size_t f = 0; f < folds_.size(); ++f) {
      for (size_t r = 0; r < regimes_.size(); ++r) {
        // All arms of a fold and regime in one process: they share the generator.
        if ((f * regimes_.size() + r) % options_.parts == options_.part - 1) run_group(r, f);
      }
    }
    UtilityOutcome outcome{.complete = true, .cells = cells_.size(), .results = {}};
    for (const Cell& cell : cells_) outcome.complete &= fs::exists(file_of(cell));
    if (outcome.complete) outcome.results = write_results();
    return outcome;
  }

 private:
  static size_t index_of(const std::vector<std::string>& names, const std::string& name) {
    return static_cast<size_t>(std::find(names.begin(), names.end(), name) - names.begin());
  }

  size_t known_condition(const char* field, const std::string& condition) const {
    const size_t k = index_of(conditions_, condition);
    if (k == conditions_.size())
      throw UsageError("{}: \"{}\" is not one of the conditions of {}{}", field, condition, options_.real.string(),
                       did_you_mean(condition, conditions_));
    return k;
  }

  /// Judges of a filter first.
  std::vector<size_t> order_of_arms() const {
    std::vector<size_t> order;
    for (const bool judges : {true, false})
      for (size_t a = 0; a < arms_.size(); ++a)
        if (arms_[a].only_real() == judges) order.push_back(a);
    return order;
  }

  bool filters() const {
    return std::any_of(arms_.begin(), arms_.end(), [](const Arm& a) { return a.filtered; });
  }

  fs::path group_folder(size_t r, size_t f) const {
    return out_ / "generators" / fmt::format("{}.fold{}", safe(regimes_[r].text), f);
  }
  fs::path file_of(const Cell& c) const {
    return out_ / "cells" /
           fmt::format("{}.fold{}.{}.seed{}.json", safe(regimes_[c.regime].text), c.fold, safe(arms_[c.arm].text),
                       c.seed);
  }
  std::string name_of(const Cell& c) const {
    return fmt::format("regime {}, fold {}, arm {}, seed {}", regimes_[c.regime].text, c.fold, arms_[c.arm].text,
                       c.seed);
  }

  PoolSource source_of(size_t r, size_t f) const {
    const auto path = [&](const std::string& text) {
      return fs::path(replaced(replaced(text, "{fold}", std::to_string(f)), "{regime}", safe(regimes_[r].text)));
    };
    PoolSource source;
    source.bundle = path(options_.bundle);
    source.synthetic = path(options_.synthetic);
    source.generator = design_.generator;
    source.device = options_.device;
    source.threads = options_.threads;
    return source;
  }

  void open_external() {
    external_data_ = std::make_shared<data::DataSet>(data::DataSet::open(options_.external));
    for (const std::string& condition : conditions_) {
      const auto& there = external_data_->conditions();
      if (std::find(there.begin(), there.end(), condition) != there.end()) common_.push_back(condition);
    }
    if (common_.size() < 2)
      throw UsageError("{}: it has {} of the conditions {}; at least two are needed in both",
                       options_.external.string(), common_.size(), fmt::join(conditions_, ", "));
    if (fingerprint_of(*external_data_) == fingerprint_of(*data_))
      throw UsageError("{}: it is the data set that is trained on; a second one is needed", options_.external.string());
    evaluation::ImageSet set =
        evaluation::ImageSet::real(external_data_, {"train", "validation", "test"}, /*sure_regions=*/false);
    std::vector<size_t> kept;
    for (size_t i = 0; i < set.size(); ++i)
      if (std::find(common_.begin(), common_.end(), set.items()[i].condition) != common_.end()) kept.push_back(i);
    if (kept.empty())
      throw DataError("{}: no image of {} can be used", options_.external.string(), fmt::join(common_, ", "));
    external_ = set.subset(kept);
    external_->reduce_to(static_cast<int>(design_.size_px));
    Provenance trained_here;
    for (const evaluation::Item& item : photographs_->items())
      for (const std::string& mark : marks_of(*data_, data_->records()[item.row]))
        trained_here.seen.emplace(mark, item.file_name);
    check_unseen(trained_here, options_.real.string(), *external_data_, external_records(), "the second data set",
                 "it is asked and never trained on; take those photographs out of one of the two");
  }

  std::vector<size_t> external_records() const {
    std::vector<size_t> records;
    for (const evaluation::Item& item : external_->items()) records.push_back(item.row);
    return records;
  }

  /// Provenance of what was made elsewhere is checked before anything is trained; of generators trained here once they
  /// are.
  void check_sources() {
    const bool given = !options_.bundle.empty() || !options_.synthetic.empty(),
               trained = !design_.generator.recipe.empty();
    if (!design_.needs_synthetic()) {
      if (given || trained)
        throw UsageError(
            "no arm has synthetic images, and {} would make some; add an arm (real+synthetic=1), or drop it",
            trained ? "generator.recipe" : "the bundle or set that was named");
      return;
    }
    if (given && trained)
      throw UsageError(
          "synthetic images come from {}, and the design trains a generator too (generator.recipe); one of the two is "
          "needed",
          options_.synthetic.empty() ? options_.bundle : options_.synthetic);
    if (!given && !trained)
      throw UsageError(
          "the arms need synthetic images; name a bundle (--bundle) or a generated set (--synthetic), or let the "
          "design train a generator for each fold (generator.recipe)");
    for (const fs::path& path : options_.trained_on) more_data_.push_back(data::DataSet::open(path));
    if (trained) {
      catalogue_.make(design_.generator.recipe);  // a mistyped name is told now
      const int64_t side = design_.generator.size_px > 0 ? design_.generator.size_px : data_->size_px();
      if (side < design_.size_px)
        throw UsageError(
            "generator.size_px: its images of {} px are smaller than the {} px that classifiers see (size_px)", side,
            design_.size_px);
      return;
    }
    for (size_t f = 0; f < folds_.size(); ++f)
      for (size_t r = 0; r < regimes_.size(); ++r) check_group(r, f, source_of(r, f), nullptr);
  }

  /// Notes what the generator of a group learned from. @throws DataError if it has seen anybody but that group's
  /// patients
  void check_group(size_t r, size_t f, const PoolSource& source, const data::DataSet* fold_set) {
    const auto [facts, what] = generator_facts(source);
    std::vector<const data::DataSet*> known = {&whole()};
    if (fold_set != nullptr) known.push_back(fold_set);
    for (const data::DataSet& set : more_data_) known.push_back(&set);
    const Provenance provenance = provenance_of(facts, what, known);
    if (!provenance.known) {
      if (!options_.allow_unknown)
        throw DataError(
            "{}, so it may have seen test patients; name that data (--trained-on), or go on with "
            "--allow-unknown-provenance, which marks the report",
            provenance.missing);
      vouched_[{r, f}].marks.insert(provenance.missing + ": it may have seen test patients, and a gain proves nothing");
    }
    vouched_[{r, f}].learned.insert(provenance.learned.begin(), provenance.learned.end());
    std::set<std::string> allowed;
    for (const auto* part : {&train_.at({r, f}), &validation_.at({r, f})})
      for (const size_t row : *part) allowed.insert(rows_[row].patient);
    std::vector<size_t> test, left_out;  // rows of the data set
    for (const size_t row : folds_[f].test) test.push_back(photographs_->items()[row].row);
    for (const auto* part : {&folds_[f].train, &folds_[f].validation})
      for (const size_t row : *part)
        if (!allowed.contains(rows_[row].patient)) left_out.push_back(photographs_->items()[row].row);
    const std::string advice =
        "a generator may have seen training patients alone: let the experiment train one for each fold and regime "
        "(generator.recipe), or take folds = 1 where it learned from the set's own training split";
    check_unseen(provenance, what, *data_, test, fmt::format("fold {}'s test photographs", f), advice);
    check_unseen(provenance, what, *data_, left_out,
                 fmt::format("the photographs that the regime {} leaves out of fold {}", regimes_[r].text, f), advice);
    if (external_) check_unseen(provenance, what, *external_data_, external_records(), "the second data set", advice);
  }

  /// The data set with all its conditions: a generator may have learned from those that are left out here.
  const data::DataSet& whole() {
    if (!whole_) whole_ = data::DataSet::open(options_.real);
    return *whole_;
  }

  void register_design() {
    nlohmann::json json = {{"format", kFormat},
                           {"software", "dermgan " + version()},
                           {"design", design_.to_json()},
                           {"conditions", conditions_},
                           {"data_fingerprint", fingerprint_of(*data_)},
                           {"external_fingerprint", external_data_ ? fingerprint_of(*external_data_) : ""},
                           {"weights_sha256", start_ ? start_->sha256 : ""},
                           {"unknown_provenance_allowed", options_.allow_unknown}};
    nlohmann::json sources = nlohmann::json::object();
    if (design_.needs_synthetic() && design_.generator.recipe.empty()) {
      for (size_t f = 0; f < folds_.size(); ++f)
        for (size_t r = 0; r < regimes_.size(); ++r) {
          const PoolSource source = source_of(r, f);
          sources[fmt::format("{}.fold{}", regimes_[r].text, f)] =
              source.synthetic.empty() ? "bundle " + recipe::bundle_sha256(recipe::find_bundle(source.bundle))
                                       : "set " + fingerprint_of(data::DataSet::open(source.synthetic));
        }
    }
    json["synthetic"] = sources;
    const std::string text = json.dump(2) + "\n";
    hash_ = sha256_hex(text);
    registration_ = json;
    if (fs::exists(out_ / kRegistration)) {
      const std::string there = read_file(out_ / kRegistration);
      if (there != text) {
        const auto old = nlohmann::json::parse(there, nullptr, false);
        throw UsageError(
            "{}: it holds an experiment of another design ({}); give another folder (--out), or that design",
            out_.string(), old.is_discarded() ? "its file is damaged" : first_difference(old, json));
      }
    } else {
      if (fs::exists(out_) && !fs::is_empty(out_))
        throw UsageError("{}: it is there and holds no experiment; give a new folder (--out)", out_.string());
      fs::create_directories(out_);
      write_file(out_ / kRegistration, text);
    }
    if (!fs::exists(out_ / kDesign)) write_file(out_ / kDesign, design_.to_toml());
  }

  const std::vector<at::Tensor>& photograph_pixels() {
    if (pixels_.empty()) pixels_ = decoded(*photographs_, "photographs");
    return pixels_;
  }
  const std::vector<at::Tensor>& external_pixels() {
    if (external_pixels_.empty() && external_) external_pixels_ = decoded(*external_, "second data set");
    return external_pixels_;
  }

  /// A cell that is there and belongs to this design. @throws DataError if it does not
  nlohmann::json cell_at(const Cell& cell) const {
    const fs::path file = file_of(cell);
    const auto json = nlohmann::json::parse(read_file(file), nullptr, false);
    if (!json.is_object() || json.value("registration_sha256", "") != hash_)
      throw DataError("{}: it is damaged or of another design; remove it, and it is made again", file.string());
    return json;
  }

  void run_group(size_t r, size_t f) {
    std::vector<Cell> missing;
    for (const Cell& cell : cells_)
      if (cell.regime == r && cell.fold == f && !fs::exists(file_of(cell))) missing.push_back(cell);
    if (missing.empty()) return;
    photograph_pixels();
    external_pixels();
    std::vector<Composition> compositions;
    std::vector<int64_t> needed(conditions_.size(), 0);
    for (size_t a = 0; a < arms_.size(); ++a) {
      compositions.push_back(compose(arms_[a], train_.at({r, f}), rows_, fill_, design_.fill_to,
                                     mix_seed(static_cast<uint64_t>(design_.seed), 1000 + f)));
      if (compositions.back().size() == 0)
        throw UsageError("arm {}: it has no image in regime {}, fold {}", arms_[a].text, regimes_[r].text, f);
      const double times = arms_[a].filtered ? design_.pool : 1;
      for (size_t k = 0; k < needed.size(); ++k)
        needed[k] = std::max(
            needed[k], static_cast<int64_t>(std::ceil(times * static_cast<double>(compositions.back().synthetic[k]))));
    }
    const Pool pool = pool_of(r, f, needed);
    Progress progress(fmt::format("regime {}, fold {}", regimes_[r].text, f), static_cast<double>(missing.size()),
                      "classifiers");
    double done = 0;
    for (const Cell& cell : missing) {
      train_cell(cell, compositions[cell.arm], pool, [&](double share) { progress.update(done + share); });
      progress.update(++done);
    }
    progress.finish();
  }

  Pool pool_of(size_t r, size_t f, const std::vector<int64_t>& needed) {
    if (std::all_of(needed.begin(), needed.end(), [](int64_t n) { return n == 0; }))
      return {.pixels = std::vector<std::vector<at::Tensor>>(conditions_.size()), .name = ""};
    PoolSource source = source_of(r, f);
    const fs::path folder = group_folder(r, f);
    const uint64_t seed = mix_seed(static_cast<uint64_t>(design_.seed), 10000 + f);
    if (!design_.generator.recipe.empty()) {
      std::vector<size_t> train, validation;
      for (const size_t row : train_.at({r, f})) train.push_back(photographs_->items()[row].row);
      for (const size_t row : validation_.at({r, f})) validation.push_back(photographs_->items()[row].row);
      write_fold_set(*data_, train, validation, folder / "data");
      source.bundle = trained_generator(design_.generator, source, folder, design_.seed + static_cast<int64_t>(f),
                                        catalogue_, options_.command);
      const data::DataSet fold_set = data::DataSet::open(folder / "data");
      check_group(r, f, source, &fold_set);
    }
    const Pool pool =
        open_pool(source, folder, conditions_, needed, static_cast<int>(design_.size_px), seed, catalogue_);
    std::map<std::string, std::string> test;
    for (const size_t row : folds_[f].test)
      test.emplace(pixels_sha256(photograph_pixels()[row]), photographs_->items()[row].file_name);
    for (const auto& images : pool.pixels)
      for (const at::Tensor& image : images)
        if (const auto found = test.find(pixels_sha256(image)); found != test.end())
          throw DataError(
              "{}: one of its images is {}, a test photograph of fold {}, pixel by pixel; such a set cannot "
              "be used",
              pool.name, found->second, f);
    return pool;
  }

  /// Of each condition the images of the pool whose condition every classifier of the arms of photographs alone sees.
  std::vector<std::vector<size_t>> agreed(size_t r, size_t f, const Pool& pool) const {
    std::vector<std::vector<size_t>> kept(conditions_.size());
    std::vector<nlohmann::json> answers;
    for (const Cell& cell : cells_)
      if (cell.regime == r && cell.fold == f && arms_[cell.arm].only_real())
        answers.push_back(cell_at(cell).at("pool"));
    for (size_t k = 0; k < kept.size(); ++k)
      for (size_t i = 0; i < pool.pixels[k].size(); ++i)
        if (std::all_of(answers.begin(), answers.end(),
                        [&](const nlohmann::json& a) { return a.at(k).at(i).get<size_t>() == k; }))
          kept[k].push_back(i);
    return kept;
  }

  void train_cell(const Cell& cell, const Composition& composition, const Pool& pool,
                  const std::function<void(double)>& progress) {
    const auto begin = std::chrono::steady_clock::now();
    const Arm& arm = arms_[cell.arm];
    const auto pictures_of = [&](const std::vector<size_t>& rows) {
      Pictures pictures;
      for (const size_t row : rows) {
        pictures.pixels.push_back(photograph_pixels()[row]);
        pictures.label.push_back(static_cast<int64_t>(rows_[row].condition));
      }
      return pictures;
    };
    Pictures train = pictures_of(composition.photographs);
    nlohmann::json counts = nlohmann::json::object();
    std::vector<int64_t> photographs(conditions_.size(), 0);
    for (const int64_t k : train.label) ++photographs[static_cast<size_t>(k)];
    std::set<std::string> marks = vouched_[{cell.regime, cell.fold}].marks;
    std::vector<std::vector<size_t>> taken;  // of the pool, by condition
    if (arm.filtered) taken = agreed(cell.regime, cell.fold, pool);
    for (size_t k = 0; k < conditions_.size(); ++k) {
      const int64_t wanted = composition.synthetic[k];
      if (!arm.filtered || (wanted > 0 && taken[k].empty())) {
        // One arm that cannot be as it was meant must not cost the others their report.
        if (arm.filtered)
          marks.insert(fmt::format("{}: the judges agree on none of the {} synthetic images of {}, so all were taken",
                                   name_of(cell), pool.pixels[k].size(), conditions_[k]));
        taken.resize(conditions_.size());
        taken[k].resize(pool.pixels[k].size());
        std::iota(taken[k].begin(), taken[k].end(), size_t{0});
      }
      const auto available = static_cast<int64_t>(taken[k].size());
      for (int64_t i = 0; i < wanted; ++i) {
        // Repeated where a filter leaves too few.
        train.pixels.push_back(pool.pixels[k][taken[k][static_cast<size_t>(i % available)]]);
        train.label.push_back(static_cast<int64_t>(k));
      }
      counts[conditions_[k]] = {
          {"photographs", photographs[k]}, {"synthetic", wanted}, {"different_synthetic", std::min(wanted, available)}};
    }
    // The same seed in every arm: they start alike.
    const uint64_t seed = mix_seed(mix_seed(static_cast<uint64_t>(design_.seed), cell.fold), 77 + cell.seed);
    Trained classifier = train_classifier(
        train, pictures_of(validation_.at({cell.regime, cell.fold})), static_cast<int64_t>(conditions_.size()),
        arm.augment ? std::optional(design_.augment) : std::nullopt, design_.classifier, seed,
        start_ ? &*start_ : nullptr, policy_, name_of(cell), progress);
    nlohmann::json json = {{"format", kFormat},
                           {"registration_sha256", hash_},
                           {"regime", regimes_[cell.regime].text},
                           {"fold", cell.fold},
                           {"arm", arm.text},
                           {"seed", cell.seed},
                           {"counts", counts},
                           {"steps", design_.classifier.steps},
                           {"best_step", classifier.best_step},
                           {"temperature", classifier.temperature},
                           {"validation", classifier.validation},
                           {"learned_from", vouched_[{cell.regime, cell.fold}].learned},
                           {"marks", marks},
                           {"compute", policy_.text()},
                           {"software", "dermgan " + version()}};
    const auto ask = [&](const std::vector<at::Tensor>& pixels) {
      std::vector<double> p = probabilities(classifier, pixels, policy_);
      for (double& v : p) v = std::round(v * kDigits) / kDigits;
      return p;
    };
    std::vector<at::Tensor> test;
    std::vector<std::string> files;
    for (const size_t row : folds_[cell.fold].test) {
      test.push_back(photograph_pixels()[row]);
      files.push_back(photographs_->items()[row].file_name);
    }
    json["test"] = {{"files", files}, {"probabilities", ask(test)}};
    if (external_) json["external"] = {{"probabilities", ask(external_pixels())}};
    if (filters() && arm.only_real()) {
      json["pool"] = nlohmann::json::array();
      for (const auto& images : pool.pixels) {
        const std::vector<double> p = probabilities(classifier, images, policy_);
        nlohmann::json answers = nlohmann::json::array();
        for (size_t i = 0; i < images.size(); ++i) {
          const auto row = p.begin() + static_cast<std::ptrdiff_t>(i * conditions_.size());
          answers.push_back(std::max_element(row, row + static_cast<std::ptrdiff_t>(conditions_.size())) - row);
        }
        json["pool"].push_back(answers);
      }
    }
    json["seconds"] = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    write_file(file_of(cell), json.dump() + "\n");
    log_info("{}: {} images, best at step {} of {} (validation {:.3f}), {:.0f} s", name_of(cell), train.size(),
             classifier.best_step, design_.classifier.steps, classifier.validation_nll, json["seconds"].get<double>());
  }

  /// Answers of a cell on its test photographs, or on the second data set with the common conditions alone.
  Asked answers_of(const nlohmann::json& cell, const Cell& where, bool external) const {
    const size_t k = conditions_.size();
    Asked asked;
    std::vector<double> p = cell.at(external ? "external" : "test").at("probabilities").get<std::vector<double>>();
    const size_t n = external ? external_->size() : folds_[where.fold].test.size();
    if (p.size() != n * k)
      throw DataError("{}: it holds {} probabilities, {} are expected; remove it, and it is made again",
                      file_of(where).string(), p.size(), n * k);
    if (!external) {
      asked.answers.conditions = k;
      asked.answers.p = std::move(p);
      for (const size_t row : folds_[where.fold].test) {
        asked.answers.label.push_back(rows_[row].condition);
        asked.patient.push_back(rows_[row].patient);
      }
      return asked;
    }
    asked.answers.conditions = common_.size();
    for (size_t i = 0; i < n; ++i) {
      double sum = 0;
      for (const std::string& name : common_) sum += p[i * k + index_of(conditions_, name)];
      for (const std::string& name : common_)
        asked.answers.p.push_back(sum > 0 ? p[i * k + index_of(conditions_, name)] / sum
                                          : 1 / static_cast<double>(common_.size()));
      asked.answers.label.push_back(index_of(common_, external_->items()[i].condition));
      asked.patient.push_back(external_->items()[i].patient);
    }
    return asked;
  }

  nlohmann::json write_results() {
    Slice test{.name = "test", .conditions = conditions_, .same_patients = false, .asked = {}};
    Slice second{.name = "external", .conditions = common_, .same_patients = true, .asked = {}};
    nlohmann::json counts = nlohmann::json::array();
    double seconds = 0;
    std::set<std::string> computed, learned, marks;
    for (size_t r = 0; r < regimes_.size(); ++r) {
      for (Slice* slice : {&test, &second})
        slice->asked.emplace_back(arms_.size(), std::vector<std::vector<Asked>>(folds_.size()));
      for (size_t f = 0; f < folds_.size(); ++f) {
        for (size_t a = 0; a < arms_.size(); ++a) {
          for (size_t s = 0; s < static_cast<size_t>(design_.seeds); ++s) {
            const Cell where{r, f, a, s};
            const nlohmann::json cell = cell_at(where);
            test.asked[r][a][f].push_back(answers_of(cell, where, false));
            if (external_) second.asked[r][a][f].push_back(answers_of(cell, where, true));
            seconds += cell.at("seconds").get<double>();
            computed.insert(cell.at("compute").get<std::string>());
            for (const auto& text : cell.at("learned_from")) learned.insert(text.get<std::string>());
            for (const auto& text : cell.at("marks")) marks.insert(text.get<std::string>());
            if (s > 0) continue;
            for (const auto& [condition, n] : cell.at("counts").items()) {
              counts.push_back({{"regime", regimes_[r].text},
                                {"fold", f},
                                {"arm", arms_[a].text},
                                {"condition", condition},
                                {"photographs", n.at("photographs")},
                                {"synthetic", n.at("synthetic")},
                                {"different_synthetic", n.at("different_synthetic")}});
              if (n.at("different_synthetic") < n.at("synthetic"))
                marks.insert(fmt::format(
                    "regime {}, fold {}, arm {}: only {} of {} synthetic images of {} are different", regimes_[r].text,
                    f, arms_[a].text, n.at("different_synthetic").dump(), n.at("synthetic").dump(), condition));
            }
          }
        }
      }
    }
    std::vector<Slice> slices = {test};
    for (const std::string& tone : tones()) slices.push_back(of_tone(test, tone));
    if (external_) slices.push_back(second);
    if (design_.folds * design_.seeds < 5)
      marks.insert(fmt::format("{} classifiers an arm: fewer than 5 say little about how much training itself varies",
                               design_.folds * design_.seeds));
    if (computed.size() > 1)
      marks.insert(fmt::format("classifiers were trained in different ways: {}", fmt::join(computed, "; ")));

    nlohmann::json json = results_of(design_, slices);
    json["format"] = "dermgan utility";
    json["format_version"] = kFormat;
    json["registration_sha256"] = hash_;
    json["registration"] = registration_;
    json["marks"] = marks;
    json["counts"] = counts;
    json["folds"] = nlohmann::json::array();
    for (size_t f = 0; f < folds_.size(); ++f) {
      nlohmann::json fold = {{"fold", f}};
      for (const auto& [part, name] :
           {std::pair(&folds_[f].train, "train"), std::pair(&folds_[f].validation, "validation"),
            std::pair(&folds_[f].test, "test")}) {
        std::set<std::string> patients;
        for (const size_t row : *part) patients.insert(rows_[row].patient);
        fold[name] = {{"images", part->size()}, {"patients", patients.size()}};
      }
      json["folds"].push_back(fold);
    }
    json["generator_learned_from"] = learned;
    json["data"] = options_.real.string();
    json["external"] = options_.external.string();
    json["synthetic"] = !design_.needs_synthetic()    ? "none"
                        : !options_.synthetic.empty() ? options_.synthetic
                        : !options_.bundle.empty()
                            ? options_.bundle
                            : "generators of the recipe " + design_.generator.recipe + ", one for each fold and regime";
    json["classifier_seconds"] = seconds;
    json["compute"] = computed;
    json["command"] = options_.command;
    json["software"] = "dermgan " + version();
    write_file(out_ / "figures.csv", csv_of(json.at("figures")));
    if (!json.at("contrasts").empty()) write_file(out_ / "contrasts.csv", csv_of(json.at("contrasts")));
    write_file(out_ / "results.json", json.dump(1) + "\n");
    write_report(json, out_ / "report.html");
    return json;
  }

  std::vector<std::string> tones() const {
    std::set<std::string> names;
    for (const evaluation::Item& item : photographs_->items())
      if (!item.tone.empty()) names.insert(item.tone);
    return {names.begin(), names.end()};
  }

  Slice of_tone(const Slice& all, const std::string& tone) const {
    Slice slice = all;
    slice.name = "tone " + tone;
    for (auto& arms : slice.asked) {
      for (auto& folds : arms) {
        for (size_t f = 0; f < folds.size(); ++f) {
          std::vector<size_t> rows;
          for (size_t i = 0; i < folds_[f].test.size(); ++i)
            if (photographs_->items()[folds_[f].test[i]].tone == tone) rows.push_back(i);
          for (Asked& asked : folds[f]) {
            Asked part{.answers = asked.answers.only(rows), .patient = {}};
            for (const size_t row : rows) part.patient.push_back(asked.patient[row]);
            asked = std::move(part);
          }
        }
      }
    }
    return slice;
  }

  UtilityOptions options_;
  Design& design_;
  const recipe::Catalogue& catalogue_;
  fs::path out_;
  std::vector<Arm> arms_;
  std::vector<Regime> regimes_;
  std::shared_ptr<const data::DataSet> data_, external_data_;
  std::optional<data::DataSet> whole_;
  std::vector<data::DataSet> more_data_;
  std::vector<std::string> conditions_, common_;  ///< common_: in the second data set too
  std::vector<bool> fill_;
  std::optional<evaluation::ImageSet> photographs_, external_;
  std::vector<Row> rows_;
  std::vector<Fold> folds_;
  std::map<std::pair<size_t, size_t>, std::vector<size_t>> train_, validation_;  ///< by regime and fold
  std::optional<tensor::WeightsFile> start_;
  nlohmann::json registration_;
  std::string hash_;
  struct Vouched {
    std::set<std::string> learned, marks;
  };
  std::map<std::pair<size_t, size_t>, Vouched> vouched_;  ///< of the generator, by regime and fold
  std::vector<Cell> cells_;
  tensor::ComputePolicy policy_;
  std::vector<at::Tensor> pixels_, external_pixels_;
};

}  // namespace

UtilityOutcome run_utility(const UtilityOptions& options, const recipe::Catalogue& catalogue, const fs::path& out) {
  return Experiment(options, catalogue, out).run();
}

}  // namespace derm::utility
