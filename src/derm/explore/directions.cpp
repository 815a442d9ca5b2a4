#include "derm/explore/directions.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include <torch/torch.h>

#include "derm/base/csv.h"
#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/base/log.h"
#include "derm/base/progress.h"
#include "derm/base/random.h"
#include "derm/base/system.h"
#include "derm/evaluation/statistics.h"
#include "derm/explore/interpolate.h"
#include "derm/image/codec.h"
#include "derm/image/draw.h"
#include "derm/image/resize.h"
#include "derm/recipe/directions.h"
#include "derm/report/report.h"
#include "derm/tensor/safetensors.h"

namespace derm::explore {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
constexpr uint64_t kSpreadSeeds = 512;    // behind the space's deviation along a direction
constexpr int64_t kFewestForSpread = 48;  // images behind a quantity's natural spread
constexpr int kLargestSheet = 4096;       // px
constexpr double kProof = 1e-3;           // relative error of the gradients that prove the first layer

nlohmann::json number_or_null(double value) { return std::isfinite(value) ? nlohmann::json(value) : nlohmann::json(); }
double number_of(const nlohmann::json& v) { return v.is_number() ? v.get<double>() : kNone; }

/// The gradient or the weights of a parameter as [outputs, Z], z's dimension last.
at::Tensor as_matrix(const at::Tensor& t, int64_t dimension, int64_t length) {
  return t.movedim(dimension, t.dim() - 1).reshape({-1, length});
}

double relative(const at::Tensor& difference, const at::Tensor& of) {
  const double size = of.norm().item<double>();
  return size > 0 ? difference.norm().item<double>() / size : std::numeric_limits<double>::infinity();
}

/// Exact: of n fair coins, that as few or fewer than min(above, below) or as many fall on one side.
double sign_test(size_t above, size_t below) {
  const size_t n = above + below, least = std::min(above, below);
  if (n == 0) return 1;
  double sum = 0;
  for (size_t k = 0; k <= least; ++k)
    sum += std::exp(std::lgamma(n + 1.0) - std::lgamma(k + 1.0) - std::lgamma(n - k + 1.0) -
                    static_cast<double>(n) * std::log(2.0));
  return std::min(1.0, 2 * sum);
}

/// Least squares over the values that are there; NaN for fewer than two of them.
double slope_of(const std::vector<double>& x, const std::vector<double>& y) {
  double n = 0, mx = 0, my = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    if (!std::isfinite(y[i])) continue;
    n += 1;
    mx += x[i];
    my += y[i];
  }
  if (n < 2) return kNone;
  mx /= n;
  my /= n;
  double xy = 0, xx = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    if (!std::isfinite(y[i])) continue;
    xy += (x[i] - mx) * (y[i] - my);
    xx += (x[i] - mx) * (x[i] - mx);
  }
  return xx > 0 ? xy / xx : kNone;
}

std::vector<double> strengths_of(const DirectionsOptions& o) {
  std::vector<double> result;
  for (int64_t i = 0; i < o.strengths; ++i)
    result.push_back(o.range * (2.0 * static_cast<double>(i) / static_cast<double>(o.strengths - 1) - 1));
  result[static_cast<size_t>(o.strengths / 2)] = 0;
  return result;
}

void check(const DirectionsOptions& o) {
  if (o.seeds < 3) throw UsageError("directions: {} seeds; at least 3 are needed for an interval", o.seeds);
  if (o.strengths < 3 || o.strengths % 2 == 0)
    throw UsageError("directions: {} strengths; an odd number from 3 on is needed, its middle is the image as it is",
                     o.strengths);
  if (!(o.range > 0) || !std::isfinite(o.range))
    throw UsageError("directions: a range of {} deviations; it must be above 0", o.range);
  if (o.count < 1) throw UsageError("directions: {} were asked for; at least 1 is needed", o.count);
}

