#include "derm/evaluation/fidelity.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include <torch/torch.h>

#include "derm/base/csv.h"
#include "derm/base/error.h"
#include "derm/base/log.h"
#include "derm/base/progress.h"
#include "derm/base/random.h"
#include "derm/base/system.h"
#include "derm/image/colour.h"
#include "derm/metrics/frechet.h"
#include "derm/metrics/histogram.h"
#include "derm/metrics/inception_score.h"
#include "derm/metrics/kid.h"
#include "derm/metrics/lpips.h"
#include "derm/metrics/ms_ssim.h"
#include "derm/metrics/prdc.h"
#include "derm/metrics/swd.h"
#include "derm/tensor/convert.h"

namespace derm::evaluation {
namespace {

constexpr size_t kManyRows = 300;  // from here on fewer draws: they cost more, and vary less
constexpr int kFewDraws = 20, kFewHalvings = 4;
constexpr size_t kMostForSwd = 256;  // images: their patches stay in memory
constexpr int kPixelDigits = 256;

std::vector<size_t> all_rows(size_t count) {
  std::vector<size_t> rows(count);
  std::iota(rows.begin(), rows.end(), size_t{0});
  return rows;
}

template <class T>
std::vector<T> chosen(const std::vector<T>& from, const std::vector<size_t>& rows) {
  std::vector<T> result;
  for (const size_t row : rows) result.push_back(from[row]);
  return result;
}

at::Tensor rows_of(const at::Tensor& values, const std::vector<size_t>& rows) {
  const std::vector<int64_t> index(rows.begin(), rows.end());
  return values.index_select(0, torch::tensor(index, at::kLong));
}

/// `count` of the rows at random, sorted.
std::vector<size_t> some(std::vector<size_t> rows, size_t count, uint64_t seed) {
  if (rows.size() <= count) return rows;
  Rng(seed).shuffle(rows);
  rows.resize(count);
  std::sort(rows.begin(), rows.end());
  return rows;
}

/// [N, 3, 256] float: each image's share of the values of each channel.
at::Tensor colour_shares(const ImageSet& set) {
  at::Tensor result = at::zeros({static_cast<int64_t>(set.size()), 3, kPixelDigits}, at::kFloat);
  float* out = result.data_ptr<float>();
  set.stream([&](size_t first, const std::vector<image::Image>& images) {
    for (size_t i = 0; i < images.size(); ++i) {
      float* row = out + (first + i) * 3 * kPixelDigits;
      const float one = 1.0F / static_cast<float>(images[i].width * images[i].height);
      const std::vector<uint8_t>& pixels = images[i].pixels;
      for (size_t p = 0; p < pixels.size(); ++p) row[p % 3 * kPixelDigits + pixels[p]] += one;
    }
  });
  return result;
}

/// What is kept of a set once its images were seen.
struct Kept {
  ImageSet set;
  std::vector<std::string> patients;
  std::vector<at::Tensor> spaces;  // [N, d] for each extractor, then the colours
};

Kept keep(const ImageSet& set, const FidelityOptions& options, const FeatureCache& cache, const std::string& what,
          ranks::Group* group = nullptr) {
  Kept kept{.set = set, .patients = set.patients(), .spaces = {}};
  for (const auto& extractor : options.extractors)
    kept.spaces.push_back(cache.features(set, *extractor, fmt::format("{}, {}", what, extractor->name()), group));
  if (!group || group->leads()) kept.spaces.push_back(colour_shares(set));  // the others stop here
  return kept;
}

/// Figures that every group gets: of the rows of two sets.
struct Space {
  std::string name;
  std::vector<std::string> metrics;
  std::vector<bool> better_low;
  std::function<std::vector<double>(const at::Tensor&, const at::Tensor&)> of;
  int64_t dimension = 0;  ///< of the Gaussians behind the figure `frechet`
  size_t frechet = 1;     ///< its place among the metrics
};

std::vector<Space> spaces_of(const FidelityOptions& options) {
  std::vector<Space> spaces;
  for (const auto& extractor : options.extractors) {
    Space space;
    space.name = extractor->name();
    space.metrics = {extractor->kernel_name(), extractor->frechet_name(), "precision", "recall", "density", "coverage"};
    space.better_low = {true, true, false, false, false, false};
    space.dimension = extractor->dimension();
    space.of = [](const at::Tensor& real, const at::Tensor& synthetic) {
      const metrics::Prdc among = metrics::precision_recall_density_coverage(real, synthetic);
      return std::vector<double>{metrics::polynomial_mmd2(real, synthetic),
                                 metrics::frechet_distance(real, synthetic),
                                 among.precision,
                                 among.recall,
                                 among.density,
                                 among.coverage};
    };
    spaces.push_back(std::move(space));
  }
  Space colours;
  colours.name = "colours";
  colours.metrics = {"colour histograms, JS divergence", "colour histograms, Wasserstein"};
  colours.better_low = {true, true};
  colours.of = [](const at::Tensor& real, const at::Tensor& synthetic) {
    const metrics::HistogramDistance d =
        metrics::distance_of_shares(real.to(at::kDouble).mean(0), synthetic.to(at::kDouble).mean(0));
    return std::vector<double>{d.jensen_shannon, d.wasserstein};
  };
  spaces.push_back(std::move(colours));
  return spaces;
}

/// Two sides of photographs of different patients, for the floor.
struct Halves {
  std::vector<size_t> reference, other;  ///< rows of the real set; `other` of the real set or of the others
};

/// One group: rows of each set.
struct Part {
  std::vector<size_t> real, synthetic;
};

/// Lends the photographs of other splits when a group is too small for halves, and reads them only then.
class Others {
 public:
  Others(const std::optional<ImageSet>& set, const FidelityOptions& options, const FeatureCache& cache)
      : set_(set), options_(options), cache_(cache) {}
  bool any() const { return set_.has_value(); }
  const ImageSet& set() const { return *set_; }
  const Kept& kept() {
    if (!kept_) kept_ = keep(*set_, options_, cache_, "photographs for the floor");
    return *kept_;
  }

