#include "derm/study/analysis.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <map>
#include <set>

#include <fmt/format.h>

#include "derm/base/error.h"
#include "derm/base/random.h"

namespace derm::study {
namespace {

using Json = nlohmann::ordered_json;
using Rows = std::vector<const Row*>;
using Choose = std::function<bool(const Row&)>;

Rows chosen(const Rows& rows, const Choose& choose) {
  Rows result;
  for (const Row* row : rows) {
    if (choose(*row)) result.push_back(row);
  }
  return result;
}

/// Share of rows for which `hit` holds, with the exact interval.
Estimate share(const Rows& rows, const Choose& hit) {
  return proportion(std::count_if(rows.begin(), rows.end(), [&](const Row* r) { return hit(*r); }),
                    static_cast<int64_t>(rows.size()));
}

bool is_real(const Row& r) { return r.real; }
bool is_made(const Row& r) { return !r.real; }
bool said_real(const Row& r) { return r.said_real(); }
bool is_correct(const Row& r) { return r.correct(); }
bool named(const Row& r) { return !r.answer.condition.empty(); }
bool names_it(const Row& r) { return r.answer.condition == r.condition; }
bool names_none(const Row& r) { return r.answer.condition == "unsure"; }

/// Rows as numbers, and figures of them by weights of readers and images.
class Pooled {
 public:
  Pooled(const Rows& rows, const AnalysisOptions& options, const std::string& what) : rows_(rows) {
    std::map<std::string, size_t> readers, images, pools;
    for (const Row* row : rows) {
      const size_t r = readers.emplace(row->reader, readers.size()).first->second;
      const auto [image, added] = images.emplace(row->image, images.size());
      if (added) plan_.image_stratum.push_back(static_cast<int>(pools.emplace(row->pool, pools.size()).first->second));
      reader_.push_back(r);
      image_.push_back(image->second);
    }
    plan_.readers = readers.size();
    plan_.replicates = options.replicates;
    plan_.seed = mix_seed(options.seed, hash_text(what));
  }

  size_t readers() const { return plan_.readers; }
  size_t images() const { return plan_.image_stratum.size(); }

  /// Weighted mean of `of` over the rows that `choose` takes.
  void add_mean(const std::string& name, const Choose& choose, const std::function<double(const Row&)>& of) {
    std::vector<std::pair<size_t, double>> terms;
    for (size_t i = 0; i < rows_.size(); ++i) {
      if (choose(*rows_[i])) terms.emplace_back(i, of(*rows_[i]));
    }
    add(name, static_cast<int64_t>(terms.size()),
        [this, terms](const auto& wr, const auto& wi) -> std::optional<double> {
          double sum = 0, weight = 0;
          for (const auto& [i, value] : terms) {
            const double w = wr[reader_[i]] * wi[image_[i]];
            sum += w * value;
            weight += w;
          }
          if (weight <= 0) return std::nullopt;
          return sum / weight;
        });
  }

  void add_share(const std::string& name, const Choose& choose, const Choose& hit) {
    add_mean(name, choose, [hit](const Row& r) { return hit(r) ? 1.0 : 0.0; });
  }

  /// (TPR + 1 - FPR) / 2 of the figures added under these names.
  void add_balanced(const std::string& name, const std::string& tpr, const std::string& fpr) {
    combine(name, tpr, fpr, [](double t, double f) { return (t + 1 - f) / 2; });
  }
  void add_difference(const std::string& name, const std::string& a, const std::string& b) {
    combine(name, a, b, [](double x, double y) { return x - y; });
  }