std::vector<uint64_t> seeds_from(uint64_t first, int64_t count) {
  std::vector<uint64_t> seeds(static_cast<size_t>(count));
  std::iota(seeds.begin(), seeds.end(), first);
  return seeds;
}

/// Seeds' points as the options want them: truncated, where they are styles.
at::Tensor start_points(const Model& model, const std::vector<uint64_t>& seeds, const std::string& condition,
                        double psi) {
  const at::Tensor points = model.points(seeds, condition);
  if (psi == 1) return points;
  const at::Tensor middle = model.middle(condition);
  return middle + psi * (points - middle);
}

Response response_of(const std::vector<double>& slopes, double range, double spread, uint64_t seed,
                     const std::string& what) {
  Response r;
  std::vector<double> there;
  size_t above = 0, below = 0;
  for (const double s : slopes) {
    if (!std::isfinite(s)) continue;
    there.push_back(s);
    above += s > 0;
    below += s < 0;
  }
  r.seeds = there.size();
  r.slope = evaluation::mean(there);
  r.interval = evaluation::bootstrap(there.size(), seed, what.c_str(), [&](const std::vector<size_t>& rows) {
    double sum = 0;
    for (const size_t row : rows) sum += there[row];
    return sum / static_cast<double>(rows.size());
  });
  r.sign_p = sign_test(above, below);
  r.effect = spread > 0 ? 2 * range * r.slope / spread : r.slope == 0 ? 0 : kNone;
  return r;
}

std::string name_of(const Direction& direction, const std::vector<Quantity>& quantities, size_t tests) {
  std::vector<size_t> named;
  for (size_t q = 0; q < quantities.size(); ++q) {
    const Response& r = direction.responses[q];
    if (std::abs(r.effect) >= kLeastEffect && r.sign_p * static_cast<double>(tests) < kNameAlpha) named.push_back(q);
  }
  if (named.empty()) return "no measured effect";
  std::sort(named.begin(), named.end(), [&](size_t a, size_t b) {
    return std::abs(direction.responses[a].effect) > std::abs(direction.responses[b].effect);
  });
  std::string name;
  for (size_t i = 0; i < std::min<size_t>(2, named.size()); ++i) {
    const Quantity& q = quantities[named[i]];
    name += (name.empty() ? "" : ", ") + (direction.responses[named[i]].slope > 0 ? q.more : q.less);
  }
  return name;
}

std::string short_number(double v) {
  if (!std::isfinite(v)) return "-";
  return std::abs(v) >= 10    ? fmt::format("{:.1f}", v)
         : std::abs(v) >= 0.1 ? fmt::format("{:.2f}", v)
                              : fmt::format("{:.4f}", v);
}

}  // namespace

Factors factorise(const std::vector<at::Tensor>& weights, int64_t count) {
  if (weights.empty()) throw UsageError("factorisation: there are no matrices; at least one is needed");
  const int64_t width = weights.front().size(1);
  std::vector<at::Tensor> stacked;
  for (const at::Tensor& w : weights) {
    if (w.dim() != 2 || w.size(1) != width)
      throw UsageError("factorisation: a matrix is [{}], the first takes vectors of {}; they must take the same",
                       fmt::join(w.sizes(), ", "), width);
    stacked.push_back(w.detach().to(at::kCPU, at::kDouble));
  }
  if (count < 1 || count > width)
    throw UsageError("factorisation: {} directions were asked for; a space of {} has 1 to {}", count, width, width);
  const at::Tensor a = at::cat(stacked);
  const auto [values, vectors] = at::linalg_eigh(a.t().matmul(a));  // rising
  Factors factors;
  factors.vectors = vectors.t().flip({0}).narrow(0, 0, count).contiguous();
  for (int64_t i = 0; i < count; ++i) {
    at::Tensor v = factors.vectors[i];
    if (v[v.abs().argmax()].item<double>() < 0) v.neg_();
    factors.eigenvalues.push_back(std::max(0.0, values[width - 1 - i].item<double>()));
  }
  return factors;
}