 private:
  const std::optional<ImageSet>& set_;
  const FidelityOptions& options_;
  const FeatureCache& cache_;
  std::optional<Kept> kept_;
};

bool belongs(const Item& item, const FigureGroup& group) {
  return group.kind == "all" || (group.kind == "condition" ? item.condition : item.tone) == group.name;
}

std::vector<size_t> rows_in(const ImageSet& set, const FigureGroup& group) {
  std::vector<size_t> rows;
  for (size_t i = 0; i < set.size(); ++i) {
    if (belongs(set.items()[i], group)) rows.push_back(i);
  }
  return rows;
}

/// Mean of several figures over repeats.
struct Means {
  std::vector<double> sum;
  int count = 0;
  void add(const std::vector<double>& values) {
    sum.resize(values.size());
    for (size_t i = 0; i < values.size(); ++i) sum[i] += values[i];
    ++count;
  }
  double at(size_t i) const { return sum[i] / count; }
};

class Measurement {
 public:
  Measurement(Kept real, Kept synthetic, Others& others, const FidelityOptions& options)
      : real_(std::move(real)),
        synthetic_(std::move(synthetic)),
        others_(others),
        options_(options),
        spaces_(spaces_of(options)) {}

  FigureGroup group(const std::string& kind, const std::string& name) {
    FigureGroup group;
    group.kind = kind;
    group.name = name;
    const Part part{rows_in(real_.set, group), rows_in(synthetic_.set, group)};
    group.n_real = part.real.size();
    group.n_synthetic = part.synthetic.size();
    if (group.n_real < kFewestImages || group.n_synthetic < kFewestImages) {
      group.refused = fmt::format("{} photographs and {} synthetic images; {} of each are needed for a number",
                                  group.n_real, group.n_synthetic, kFewestImages);
      return group;
    }
    for (size_t s = 0; s < spaces_.size(); ++s) {
      throw_if_interrupted();
      add(group, part, s);
    }
    return group;
  }

  /// Precision and recall of all images for k = 1 ... 10.
  std::vector<NeighbourSweep> sweeps() const {
    std::vector<NeighbourSweep> result;
    for (size_t s = 0; s < options_.extractors.size(); ++s) {
      NeighbourSweep sweep{.space = spaces_[s].name, .k = {}, .precision = {}, .recall = {}};
      for (int k = 1; k <= 10; ++k) {
        const metrics::Prdc among =
            metrics::precision_recall_density_coverage(real_.spaces[s], synthetic_.spaces[s], k, k);
        sweep.k.push_back(k);
        sweep.precision.push_back(among.precision);
        sweep.recall.push_back(among.recall);
      }
      result.push_back(std::move(sweep));
    }
    return result;
  }