  /// Mean of the readers' own areas under the curve, over those who saw both kinds.
  void add_area(const std::string& name) {
    struct Own {
      std::vector<double> scores;
      std::vector<bool> real;
      std::vector<size_t> images;
    };
    std::vector<Own> own(plan_.readers);
    for (size_t i = 0; i < rows_.size(); ++i) {
      own[reader_[i]].scores.push_back(rows_[i]->score());
      own[reader_[i]].real.push_back(rows_[i]->real);
      own[reader_[i]].images.push_back(image_[i]);
    }
    add(name, static_cast<int64_t>(rows_.size()), [own](const auto& wr, const auto& wi) -> std::optional<double> {
      double sum = 0, weight = 0;
      std::vector<double> weights;
      for (size_t r = 0; r < own.size(); ++r) {
        if (wr[r] <= 0) continue;
        weights.clear();
        for (const size_t image : own[r].images) weights.push_back(wi[image]);
        if (const auto area = weighted_area(own[r].scores, own[r].real, weights)) {
          sum += wr[r] * *area;
          weight += wr[r];
        }
      }
      if (weight <= 0) return std::nullopt;
      return sum / weight;
    });
  }

  std::map<std::string, Estimate> estimates() const {
    std::map<std::string, Estimate> result;
    const auto all = crossed_bootstrap(plan_, [&](const auto& wr, const auto& wi) {
      std::vector<std::optional<double>> values;
      values.reserve(figures_.size());
      for (const auto& figure : figures_) values.push_back(figure.of(wr, wi));
      return values;
    });
    for (size_t f = 0; f < figures_.size(); ++f) {
      Estimate e = all[f];
      e.count = figures_[f].count;
      if (e.value && e.low && images() < 3) {
        e.low = e.high = std::nullopt;
        e.reason = "fewer than three images: no interval";
      }
      result[figures_[f].name] = e;
    }
    return result;
  }

 private:
  using Of = std::function<std::optional<double>(const std::vector<double>&, const std::vector<double>&)>;
  struct Figure {
    std::string name;
    int64_t count;
    Of of;
  };
  void add(const std::string& name, int64_t count, Of of) { figures_.push_back({name, count, std::move(of)}); }
  const Figure& figure(const std::string& name) const {
    return *std::find_if(figures_.begin(), figures_.end(), [&](const Figure& f) { return f.name == name; });
  }
  void combine(const std::string& name, const std::string& a, const std::string& b,
               const std::function<double(double, double)>& of) {
    const Figure fa = figure(a), fb = figure(b);
    add(name, fa.count + fb.count, [fa, fb, of](const auto& wr, const auto& wi) -> std::optional<double> {
      const auto x = fa.of(wr, wi), y = fb.of(wr, wi);
      if (!x || !y) return std::nullopt;
      return of(*x, *y);
    });
  }