std::optional<at::Tensor> first_layer(const Model& model, const std::string& condition) {
  if (model.space() != Space::latent) return std::nullopt;
  const int64_t length = model.needs().latent;
  const at::Tensor z = model.points({1}, condition).detach().set_requires_grad(true);
  std::vector<std::pair<std::string, at::Tensor>> candidates;
  for (const auto& item : model.generator().named_parameters()) {
    const at::Tensor& p = item.value();
    if (p.dim() >= 2 && (p.size(0) == length || p.size(1) == length)) candidates.emplace_back(item.key(), p);
  }
  std::vector<at::Tensor> wanted = {z};
  for (auto& [name, p] : candidates) wanted.push_back(p.set_requires_grad(true));
  std::vector<at::Tensor> gradients;
  {
    const torch::AutoGradMode on(true);
    const at::Tensor image = model.render(z, condition);
    at::Tensor weight = at::empty(image.sizes(), at::kFloat);
    Rng random(2);
    for (int64_t i = 0; i < weight.numel(); ++i) weight.data_ptr<float>()[i] = static_cast<float>(random.normal());
    gradients = torch::autograd::grad({(image * weight.to(image.device())).sum()}, wanted, {}, {}, false,
                                      /*allow_unused=*/true);
  }
  for (auto& [name, p] : candidates) p.set_requires_grad(false);
  if (!gradients[0].defined()) return std::nullopt;
  const at::Tensor x = z.detach().to(at::kCPU, at::kDouble).flatten(), xx = x / x.square().sum();
  const auto across = [&](const at::Tensor& v) { return v - xx * (x * v).sum(); };
  const at::Tensor dz = across(gradients[0].to(at::kCPU, at::kDouble).flatten());
  for (size_t i = 0; i < candidates.size(); ++i) {
    if (!gradients[i + 1].defined()) continue;
    for (const int64_t dimension : {1, 0}) {
      const at::Tensor& p = candidates[i].second;
      if (p.size(dimension) != length) continue;
      const at::Tensor gradient = as_matrix(gradients[i + 1].to(at::kCPU, at::kDouble), dimension, length);
      const at::Tensor weights = as_matrix(p.detach().to(at::kCPU, at::kDouble), dimension, length);
      const at::Tensor g = gradient.matmul(xx);
      if (relative(gradient - g.unsqueeze(1) * x.unsqueeze(0), gradient) > kProof) continue;
      if (relative(across(weights.t().matmul(g)) - dz, dz) > kProof) continue;
      return weights.to(at::kFloat);
    }
  }
  return std::nullopt;
}

at::Tensor moved(const at::Tensor& points, const Direction& direction, const std::pair<int64_t, int64_t>& layers,
                 double strength) {
  const at::Tensor step = (direction.vector * (strength * direction.deviation)).to(points.device(), at::kFloat);
  return recipe::moved(points, step.unsqueeze(0), layers);
}