  const Kept& real() const { return real_; }
  const Kept& synthetic() const { return synthetic_; }

  /// Photographs of different patients for the group's floor: halves where they are large enough, else all of the
  /// group against the other splits'. Empty if neither gives 64 a side.
  struct Floor {
    std::string from;
    bool halves = false;
    std::vector<size_t> others;  // rows of the other splits
    bool any() const { return !from.empty(); }
  };
  Floor floor_of(const FigureGroup& group, const Part& part) {
    Floor floor;
    // A half may come out smaller by a patient; 64 must be left.
    const std::vector<size_t> try_half =
        draw_patients(chosen(real_.patients, part.real), part.real.size() / 2, options_.seed);
    if (std::min(try_half.size(), part.real.size() - try_half.size()) >= kFewestImages) {
      floor.halves = true;
      floor.from = "halves of the reference, split by patient";
    } else if (others_.any()) {
      floor.others = rows_in(others_.set(), group);
      if (floor.others.size() >= kFewestImages)
        floor.from = fmt::format("photographs of the split {}, other patients", others_.set().selection());
    }
    return floor;
  }

  /// Rows of reference and other side of the i-th repeat, and as many synthetic rows.
  struct Sides {
    std::vector<size_t> reference, other, synthetic;
  };
  Sides sides(const Floor& floor, const Part& part, int repeat) {
    const uint64_t seed = mix_seed(mix_seed(options_.seed, 77), static_cast<uint64_t>(repeat));
    Sides sides;
    if (floor.halves) {
      const std::vector<size_t> half =
          draw_patients(chosen(real_.patients, part.real), part.real.size() / 2, mix_seed(seed, 1));
      sides.reference = chosen(part.real, half);
      sides.other = chosen(part.real, complement(half, part.real.size()));
    } else {
      sides.reference = part.real;
      sides.other = floor.others;
    }
    const size_t n = std::min({sides.other.size(), part.synthetic.size(), sides.reference.size()});
    sides.other = some(sides.other, n, mix_seed(seed, 2));
    sides.synthetic = some(part.synthetic, n, mix_seed(seed, 3));
    return sides;
  }

 private:
  void add(FigureGroup& group, const Part& part, size_t s) {
    const Space& space = spaces_[s];
    const at::Tensor real = rows_of(real_.spaces[s], part.real),
                     synthetic = rows_of(synthetic_.spaces[s], part.synthetic);
    std::vector<double> values = space.of(real, synthetic);
    const bool many = std::max(part.real.size(), part.synthetic.size()) > kManyRows;
    HalfSampling plan;
    plan.real = chosen(real_.patients, part.real);
    plan.synthetic = chosen(synthetic_.patients, part.synthetic);
    plan.draws = many ? std::min(options_.draws, kFewDraws) : options_.draws;
    plan.seed = mix_seed(options_.seed, hash_text(group.kind + group.name));
    const std::vector<double> deviations = half_sample_deviations(plan, [&](const auto& a, const auto& b) {
      throw_if_interrupted();
      return space.of(rows_of(real, a), rows_of(synthetic, b));
    });

    const Floor floor = floor_of(group, part);
    group.floor_from = floor.any()
                           ? floor.from
                           : fmt::format("none: {} photographs make no halves of {}", group.n_real, kFewestImages);
    Means floors, beside;
    size_t n_floor = 0;
    for (int i = 0; floor.any() && i < (many ? std::min(options_.halvings, kFewHalvings) : options_.halvings); ++i) {
      throw_if_interrupted();
      const Sides rows = sides(floor, part, i);
      n_floor = rows.other.size();
      const at::Tensor reference = rows_of(real_.spaces[s], rows.reference);
      floors.add(space.of(reference, rows_of(floor.halves ? real_.spaces[s] : others_.kept().spaces[s], rows.other)));
      beside.add(space.of(reference, rows_of(synthetic_.spaces[s], rows.synthetic)));
    }
    for (size_t m = 0; m < space.metrics.size(); ++m) {
      Figure figure;
      figure.metric = space.metrics[m];
      figure.space = space.name;
      figure.better_low = space.better_low[m];
      figure.n_real = group.n_real;
      figure.n_synthetic = group.n_synthetic;
      figure.value = values[m];
      const bool extractor = space.dimension > 0;
      if (extractor && m == 0) {
        const metrics::Kid kid = metrics::kernel_distance(real, synthetic, 100, options_.seed);
        figure.value = kid.mean;
        figure.note =
            fmt::format("deviation {:.6f} over {} subsets of {}", kid.deviation, kid.subsets, kid.subset_size);
      }
      figure.low = figure.value - 1.96 * deviations[m];
      figure.high = figure.value + 1.96 * deviations[m];
      const bool share = extractor && m >= 2 && m != 4;
      if (share || !extractor || m == space.frechet || m == 4) figure.low = std::max(0.0, figure.low);
      if (share) figure.high = std::min(1.0, figure.high);
      if (extractor && m == space.frechet &&
          static_cast<int64_t>(std::min(group.n_real, group.n_synthetic)) <= space.dimension) {
        figure.note =
            fmt::format("biased: {} images for {} dimensions; compare with the floor alone, the kernel distance leads",
                        std::min(group.n_real, group.n_synthetic), space.dimension);
      }
      if (floor.any()) {
        figure.floor = floors.at(m);
        figure.beside = beside.at(m);
        figure.n_floor = n_floor;
      }
      group.figures.push_back(std::move(figure));
    }
  }

