#include "derm/evaluation/audit.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <set>

#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/base/progress.h"
#include "derm/base/random.h"
#include "derm/base/system.h"
#include "derm/image/colour.h"
#include "derm/tensor/convert.h"

namespace derm::evaluation {
namespace {

constexpr int kTurns = 8;
constexpr int kSmall = 32;      // px of the small pictures
constexpr size_t kFewest = 64;  // images
constexpr size_t kFewestPatients = 16;
constexpr size_t kChunk = 16;  // images, eight copies of each

/// [kTurns N, 3, H, W]: all copies of the first image, then of the second, ...
at::Tensor all_turns(const at::Tensor& batch) {
  std::vector<at::Tensor> copies;
  for (int turn = 0; turn < kTurns; ++turn) {
    const at::Tensor start = turn >= 4 ? batch.flip(3) : batch;
    copies.push_back(turn % 4 == 0 ? start : at::rot90(start, turn % 4, {2, 3}));
  }
  return at::stack(copies, 1).flatten(0, 1).contiguous();
}

/// The small picture in Lab less its mean colour, planar. Averaged in floating point: rounding to 8 bits on the way
/// would make a turned copy differ from what it was made of.
at::Tensor small_picture(const image::Image& image) {
  const at::Tensor small =
      at::adaptive_avg_pool2d(tensor::tensor_of(image).unsqueeze(0), {kSmall, kSmall}).squeeze(0).contiguous();
  const auto in = small.accessor<float, 3>();
  at::Tensor planes = at::empty({3, kSmall, kSmall}, at::kFloat);
  auto out = planes.accessor<float, 3>();
  const auto linear = [](float v) { return image::srgb_to_linear(std::clamp((v + 1.0) / 2, 0.0, 1.0)); };
  for (int y = 0; y < kSmall; ++y) {
    for (int x = 0; x < kSmall; ++x) {
      const image::Lab lab = image::lab_of_linear(linear(in[0][y][x]), linear(in[1][y][x]), linear(in[2][y][x]));
      out[0][y][x] = static_cast<float>(lab.L);
      out[1][y][x] = static_cast<float>(lab.a);
      out[2][y][x] = static_cast<float>(lab.b);
    }
  }
  return planes - planes.mean({1, 2}, true);
}

at::Tensor small_pictures(const std::vector<image::Image>& images) {
  std::vector<at::Tensor> rows(images.size());
  parallel_for(images.size(), [&](size_t i) { rows[i] = small_picture(images[i]); });
  return at::stack(rows);
}

/// The photographs in one space: where a query's nearest ones are looked for.
struct Reference {
  at::Tensor training, held_out;  // [n, d]
  std::vector<std::string> training_patients, held_out_patients;
};

/// `queries`: [kTurns N, d]. `own` (may be empty): the patients of the N images, whose photographs do not count.
struct Found {
  Nearest nearest;
  size_t pooled = 0;  // nearest of all photographs: training first, then held-out
};
std::vector<Found> look(const at::Tensor& queries, const Reference& reference, const std::vector<std::string>& own) {
  const int64_t count = queries.size(0) / kTurns;
  // By products of matrices, which is fast; the winners' distances are computed anew below, since one near 0 would
  // drown in rounding.
  const auto distances = [&](const at::Tensor& to) {
    return at::_cdist_forward(queries, to, 2.0, /*compute_mode=*/1).view({count, kTurns, to.size(0)});
  };
  const double scale = 1 / std::sqrt(static_cast<double>(queries.size(1)));
  const auto exact = [&](int64_t image, int64_t turn, const at::Tensor& to, int64_t index) {
    const at::Tensor query = queries[image * kTurns + turn].to(at::kDouble);
    return (query - to[index].to(at::kDouble)).norm().item<double>() * scale;
  };
  const at::Tensor trained = distances(reference.training);
  auto [held, held_turn] = distances(reference.held_out).min(1);  // [N, m]
  held = held.contiguous();
  auto held_at = held.accessor<float, 2>();
  if (!own.empty()) {
    for (int64_t i = 0; i < count; ++i) {
      for (int64_t j = 0; j < held.size(1); ++j) {
        if (reference.held_out_patients[static_cast<size_t>(j)] == own[static_cast<size_t>(i)])
          held_at[i][j] = std::numeric_limits<float>::infinity();
      }
    }
  }
  const auto [best_turn, turn] = trained.min(1);    // [N, n]
  const auto [distance, index] = best_turn.min(1);  // [N]
  const auto [elsewhere, other] = held.min(1);      // [N]
  std::vector<Found> result(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    Found& f = result[static_cast<size_t>(i)];
    const int64_t best = index[i].item<int64_t>();
    f.nearest.training = static_cast<size_t>(best);
    f.nearest.turn = static_cast<int>(turn[i][best].item<int64_t>());
    f.nearest.distance = exact(i, f.nearest.turn, reference.training, best);
    const int64_t away = other[i].item<int64_t>();
    f.nearest.elsewhere = exact(i, held_turn[i][away].item<int64_t>(), reference.held_out, away);
    f.pooled = f.nearest.distance <= f.nearest.elsewhere
                   ? f.nearest.training
                   : reference.training_patients.size() + static_cast<size_t>(away);
  }
  return result;
}

std::vector<double> distances_of(const std::vector<Nearest>& list) {
  std::vector<double> values;
  for (const Nearest& n : list) values.push_back(n.distance);
  return values;
}

std::vector<double> ratios_of(const std::vector<Nearest>& list) {
  std::vector<double> values;
  for (const Nearest& n : list) values.push_back(n.ratio());
  return values;
}

/// The value of this rank (from 1).
double ranked(std::vector<double> values, size_t rank) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(rank - 1), values.end());
  return values[rank - 1];
}