Directions find_directions(const Model& model, const Gauge& gauge, const DirectionsOptions& options) {
  check(options);
  const std::string condition = model.condition(options.condition);
  Directions found;
  found.options = options;
  found.quantities = gauge.quantities;
  found.space = model.space_name();
  found.condition = condition;
  found.measured_by = gauge.by;
  found.bundle_sha256 = model.sha256();
  found.recipe = model.recipe_name();
  const std::vector<at::Tensor> start = {model.points({options.seed}, condition)};  // refuses a model without a space

  std::vector<at::Tensor> weights;
  if (model.space() == Space::style) {
    const int64_t layers = model.styles().style_layers();
    auto [first, last] = options.layers;
    if (last < 0) last = layers - 1;
    if (first < 0 || first > last || last >= layers)
      throw UsageError("directions: the layers {} to {} were asked for; the model has 0 to {}", first, last,
                       layers - 1);
    found.layers = {first, last};
    const std::vector<at::Tensor> all = model.styles().style_weights();
    weights.assign(all.begin() + first, all.begin() + last + 1);
    found.from = fmt::format("the style weights of the layers {} to {}", first, last);
  } else {
    if (options.layers != std::pair<int64_t, int64_t>{0, -1} || options.psi != 1)
      throw UsageError("directions: {} has no styles, so there are no layers to choose and nothing to truncate",
                       model.recipe_name());
    const std::optional<at::Tensor> matrix = first_layer(model, condition);
    if (!matrix) {
      throw UsageError(
          "directions: {} has none in closed form: its latent goes into no single linear layer whose matrix could be "
          "factorised",
          model.recipe_name());
    }
    weights = {*matrix};
    found.from = "the weights of the layer that takes the latent";
  }
  const Factors factors = factorise(weights, options.count);
  // Were all seeds of one sign, the exact test would give 2^(1 - seeds).
  const double tests = static_cast<double>(options.count) * static_cast<double>(gauge.quantities.size());
  if (std::exp2(1 - static_cast<double>(options.seeds)) * tests >= kNameAlpha)
    log_warning("directions: with {} seeds and {} tests none can be sure enough for a name; from {} seeds on it can",
                options.seeds, tests, std::floor(1 + std::log2(tests / kNameAlpha)) + 1);

  // How far the space reaches along each: 1 in z.
  const at::Tensor spread_points =
      start_points(model, seeds_from(options.seed + 1'000'000, kSpreadSeeds), condition, options.psi);
  const at::Tensor spread = (spread_points.dim() == 3 ? spread_points.select(1, found.layers.first) : spread_points)
                                .to(at::kCPU, at::kDouble);
  for (int64_t i = 0; i < options.count; ++i) {
    Direction d;
    d.vector = factors.vectors[i].to(at::kFloat);
    d.eigenvalue = factors.eigenvalues[static_cast<size_t>(i)];
    d.deviation = model.space() == Space::latent ? 1 : spread.matmul(factors.vectors[i]).std().item<double>();
    found.directions.push_back(std::move(d));
  }

  // What a quantity varies by where nothing is moved.
  const int64_t plain = std::max(options.seeds, kFewestForSpread);
  const at::Tensor points = start_points(model, seeds_from(options.seed, plain), condition, options.psi);
  const std::vector<double> strengths = strengths_of(options);
  const int64_t tried = options.seeds * (options.strengths - 1);
  Progress progress("directions", static_cast<double>(plain + options.count * tried), "images");
  double done = 0;
  const auto measured = [&](const at::Tensor& at_points) {
    std::vector<std::vector<double>> values;
    for (int64_t i = 0; i < at_points.size(0); i += 16) {
      throw_if_interrupted();
      const at::Tensor some = at_points.narrow(0, i, std::min<int64_t>(16, at_points.size(0) - i));
      for (std::vector<double>& row : gauge.measure(model.images(some, condition))) values.push_back(std::move(row));
      progress.update(done += static_cast<double>(some.size(0)));
    }
    return values;
  };
  const std::vector<std::vector<double>> as_they_are = measured(points);
  const size_t quantities = found.quantities.size(), seeds = static_cast<size_t>(options.seeds);
  std::vector<double> spreads;
  for (size_t q = 0; q < quantities; ++q) {
    std::vector<double> values;
    for (const auto& row : as_they_are)
      if (std::isfinite(row[q])) values.push_back(row[q]);
    spreads.push_back(evaluation::deviation(values));
  }
  const at::Tensor base = points.narrow(0, 0, options.seeds);
  for (Direction& d : found.directions) {
    std::vector<std::vector<std::vector<double>>> values;  // [strengths][seeds][quantities]
    for (const double strength : strengths)
      values.push_back(strength == 0 ? as_they_are : measured(moved(base, d, found.layers, strength)));
    for (size_t q = 0; q < quantities; ++q) {
      std::vector<double> slopes;
      for (size_t s = 0; s < seeds; ++s) {
        std::vector<double> y;
        for (size_t k = 0; k < strengths.size(); ++k) y.push_back(values[k][s][q]);
        slopes.push_back(slope_of(strengths, y));
      }
      d.responses.push_back(response_of(slopes, options.range, spreads[q], options.seed, found.quantities[q].name));
    }
    d.name = name_of(d, found.quantities, quantities * found.directions.size());
  }
  progress.finish();
  return found;
}