  const Rows rows_;
  CrossedBootstrap plan_;
  std::vector<size_t> reader_, image_;
  std::vector<Figure> figures_;
};

/// The figures that every part of the answers has: overall, a condition, a tone, a group, a model beside the real
/// images.
Json part(const std::string& name, const Rows& rows, const AnalysisOptions& options, const std::string& what) {
  Pooled pooled(rows, options, what + ":" + name);
  pooled.add_share(
      "accuracy", [](const Row&) { return true; }, is_correct);
  pooled.add_share("tpr", is_real, said_real);
  pooled.add_share("fpr", is_made, said_real);
  pooled.add_balanced("balanced_accuracy", "tpr", "fpr");
  pooled.add_area("auc");
  const auto rated = [](bool real) {
    return [real](const Row& r) { return r.real == real && r.answer.realism.has_value(); };
  };
  const auto realism = [](const Row& r) { return static_cast<double>(*r.answer.realism); };
  const auto artefacts = [](const Row& r) { return static_cast<double>(*r.answer.artefacts); };
  pooled.add_mean("realism_real", rated(true), realism);
  pooled.add_mean("realism_synthetic", rated(false), realism);
  pooled.add_mean("artefacts_real", rated(true), artefacts);
  pooled.add_mean("artefacts_synthetic", rated(false), artefacts);
  pooled.add_share(
      "condition_real", [](const Row& r) { return r.real && named(r); }, names_it);
  pooled.add_share(
      "condition_synthetic", [](const Row& r) { return !r.real && named(r); }, names_it);
  Json json = {{"name", name}, {"answers", rows.size()}, {"readers", pooled.readers()}, {"images", pooled.images()}};
  for (const auto& [figure, estimate] : pooled.estimates()) json[figure] = to_json(estimate);
  return json;
}

std::vector<std::string> values_of(const Rows& rows, const std::function<std::string(const Row&)>& of) {
  std::set<std::string> values;
  for (const Row* r : rows) values.insert(of(*r));
  return {values.begin(), values.end()};
}

Json times_of(const Rows& rows) {
  std::vector<double> seconds;
  for (const Row* r : rows) {
    // A tab that was closed and opened again says nothing of how long somebody thought.
    if (r->views <= 1) seconds.push_back(static_cast<double>(r->answer.response_ms) / 1000);
  }
  if (seconds.empty())
    return {{"n", 0}, {"median_s", nullptr}, {"low_quartile_s", nullptr}, {"high_quartile_s", nullptr}};
  return {{"n", seconds.size()},
          {"median_s", quantile(seconds, 0.5)},
          {"low_quartile_s", quantile(seconds, 0.25)},
          {"high_quartile_s", quantile(seconds, 0.75)}};
}

/// What each reader answered first and again.
std::vector<std::pair<const Row*, const Row*>> repeated(const Rows& standing) {
  std::map<std::pair<std::string, std::string>, std::pair<const Row*, const Row*>> pairs;
  for (const Row* r : standing) {
    auto& pair = pairs[{r->reader, r->image}];
    (r->repeat ? pair.second : pair.first) = r;
  }
  std::vector<std::pair<const Row*, const Row*>> result;
  for (const auto& [key, pair] : pairs) {
    if (pair.first && pair.second) result.push_back(pair);
  }
  return result;
}

void add_self_agreement(Json& json, const std::vector<std::pair<const Row*, const Row*>>& pairs, uint64_t seed) {
  int64_t same = 0;
  std::vector<std::pair<int, int>> verdicts;
  for (const auto& [first, again] : pairs) {
    same += first->said_real() == again->said_real();
    verdicts.emplace_back(first->said_real(), again->said_real());
  }
  Estimate agreement = proportion(same, static_cast<int64_t>(pairs.size()));
  if (pairs.empty()) agreement.reason = "no image was answered twice";
  json["self_agreement"] = to_json(agreement);
  json["self_kappa"] = to_json(cohen_kappa(verdicts, seed));
}

/// Values by image, of the rows where `of` gives one.
std::vector<std::vector<double>> units_of(const Rows& rows,
                                          const std::function<std::optional<double>(const Row&)>& of) {
  std::map<std::string, std::vector<double>> units;
  for (const Row* r : rows) {
    if (const auto v = of(*r)) units[r->image].push_back(*v);
  }
  std::vector<std::vector<double>> result;
  for (auto& [image, values] : units) result.push_back(std::move(values));
  return result;
}

Json curve_json(const Rows& rows) {
  std::vector<double> scores;
  std::vector<bool> real;
  for (const Row* r : rows) {
    scores.push_back(r->score());
    real.push_back(r->real);
  }
  Json points = Json::array();
  for (const RocPoint& p : roc_curve(scores, real)) points.push_back({p.false_positive_rate, p.true_positive_rate});
  return points;
}

}  // namespace

void AnalysisOptions::validate() const {
  if (replicates < 100 || replicates > 100000) {
    throw UsageError("--replicates {}: 100 to 100000 draws are expected", replicates);
  }
}

Json to_json(const Estimate& e) {
  const auto number = [](const std::optional<double>& v) { return v && std::isfinite(*v) ? Json(*v) : Json(); };
  return {{"value", number(e.value)},
          {"low", number(e.low)},
          {"high", number(e.high)},
          {"n", e.count},
          {"reason", e.reason.empty() ? Json() : Json(e.reason)}};
}

Json analyse(const Results& results, const AnalysisOptions& options) {
  options.validate();
  Rows scored, standing;
  int64_t withdrawn = 0, late = 0, several_views = 0, practice = 0;
  for (const Row& row : results.rows) {
    withdrawn += row.withdrawn;
    if (row.withdrawn) continue;
    practice += row.kind == "practice";
    late += row.after_unsealing;
    if (row.kind == "practice" || row.after_unsealing) continue;
    several_views += row.views > 1;
    standing.push_back(&row);
    if (row.scored()) scored.push_back(&row);
  }
  if (scored.empty()) {
    throw UsageError("there is no answer yet that counts: nobody has judged an image behind the practice ones");
  }

  Json json;
  const Description& d = results.description;
  json["format"] = "dermgan-study-report/1";
  json["title"] = d.settings.title;
  json["created"] = d.created;
  json["key_sha256"] = d.key_sha256;
  json["key_verified"] = true;  // open_key() throws otherwise
  json["unsealed_at"] = utc_text(results.unsealed_at);
  json["finished"] = results.finished();
  json["seed"] = options.seed;
  json["replicates"] = options.replicates;
  json["counts"] = {{"answers", results.rows.size()},
                    {"scored", scored.size()},
                    {"withdrawn", withdrawn},
                    {"practice", practice},
                    {"after_unsealing", late},
                    {"seen_more_than_once", several_views},
                    {"images", d.images},
                    {"readers", results.readers.size()}};
  json["power"] = d.power;

  json["overall"] = part("all", scored, options, "overall");
  json["overall"]["roc"] = curve_json(scored);
  json["overall"]["times"] = times_of(scored);
  add_self_agreement(json["overall"], repeated(standing), options.seed);

  json["readers"] = Json::array();
  for (size_t i = 0; i < results.readers.size(); ++i) {
    const std::string& name = results.readers[i].name;
    const auto own = [&](const Row& r) { return r.reader == name; };
    const Rows rows = chosen(scored, own), all = chosen(standing, own);
    const Rows real = chosen(rows, is_real), made = chosen(rows, is_made);
    std::vector<double> scores;
    std::vector<bool> labels;
    int64_t right = 0;
    for (const Row* r : rows) {
      scores.push_back(r->score());
      labels.push_back(r->real);
      right += r->correct();
    }
    Json reader = {{"name", name},
                   {"group", results.readers[i].group},
                   {"done", results.done[i]},
                   {"due", results.due[i]},
                   {"answers", rows.size()},
                   {"accuracy", to_json(share(rows, is_correct))},
                   {"p_chance", rows.empty() ? Json() : Json(binomial_test(right, static_cast<int64_t>(rows.size())))},
                   {"tpr", to_json(share(real, said_real))},
                   {"fpr", to_json(share(made, said_real))},
                   {"auc", to_json(area_under_curve(scores, labels))},
                   {"condition_real", to_json(share(chosen(real, named), names_it))},
                   {"condition_synthetic", to_json(share(chosen(made, named), names_it))},
                   {"times", times_of(rows)}};
    add_self_agreement(reader, repeated(all), options.seed);
    json["readers"].push_back(std::move(reader));
  }

  // A model is judged beside the same real images.
  json["models"] = Json::array();
  std::vector<std::string> models;
  for (size_t p = 1; p < results.key.pools.size(); ++p) models.push_back(results.key.pools[p].name);
  for (const std::string& model : models) {
    const Rows rows = chosen(scored, [&](const Row& r) { return r.real || r.pool == model; });
    if (std::none_of(rows.begin(), rows.end(), [](const Row* r) { return !r->real; })) continue;
    Json m = part(model, rows, options, "model");
    m["roc"] = curve_json(rows);
    json["models"].push_back(std::move(m));
  }
  json["model_differences"] = Json::array();
  if (models.size() > 1) {
    Pooled pooled(scored, options, "differences");
    for (const std::string& model : models) {
      pooled.add_share(
          model, [model](const Row& r) { return r.pool == model; }, said_real);
    }
    std::vector<std::array<std::string, 3>> pairs;
    for (size_t a = 0; a < models.size(); ++a) {
      for (size_t b = a + 1; b < models.size(); ++b) {
        pairs.push_back({models[a], models[b], fmt::format("difference {} {}", a, b)});
        pooled.add_difference(pairs.back()[2], models[a], models[b]);
      }
    }
    const auto estimates = pooled.estimates();
    for (const auto& [a, b, name] : pairs) {
      json["model_differences"].push_back({{"a", a}, {"b", b}, {"fpr_difference", to_json(estimates.at(name))}});
    }
  }

  const auto parts = [&](const char* name, const std::function<std::string(const Row&)>& of) {
    json[name] = Json::array();
    for (const std::string& value : values_of(scored, of)) {
      json[name].push_back(part(value, chosen(scored, [&](const Row& r) { return of(r) == value; }), options, name));
    }
  };
  parts("conditions", [](const Row& r) { return r.condition; });
  parts("tones", [](const Row& r) { return r.tone; });
  parts("groups", [](const Row& r) { return r.group; });

  // Agreement between readers.
  const auto verdict = [](const Row& r) -> std::optional<double> { return r.said_real() ? 1.0 : 0.0; };
  std::map<std::string, double> condition_number;
  for (const std::string& condition : d.conditions)
    condition_number.emplace(condition, static_cast<double>(condition_number.size()));
  const auto condition = [&](const Row& r) -> std::optional<double> {
    const auto it = condition_number.find(r.answer.condition);
    if (it == condition_number.end()) return std::nullopt;
    return it->second;
  };
  Json agreement;
  agreement["alpha_verdict"] = to_json(krippendorff_alpha(units_of(scored, verdict), Metric::nominal, options.seed));
  agreement["alpha_score"] =
      to_json(krippendorff_alpha(units_of(scored, [](const Row& r) -> std::optional<double> { return r.score(); }),
                                 Metric::ordinal, options.seed));
  agreement["alpha_realism"] = to_json(krippendorff_alpha(units_of(scored,
                                                                   [](const Row& r) -> std::optional<double> {
                                                                     if (!r.answer.realism) return std::nullopt;
                                                                     return static_cast<double>(*r.answer.realism);
                                                                   }),
                                                          Metric::ordinal, options.seed));
  for (const bool real : {true, false}) {
    agreement[real ? "alpha_condition_real" : "alpha_condition_synthetic"] =
        to_json(krippendorff_alpha(units_of(chosen(scored, [real](const Row& r) { return r.real == real; }), condition),
                                   Metric::nominal, options.seed));
  }
  // Fleiss' kappa needs every reader on every image: the anchors that all who have begun have answered.
  const Rows anchors = chosen(scored, [](const Row& r) { return r.kind == "anchor"; });
  const size_t begun = values_of(scored, [](const Row& r) { return r.reader; }).size();
  std::vector<std::vector<int64_t>> counts;
  for (const auto& unit : units_of(anchors, verdict)) {
    if (unit.size() != begun) continue;
    const int64_t yes = std::count(unit.begin(), unit.end(), 1.0);
    counts.push_back({static_cast<int64_t>(unit.size()) - yes, yes});
  }
  agreement["fleiss_anchors"] = to_json(fleiss_kappa(counts, options.seed));
  agreement["anchors"] = counts.size();
  agreement["readers"] = begun;
  json["agreement"] = agreement;

  // Conditions named.
  Json named_json;
  for (const bool real : {true, false}) {
    const Rows rows = chosen(scored, [real](const Row& r) { return r.real == real && named(r); });
    named_json[real ? "unsure_real" : "unsure_synthetic"] = to_json(share(rows, names_none));
  }
  json["condition"] = named_json;

  json["times"] = Json::object();
  const auto time = [&](const char* name, const Choose& choose) {
    json["times"][name] = times_of(chosen(scored, choose));
  };
  time("real", is_real);
  time("synthetic", is_made);
  time("correct", is_correct);
  time("wrong", [](const Row& r) { return !r.correct(); });

  // What readers marked, on synthetic and on real images.
  std::map<std::string, std::array<int64_t, 2>> reasons;
  for (const Row* r : standing) {
    for (const Json& mark : Json::parse(r->answer.marks))
      ++reasons[mark.at("reason").get<std::string>()][r->real ? 1 : 0];
  }
  json["marks"] = Json::array();
  for (const auto& [reason, count] : reasons) {
    json["marks"].push_back({{"reason", reason}, {"synthetic", count[0]}, {"real", count[1]}});
  }
  return json;
}

}  // namespace derm::study