size_t count_below(const std::vector<double>& values, double limit) {
  return static_cast<size_t>(std::count_if(values.begin(), values.end(), [&](double v) { return v < limit; }));
}

/// Deals the patients to training and held-out anew and counts how often the nearest photograph is a training one.
void permute(AuditSpace& space, const std::vector<size_t>& pooled, const Reference& reference,
             const AuditOptions& options) {
  const size_t trained = reference.training_patients.size();
  std::map<std::string, size_t> number;  // of each patient
  std::vector<size_t> patient_of;
  for (const auto* list : {&reference.training_patients, &reference.held_out_patients}) {
    for (const std::string& patient : *list)
      patient_of.push_back(number.try_emplace(patient, number.size()).first->second);
  }
  // How many synthetic images have their nearest photograph with each patient.
  std::vector<double> hits(number.size(), 0);
  for (const size_t j : pooled) hits[patient_of[j]] += 1;
  std::set<size_t> trained_patients(patient_of.begin(), patient_of.begin() + static_cast<std::ptrdiff_t>(trained));
  double seen = 0;
  for (const size_t p : trained_patients) seen += hits[p];
  Rng rng(mix_seed(options.seed, hash_text(space.name)));
  int as_many = 0;
  double sum = 0;
  for (int i = 0; i < options.permutations; ++i) {
    std::vector<double> dealt = hits;
    rng.shuffle(dealt);
    const double value =
        std::accumulate(dealt.begin(), dealt.begin() + static_cast<std::ptrdiff_t>(trained_patients.size()), 0.0);
    sum += value;
    as_many += value >= seen;
  }
  const double n = static_cast<double>(pooled.size());
  space.nearest_is_training = seen / n;
  space.expected = sum / (n * options.permutations);
  space.permutation_p = (as_many + 1.0) / (options.permutations + 1.0);
}

void judge(AuditSpace& space, const AuditOptions& options) {
  const std::vector<double> synthetic = distances_of(space.synthetic), held = distances_of(space.held_out),
                            ratios = ratios_of(space.synthetic), held_ratios = ratios_of(space.held_out);
  const size_t m = held.size();
  const auto rank = [&](double share) {
    return std::max<size_t>(1, static_cast<size_t>(std::ceil(share * static_cast<double>(m))));
  };
  const double n = static_cast<double>(synthetic.size());
  space.first = ranked(held, rank(0.01));
  space.fifth = ranked(held, rank(0.05));
  space.first_ratio = ranked(held_ratios, rank(0.01));
  space.closest = ranked(held, 1);
  const size_t below = count_below(synthetic, space.first), below_ratio = count_below(ratios, space.first_ratio);
  space.share_first = static_cast<double>(below) / n;
  space.share_fifth = static_cast<double>(count_below(synthetic, space.fifth)) / n;
  space.share_first_ratio = static_cast<double>(below_ratio) / n;
  space.first_p = share_below_p(below, synthetic.size(), rank(0.01), m);
  space.ratio_p = share_below_p(below_ratio, synthetic.size(), rank(0.01), m);
  space.distances = mann_whitney_less(synthetic, held);
  for (size_t i = 0; i < space.synthetic.size(); ++i) {
    const Nearest& one = space.synthetic[i];
    if (one.distance < options.copy_factor * space.closest && one.ratio() < options.copy_factor)
      space.copies.push_back(i);
  }
}