nlohmann::json Directions::to_json() const {
  nlohmann::json list = nlohmann::json::array();
  for (const Direction& d : directions) {
    nlohmann::json responses = nlohmann::json::array();
    for (size_t q = 0; q < d.responses.size(); ++q) {
      const Response& r = d.responses[q];
      responses.push_back({{"quantity", quantities[q].name},
                           {"slope", number_or_null(r.slope)},
                           {"interval", {number_or_null(r.interval.low), number_or_null(r.interval.high)}},
                           {"effect", number_or_null(r.effect)},
                           {"sign_p", r.sign_p},
                           {"seeds", r.seeds}});
    }
    list.push_back({{"name", d.name},
                    {"eigenvalue", number_or_null(d.eigenvalue)},
                    {"deviation", d.deviation},
                    {"responses", responses}});
  }
  nlohmann::json measured = nlohmann::json::array();
  for (const Quantity& q : quantities)
    measured.push_back({{"name", q.name}, {"unit", q.unit}, {"more", q.more}, {"less", q.less}});
  return {{"format", 1},
          {"bundle_sha256", bundle_sha256},
          {"recipe", recipe},
          {"space", space},
          {"condition", condition},
          {"layers", {layers.first, layers.second}},
          {"from", from},
          {"measured_by", measured_by},
          {"quantities", measured},
          {"seeds", options.seeds},
          {"first_seed", options.seed},
          {"strengths", options.strengths},
          {"range", options.range},
          {"psi", options.psi},
          {"slope", "mean over the seeds of each seed's least-squares slope, per deviation of the space"},
          {"interval", "95 %, percentile bootstrap over the seeds"},
          {"effect", "change over the whole range, in deviations of the quantity between images"},
          {"name_rule", fmt::format("effect of {} or more, and an exact sign test, times the number of tests, below {}",
                                    kLeastEffect, kNameAlpha)},
          {"software", "dermgan " + version()},
          {"directions", list}};
}

std::string Directions::to_csv() const {
  CsvTable table(
      {"direction", "name", "eigenvalue", "quantity", "unit", "slope", "low", "high", "effect", "sign_p", "seeds"});
  const auto text = [](double v) { return std::isfinite(v) ? number_text(v) : std::string(); };
  for (size_t i = 0; i < directions.size(); ++i) {
    for (size_t q = 0; q < quantities.size(); ++q) {
      const Response& r = directions[i].responses[q];
      table.add_row({std::to_string(i + 1), directions[i].name, text(directions[i].eigenvalue), quantities[q].name,
                     quantities[q].unit, text(r.slope), text(r.interval.low), text(r.interval.high), text(r.effect),
                     text(r.sign_p), std::to_string(r.seeds)});
    }
  }
  return table.to_string();
}

void write_directions(const std::filesystem::path& file, const Directions& directions) {
  std::vector<at::Tensor> vectors;
  for (const Direction& d : directions.directions) vectors.push_back(d.vector);
  tensor::write_safetensors(file, {{"directions", at::stack(vectors)}},
                            {{"format", "pt"}, {"directions", directions.to_json().dump()}});
}