  Kept real_, synthetic_;
  Others& others_;
  const FidelityOptions& options_;
  std::vector<Space> spaces_;
};

at::Tensor picture(const ImageSet& set, size_t i) { return tensor::tensor_of(set.image(i)).unsqueeze(0); }

/// Mean over pairs of images (of one condition, or any), a few pairs in memory at a time.
metrics::PairDiversity diversity(
    const ImageSet& set, bool by_condition, int64_t count, uint64_t seed, const std::string& label,
    const std::function<metrics::PairDiversity(const at::Tensor&, const std::vector<std::pair<int64_t, int64_t>>&)>&
        of) {
  std::vector<std::string> classes;
  for (const Item& item : set.items()) classes.push_back(by_condition ? item.condition : std::string());
  const auto pairs = metrics::pairs_within_classes(classes, count, seed);
  constexpr size_t kTogether = 8;
  std::vector<double> values;
  metrics::PairDiversity result;
  Progress progress(label, static_cast<double>(pairs.size()), "pairs");
  for (size_t first = 0; first < pairs.size(); first += kTogether) {
    throw_if_interrupted();
    const size_t now = std::min(kTogether, pairs.size() - first);
    for (size_t i = 0; i < now; ++i) {
      const auto [a, b] = pairs[first + i];
      const metrics::PairDiversity one =
          of(at::cat({picture(set, static_cast<size_t>(a)), picture(set, static_cast<size_t>(b))}), {{0, 1}});
      values.push_back(one.mean);
      result.upsampled = one.upsampled;
    }
    progress.update(static_cast<double>(first + now));
  }
  progress.finish();
  result.mean = mean(values);
  result.deviation = deviation(values);
  result.pairs = static_cast<int64_t>(values.size());
  return result;
}

/// A mean of `count` values of this deviation, with the interval of the mean.
void set_mean(Figure& figure, double mean, double deviation, int64_t count) {
  const double half = 1.96 * deviation / std::sqrt(static_cast<double>(count));
  figure.value = figure.beside = mean;
  figure.low = mean - half;
  figure.high = mean + half;
}

void add_diversity(FigureGroup& group, const Measurement& m, const std::string& metric, bool better_low, int64_t pairs,
                   uint64_t seed,
                   const std::function<metrics::PairDiversity(const at::Tensor&,
                                                              const std::vector<std::pair<int64_t, int64_t>>&)>& of) {
  // Photographs are paired as the synthetic images can be: those from noise alone have no condition.
  const bool by_condition = m.synthetic().set.has_conditions();
  const metrics::PairDiversity made =
                                   diversity(m.synthetic().set, by_condition, pairs, seed, metric + ", synthetic", of),
                               real = diversity(m.real().set, by_condition, pairs, seed, metric + ", photographs", of);
  Figure figure;
  figure.metric = metric;
  figure.space = by_condition ? "pairs within a condition" : "pairs of any condition";
  figure.better_low = better_low;
  figure.n_real = group.n_real;
  figure.n_synthetic = group.n_synthetic;
  set_mean(figure, made.mean, made.deviation, made.pairs);
  figure.floor = real.mean;
  figure.note = fmt::format("{} pairs of synthetic images, {} of photographs (floor: the photographs' own){}",
                            made.pairs, real.pairs, made.upsampled ? "; made larger to 256 px first" : "");
  group.figures.push_back(std::move(figure));
}

metrics::PatchDescriptors patches_of(const ImageSet& set, const std::vector<size_t>& rows, uint64_t seed,
                                     uint64_t which) {
  metrics::SwdOptions options;
  options.seed = seed;
  metrics::PatchDescriptors patches(options, which);
  set.subset(rows).stream([&](size_t, const std::vector<image::Image>& images) {
    std::vector<at::Tensor> batch;
    for (const image::Image& image : images) batch.push_back(tensor::tensor_of(image));
    patches.add(at::stack(batch));
  });
  return patches;
}

void add_swd(FigureGroup& group, Measurement& m, const std::optional<ImageSet>& others,
             const FidelityOptions& options) {
  Figure figure;
  figure.metric = "SWD x1000";
  figure.space = "patches";
  figure.n_real = group.n_real;
  figure.n_synthetic = group.n_synthetic;
  const ImageSet &real = m.real().set, &synthetic = m.synthetic().set;
  const Part part{all_rows(real.size()), all_rows(synthetic.size())};
  try {
    const size_t n = std::min({real.size(), synthetic.size(), kMostForSwd});
    const std::vector<size_t> a = some(part.real, n, options.seed), b = some(part.synthetic, n, options.seed);
    const metrics::PatchDescriptors patches = patches_of(real, a, options.seed, 0),
                                    made = patches_of(synthetic, b, options.seed, 1);
    figure.value = metrics::sliced_wasserstein(patches, made).mean;
    figure.note = fmt::format("{} images on either side", n);
    HalfSampling plan;
    plan.real = chosen(m.real().patients, a);
    plan.synthetic = chosen(m.synthetic().patients, b);
    plan.draws = std::min(options.draws, kFewDraws);
    plan.seed = options.seed;
    Progress progress("interval of the SWD", plan.draws, "draws");
    double drawn = 0;
    const double half = 1.96 * half_sample_deviations(plan, [&](const auto& some_a, const auto& some_b) {
                                 throw_if_interrupted();
                                 const size_t least = std::min(some_a.size(), some_b.size());
                                 progress.update(++drawn);
                                 return std::vector<double>{
                                     metrics::sliced_wasserstein(patches.subset(some(some_a, least, options.seed)),
                                                                 made.subset(some(some_b, least, options.seed)),
                                                                 /*repeats=*/1)
                                         .mean};
                               }).front();
    progress.finish();
    figure.low = std::max(0.0, figure.value - half);
    figure.high = figure.value + half;
    const auto between = [&](const ImageSet& set, const std::vector<size_t>& rows, const ImageSet& other_set,
                             const std::vector<size_t>& other) {
      return metrics::sliced_wasserstein(patches_of(set, rows, options.seed, 0),
                                         patches_of(other_set, other, options.seed, 1))
          .mean;
    };
    const Measurement::Floor floor = m.floor_of(group, part);
    if (floor.any()) {
      Measurement::Sides rows = m.sides(floor, part, 0);
      const size_t least = std::min({rows.reference.size(), rows.other.size(), kMostForSwd});
      rows.reference = some(rows.reference, least, 1);
      figure.floor = between(real, rows.reference, floor.halves ? real : *others, some(rows.other, least, 2));
      figure.beside = between(real, rows.reference, synthetic, some(rows.synthetic, least, 2));
      figure.n_floor = least;
    }
  } catch (const UsageError& error) {  // a side that has no pyramid
    figure.value = figure.low = figure.high = figure.floor = figure.beside = Figure::kNone;
    figure.note = error.what();
  }
  group.figures.push_back(std::move(figure));
}

void add_inception_score(FigureGroup& group, const Measurement& m, const FidelityOptions& options) {
  for (size_t s = 0; s < options.extractors.size(); ++s) {
    const auto* inception = dynamic_cast<const metrics::Inception*>(options.extractors[s].get());
    if (inception == nullptr || inception->dimension() != 2048 || !inception->has_classifier()) continue;
    const auto score = [&](const at::Tensor& features) {
      return metrics::inception_score(inception->logits(features, /*bias=*/false));
    };
    const metrics::InceptionScore made = score(m.synthetic().spaces[s]), real = score(m.real().spaces[s]);
    Figure figure;
    figure.metric = "Inception Score";
    figure.space = inception->name();
    figure.better_low = false;
    figure.n_real = group.n_real;
    figure.n_synthetic = group.n_synthetic;
    set_mean(figure, made.mean, made.deviation, made.splits);
    figure.floor = real.mean;
    figure.note = fmt::format(
        "deviation {:.3f} over {} splits; says little of skin: its classes are ImageNet's (floor: the photographs' "
        "own)",
        made.deviation, made.splits);
    group.figures.push_back(std::move(figure));
  }
}

nlohmann::json number(double value) { return std::isfinite(value) ? nlohmann::json(value) : nlohmann::json(); }

}  // namespace

const Figure* FigureGroup::find(const std::string& metric, const std::string& space) const {
  for (const Figure& figure : figures) {
    if (figure.metric == metric && (space.empty() || figure.space == space)) return &figure;
  }
  return nullptr;
}

FidelityResult measure_fidelity(ImageSet real, const std::optional<ImageSet>& other_splits, const ImageSet& synthetic,
                                const FidelityOptions& options, const FeatureCache& cache) {
  if (options.extractors.empty()) throw UsageError("fidelity: no extractor was given; at least one is needed");
  std::optional<ImageSet> others = other_splits;
  const int stored_px = real.size_px();
  real.reduce_to(synthetic.size_px());
  if (others) others->reduce_to(synthetic.size_px());
  const std::vector<std::pair<const ImageSet*, const char*>> both_sets = {{&real, "photographs"},
                                                                          {&synthetic, "synthetic images"}};
  for (const auto& [set, what] : both_sets) {
    if (set->size() >= kFewestImages) continue;
    throw DataError("{}: {} {} give no number, at least {} are needed; take a larger set or another split", set->name(),
                    set->size(), what, kFewestImages);
  }
  if (others) {
    // Whoever stands on both sides would make the floor too good.
    const std::vector<std::string> both = shared_patients(real, *others);
    const std::set<std::string> names(both.begin(), both.end());
    std::vector<size_t> rows;
    for (size_t i = 0; i < others->size(); ++i) {
      if (!names.contains(others->items()[i].patient)) rows.push_back(i);
    }
    others = rows.empty() ? std::optional<ImageSet>() : others->subset(rows);
  }
  Others lender(others, options, cache);
  Kept kept_real = keep(real, options, cache, "photographs", options.group);
  Kept kept_synthetic = keep(synthetic, options, FeatureCache({}), "synthetic", options.group);
  if (options.group && !options.group->leads()) return {};
  Measurement m(std::move(kept_real), std::move(kept_synthetic), lender, options);

  FidelityResult result;
  // What the generator did not heed makes no groups.
  std::set<std::string> conditions;
  if (synthetic.has_conditions()) {
    for (const auto& [set, what] : both_sets) {
      for (const Item& item : set->items()) conditions.insert(item.condition);
    }
  }
  std::vector<std::string> tones;
  const auto has_tone = [](const Item& item) { return !item.tone.empty(); };
  if (std::any_of(synthetic.items().begin(), synthetic.items().end(), has_tone))
    tones.assign(image::tone_names().begin(), image::tone_names().end());
  Progress progress("figures", static_cast<double>(1 + conditions.size() + tones.size()), "groups");
  const auto add = [&](const std::string& kind, const std::string& name) {
    result.groups.push_back(m.group(kind, name));
    progress.update(static_cast<double>(result.groups.size()), name);
  };
  add("all", "");
  for (const std::string& condition : conditions) add("condition", condition);
  for (const std::string& tone : tones) add("tone", tone);
  progress.finish();

  FigureGroup& all = result.groups.front();
  add_inception_score(all, m, options);
  if (options.swd) add_swd(all, m, others, options);
  add_diversity(all, m, "MS-SSIM", true, options.pairs, options.seed,
                [](const at::Tensor& images, const auto& pairs) { return metrics::ms_ssim_diversity(images, pairs); });
  std::string lpips_sha256;
  if (!options.lpips.empty()) {
    const metrics::Lpips lpips(options.lpips);
    lpips_sha256 = lpips.sha256();
    add_diversity(all, m, "LPIPS", false, options.pairs, options.seed,
                  [&](const at::Tensor& images, const auto& pairs) { return lpips.diversity(images, pairs); });
  }
  result.sweeps = m.sweeps();

  nlohmann::json extractors = nlohmann::json::array();
  for (const auto& e : options.extractors) {
    extractors.push_back({{"name", e->name()},
                          {"sha256", e->sha256().empty() ? nlohmann::json() : nlohmann::json(e->sha256())},
                          {"dimension", e->dimension()},
                          {"resize_kernel", e->resize_kernel()}});
  }
  result.protocol = {
      {"reference", real.name()},
      {"reference_split", real.selection()},
      {"reference_fingerprint", real.data().fingerprint()},
      {"n_real", real.size()},
      {"n_synthetic", synthetic.size()},
      {"size_px", synthetic.size_px()},
      {"photographs_resized", stored_px == synthetic.size_px()
                                  ? std::string("no")
                                  : fmt::format("from {} px, Lanczos as PIL, as in training", stored_px)},
      {"extractors", extractors},
      {"kid", "unbiased, k = (x.y / d + 1)^3, mean over 100 subsets of min(1000, N / 2)"},
      {"precision_recall_k", 3},
      {"density_coverage_k", 5},
      {"lpips_sha256", lpips_sha256.empty() ? nlohmann::json() : nlohmann::json(lpips_sha256)},
      {"seed", options.seed},
      {"interval",
       "95 %: value +- 1.96 deviations of half-samples by patient, drawn without replacement (SWD: none; pairs and "
       "splits: of their mean)"},
      {"draws", options.draws},
      {"floor",
       "photographs of other patients against the reference, and as many synthetic images against the same; "
       "means over repeats"},
      {"halvings", options.halvings},
      {"fewest_images", kFewestImages},
      {"software", "dermgan " + version()},
  };
  return result;
}

nlohmann::json FidelityResult::to_json() const {
  nlohmann::json json = {{"protocol", protocol}, {"groups", nlohmann::json::array()}};
  for (const FigureGroup& g : groups) {
    nlohmann::json group = {{"kind", g.kind}, {"name", g.name}, {"n_real", g.n_real}, {"n_synthetic", g.n_synthetic}};
    if (!g.refused.empty()) group["refused"] = g.refused;
    if (!g.floor_from.empty()) group["floor_from"] = g.floor_from;
    group["figures"] = nlohmann::json::array();
    for (const Figure& f : g.figures) {
      group["figures"].push_back({{"metric", f.metric},
                                  {"space", f.space},
                                  {"value", number(f.value)},
                                  {"interval", {number(f.low), number(f.high)}},
                                  {"floor", number(f.floor)},
                                  {"synthetic_at_equal_n", number(f.beside)},
                                  {"n_floor", f.n_floor},
                                  {"better", f.better_low ? "lower" : "higher"},
                                  {"note", f.note}});
    }
    json["groups"].push_back(std::move(group));
  }
  for (const NeighbourSweep& s : sweeps)
    json["precision_recall_over_k"].push_back(
        {{"space", s.space}, {"k", s.k}, {"precision", s.precision}, {"recall", s.recall}});
  return json;
}

std::string FidelityResult::to_csv() const {
  CsvTable table({"kind", "group", "metric", "space", "value", "low", "high", "floor", "synthetic_at_equal_n", "n_real",
                  "n_synthetic", "n_floor", "note"});
  const auto text = [](double v) { return std::isfinite(v) ? number_text(v) : std::string(); };
  for (const FigureGroup& g : groups) {
    if (!g.refused.empty()) {
      table.add_row({g.kind, g.name, "", "", "", "", "", "", "", std::to_string(g.n_real),
                     std::to_string(g.n_synthetic), "", g.refused});
    }
    for (const Figure& f : g.figures) {
      table.add_row({g.kind, g.name, f.metric, f.space, text(f.value), text(f.low), text(f.high), text(f.floor),
                     text(f.beside), std::to_string(f.n_real), std::to_string(f.n_synthetic), std::to_string(f.n_floor),
                     f.note});
    }
  }
  return table.to_string();
}

}  // namespace derm::evaluation