void check_count(const ImageSet& set, const char* what) {
  if (set.size() >= kFewest) return;
  throw DataError("{}: {} {} images are too few for a verdict, at least {} are needed; give more", set.name(),
                  set.size(), what, kFewest);
}

std::vector<size_t> closest(const AuditResult& result, bool synthetic, size_t count) {
  const size_t n = synthetic ? result.synthetic : result.held_out;
  std::vector<double> score(n, std::numeric_limits<double>::infinity());
  for (const AuditSpace& space : result.spaces) {
    const std::vector<Nearest>& list = synthetic ? space.synthetic : space.held_out;
    for (size_t i = 0; i < n; ++i)
      score[i] = std::min(score[i], list[i].distance / std::max(space.first, std::numeric_limits<double>::min()));
  }
  std::vector<size_t> order(n);
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return score[a] < score[b]; });
  order.resize(std::min(n, count));
  return order;
}

}  // namespace

double Nearest::ratio() const {
  if (elsewhere > 0) return distance / elsewhere;
  return distance > 0 ? std::numeric_limits<double>::infinity() : 1;  // a copy of both says nothing
}

image::Image turned(const image::Image& image, int turn) {
  const image::Image start = turn >= 4 ? image::flip_horizontal(image) : image;
  return turn % 4 == 0 ? start : image::quarter_turns(start, turn % 4);
}

AuditResult audit(const ImageSet& training, const ImageSet& held_out, const ImageSet& synthetic,
                  metrics::Extractor& extractor, const FeatureCache& cache, const AuditOptions& options) {
  const torch::NoGradGuard no_grad;
  check_count(training, "training");
  check_count(held_out, "held-out");
  check_count(synthetic, "synthetic");
  if (const std::vector<std::string> both = shared_patients(training, held_out); !both.empty()) {
    throw DataError(
        "{}: {} patients stand in training and in the held-out splits too ({} is one), so the held-out photographs are "
        "no measure; `dermgan prepare` splits by patient",
        training.data().root().string(), both.size(), both.front());
  }

  Reference encoder, pictures;
  encoder.training_patients = pictures.training_patients = training.patients();
  encoder.held_out_patients = pictures.held_out_patients = held_out.patients();
  at::Tensor trained = cache.features(training, extractor, "training photographs");
  const at::Tensor middle = trained.mean(0, true);
  at::Tensor spread = trained.std(0, /*unbiased=*/false, true);
  // A feature that hardly moves over the training set must not decide by its noise.
  spread = spread.clamp_min(std::max(1e-12, 0.01 * spread.mean().item<double>()));
  const auto scaled = [&](const at::Tensor& features) { return ((features - middle) / spread).contiguous(); };
  encoder.training = scaled(trained);
  encoder.held_out = scaled(cache.features(held_out, extractor, "held-out photographs"));
  const auto all_small = [](const ImageSet& set) {
    std::vector<at::Tensor> parts;
    set.stream([&](size_t, const std::vector<image::Image>& images) { parts.push_back(small_pictures(images)); });
    return at::cat(parts).flatten(1).contiguous();
  };
  pictures.training = all_small(training);
  pictures.held_out = all_small(held_out);

  AuditResult result;
  result.options = options;
  result.extractor = extractor.name();
  result.extractor_sha256 = extractor.sha256();
  result.resize_kernel = extractor.resize_kernel();
  result.training = training.size();
  result.held_out = held_out.size();
  result.synthetic = synthetic.size();
  const auto distinct = [](const std::vector<std::string>& list) {
    return std::set<std::string>(list.begin(), list.end()).size();
  };
  result.training_patients = distinct(encoder.training_patients);
  result.held_out_patients = distinct(encoder.held_out_patients);
  for (const auto& [count, set] :
       {std::pair{result.training_patients, &training}, {result.held_out_patients, &held_out}}) {
    if (count >= kFewestPatients) continue;
    throw DataError(
        "{}: its photographs are of {} patients, too few to tell copies from likeness; at least {} are needed",
        set->name(), count, kFewestPatients);
  }
  result.spaces.resize(2);
  result.spaces[0].name = extractor.name();
  result.spaces[0].unit = "deviations";
  result.spaces[1].name = "small pictures";
  result.spaces[1].unit = "Lab";

  std::vector<std::vector<size_t>> pooled(2);
  const auto compare = [&](const ImageSet& set, bool held) {
    Progress progress(held ? "held-out against training" : "synthetic against training",
                      static_cast<double>(set.size()), "images");
    set.stream(
        [&](size_t first, const std::vector<image::Image>& images) {
          std::vector<at::Tensor> batch;
          for (const image::Image& image : images) batch.push_back(tensor::tensor_of(image));
          std::vector<std::string> own;
          for (size_t i = 0; held && i < images.size(); ++i) own.push_back(set.items()[first + i].patient);
          const at::Tensor queries[] = {scaled(extractor.features(all_turns(at::stack(batch)))),
                                        all_turns(small_pictures(images)).flatten(1).contiguous()};
          for (size_t s = 0; s < 2; ++s) {
            for (const Found& f : look(queries[s], s == 0 ? encoder : pictures, own)) {
              (held ? result.spaces[s].held_out : result.spaces[s].synthetic).push_back(f.nearest);
              if (!held) pooled[s].push_back(f.pooled);
            }
          }
          progress.update(static_cast<double>(first + images.size()));
        },
        kChunk);
    progress.finish();
  };
  compare(held_out, true);
  compare(synthetic, false);

  for (size_t s = 0; s < 2; ++s) {
    AuditSpace& space = result.spaces[s];
    judge(space, options);
    permute(space, pooled[s], s == 0 ? encoder : pictures, options);
    if (space.first_p < options.alpha && space.ratio_p < options.alpha) {
      result.reasons.push_back(fmt::format(
          "{}: {:.1f} % of the synthetic images lie nearer to a training photograph than the 1st percentile "
          "of held-out photographs, and {:.1f} % relative to their nearest held-out photograph; 1 % is "
          "expected (p = {:.1g} and {:.1g})",
          space.name, 100 * space.share_first, 100 * space.share_first_ratio, space.first_p, space.ratio_p));
    }
    if (space.permutation_p < options.alpha && space.nearest_is_training - space.expected >= options.least_excess) {
      result.reasons.push_back(
          fmt::format("{}: the nearest photograph is a training one for {:.1f} % of the synthetic images; {:.1f} % "
                      "would be expected of a model that had not seen them (p = {:.1g})",
                      space.name, 100 * space.nearest_is_training, 100 * space.expected, space.permutation_p));
    }
    if (!space.copies.empty()) {
      result.reasons.push_back(fmt::format(
          "{}: {} synthetic images are copies: nearer to a training photograph than {} times the smallest distance "
          "between photographs of different patients; the first is {}",
          space.name, space.copies.size(), options.copy_factor, synthetic.items()[space.copies.front()].file_name));
    }
  }
  result.passed = result.reasons.empty();
  return result;
}