Directions read_directions(const std::filesystem::path& file, const std::string& bundle_sha256) {
  const recipe::Directions kept = recipe::read_directions(file, bundle_sha256);
  Directions result;
  try {
    const nlohmann::json& json = kept.facts;
    result.bundle_sha256 = kept.bundle_sha256;
    result.layers = kept.layers;
    result.recipe = json.at("recipe").get<std::string>();
    result.space = json.at("space").get<std::string>();
    result.condition = json.at("condition").get<std::string>();
    result.from = json.at("from").get<std::string>();
    result.measured_by = json.at("measured_by").get<std::string>();
    result.options.seeds = json.at("seeds").get<int64_t>();
    result.options.seed = json.at("first_seed").get<uint64_t>();
    result.options.strengths = json.at("strengths").get<int64_t>();
    result.options.range = json.at("range").get<double>();
    result.options.psi = json.at("psi").get<double>();
    result.options.condition = result.condition;
    for (const nlohmann::json& q : json.at("quantities"))
      result.quantities.push_back({q.at("name").get<std::string>(), q.at("unit").get<std::string>(),
                                   q.at("more").get<std::string>(), q.at("less").get<std::string>()});
    const nlohmann::json& list = json.at("directions");
    for (size_t i = 0; i < list.size(); ++i) {
      Direction d;
      d.vector = kept.vectors[static_cast<int64_t>(i)].clone();
      d.name = kept.named[i].name;
      d.eigenvalue = number_of(list[i].at("eigenvalue"));
      d.deviation = kept.deviations[i];
      for (const nlohmann::json& r : list[i].at("responses")) {
        d.responses.push_back({.slope = number_of(r.at("slope")),
                               .interval = {number_of(r.at("interval").at(0)), number_of(r.at("interval").at(1))},
                               .effect = number_of(r.at("effect")),
                               .sign_p = r.at("sign_p").get<double>(),
                               .seeds = r.at("seeds").get<size_t>()});
      }
      if (d.responses.size() != result.quantities.size())
        throw DataError("{}: direction {} has {} responses to {} quantities; find them anew (`explore directions`)",
                        file.string(), i + 1, d.responses.size(), result.quantities.size());
      result.directions.push_back(std::move(d));
    }
    result.options.count = static_cast<int64_t>(list.size());
  } catch (const nlohmann::json::exception& error) {
    throw DataError("{}: it is no file of directions ({}); `dermgan explore directions` writes them", file.string(),
                    error.what());
  }
  return result;
}

image::Image strip(const Model& model, const Directions& directions, size_t which, int64_t rows) {
  const Direction& d = directions.directions.at(which);
  const DirectionsOptions& o = directions.options;
  const std::vector<double> strengths = strengths_of(o);
  const at::Tensor base = start_points(model, seeds_from(o.seed, rows), directions.condition, o.psi);
  image::Grid grid;
  grid.title = fmt::format("{}: {}", which + 1, d.name);
  const int cell = std::min(model.size_px(), kLargestSheet / static_cast<int>(strengths.size()));
  std::vector<std::vector<image::Image>> columns;
  for (const double strength : strengths) {
    grid.column_labels.push_back(strength == 0 ? "0" : fmt::format("{:+.1f}", strength));
    columns.push_back(model.images(moved(base, d, directions.layers, strength), directions.condition));
  }
  for (int64_t row = 0; row < rows; ++row) {
    grid.row_labels.push_back(fmt::format("seed {}", o.seed + static_cast<uint64_t>(row)));
    grid.rows.emplace_back();
    for (const auto& column : columns) {
      const image::Image& picture = column[static_cast<size_t>(row)];
      grid.rows.back().push_back(picture.width > cell ? image::resize(picture, cell, cell) : picture);
    }
  }
  return image::draw_grid(grid);
}

Directions write_directions_report(const Model& model, const Gauge& gauge, const DirectionsOptions& options,
                                   const std::string& command, const std::filesystem::path& out) {
  NewDirectory directory(out);
  const std::filesystem::path& root = directory.path();
  const Directions found = find_directions(model, gauge, options);
  report::Page page("What the model varies along", fmt::format("{}, {} px, weights {}", found.recipe, model.size_px(),
                                                               found.bundle_sha256.substr(0, 12)));
  page.paragraph(fmt::format(
      "{} directions of {} by closed-form factorisation of {}, the strongest first. Each was tried on {} images "
      "at {} strengths from -{} to {} deviations of the space; what changed was measured ({}).",
      found.directions.size(), found.space, found.from, options.seeds, options.strengths, options.range, options.range,
      found.measured_by));
  page.paragraph(
      fmt::format("A direction has its name from what was measured: an effect of at least {} deviations over the "
                  "range, in nearly all "
                  "images in the same sense (exact sign test times the number of tests below {}). The sign of a "
                  "direction is arbitrary.",
                  kLeastEffect, kNameAlpha));
  page.heading("Effects");
  std::vector<std::string> header = {"direction", "eigenvalue"};
  for (const Quantity& q : found.quantities) header.push_back(q.name);
  std::vector<std::vector<std::string>> rows;
  for (size_t i = 0; i < found.directions.size(); ++i) {
    const Direction& d = found.directions[i];
    rows.push_back({fmt::format("{}: {}", i + 1, d.name), short_number(d.eigenvalue)});
    for (const Response& r : d.responses) rows.back().push_back(short_number(r.effect));
  }
  page.table(header, rows, "The change over the whole range, in deviations of the quantity between images");
  for (size_t i = 0; i < found.directions.size(); ++i) {
    const Direction& d = found.directions[i];
    page.heading(fmt::format("{}: {}", i + 1, d.name));
    const image::Image sheet = strip(model, found, i, std::min<int64_t>(4, options.seeds));
    image::write_png(root / fmt::format("direction-{:02d}.png", i + 1), sheet, marks_of(model));
    page.figure(sheet, "A row an image, a column a strength in deviations. All are synthetic.",
                fmt::format("Synthetic images moved along direction {}", i + 1));
    std::vector<std::vector<std::string>> responses;
    for (size_t q = 0; q < found.quantities.size(); ++q) {
      const Response& r = d.responses[q];
      responses.push_back({found.quantities[q].name, found.quantities[q].unit,
                           fmt::format("{} [{}, {}]", short_number(r.slope), short_number(r.interval.low),
                                       short_number(r.interval.high)),
                           short_number(r.effect), fmt::format("{:.2g}", r.sign_p), std::to_string(r.seeds)});
    }
    page.table({"quantity", "unit", "slope per deviation [95 %]", "effect over the range", "p, sign test", "seeds"},
               responses);
  }
  page.heading("Provenance");
  std::vector<std::vector<std::string>> facts = {
      {"bundle", model.bundle().string()},
      {"weights, SHA-256", model.sha256()},
      {"condition", found.condition.empty() ? "none" : found.condition},
      {"seeds", fmt::format("{} to {}", options.seed, options.seed + static_cast<uint64_t>(options.seeds) - 1)},
      {"truncation", fmt::format("{}", options.psi)},
      {"measured by", found.measured_by},
      {"software", "dermgan " + version()}};
  if (!command.empty()) facts.push_back({"command", command});
  page.table({"what", "value"}, facts);
  page.heading("Limits");
  page.list({"A direction is named by what the project's own means measure; what else it changes has to be looked at.",
             "The classifier's probability is a judge's opinion of an image, no diagnosis.",
             "Research software; not a medical device. All images are synthetic."});
  write_directions(root / recipe::kDirectionsFile, found);
  nlohmann::json json = found.to_json();
  if (!command.empty()) json["command"] = command;
  write_file(root / "directions.json", json.dump(2) + "\n");
  write_file(root / "directions.csv", found.to_csv());
  page.write(root / "report.html");
  directory.commit();
  return found;
}

}  // namespace derm::explore