std::vector<size_t> closest_images(const AuditResult& result, size_t count) { return closest(result, true, count); }
std::vector<size_t> closest_held_out(const AuditResult& result, size_t count) { return closest(result, false, count); }

nlohmann::json AuditResult::to_json() const {
  nlohmann::json json = {
      {"verdict", passed ? "passed" : "failed"},
      {"reasons", reasons},
      {"protocol",
       {{"extractor", extractor},
        {"extractor_sha256", extractor_sha256},
        {"resize_kernel", resize_kernel},
        {"n_training", training},
        {"n_held_out", held_out},
        {"n_synthetic", synthetic},
        {"training_patients", training_patients},
        {"held_out_patients", held_out_patients},
        {"seed", options.seed},
        {"permutations", options.permutations},
        {"alpha", options.alpha},
        {"least_excess", options.least_excess},
        {"copy_factor", options.copy_factor}}},
  };
  for (const AuditSpace& s : spaces) {
    json["spaces"].push_back({{"name", s.name},
                              {"unit", s.unit},
                              {"first_percentile", s.first},
                              {"fifth_percentile", s.fifth},
                              {"first_percentile_ratio", s.first_ratio},
                              {"smallest_held_out", s.closest},
                              {"share_below_first", s.share_first},
                              {"share_below_fifth", s.share_fifth},
                              {"share_below_first_ratio", s.share_first_ratio},
                              {"share_below_first_p", s.first_p},
                              {"share_below_first_ratio_p", s.ratio_p},
                              {"nearest_is_training", s.nearest_is_training},
                              {"nearest_is_training_expected", s.expected},
                              {"permutation_p", s.permutation_p},
                              {"nearer_than_held_out", s.distances.smaller},
                              {"mann_whitney_p", s.distances.p},
                              {"copies", s.copies.size()}});
  }
  return json;
}

}  // namespace derm::evaluation
