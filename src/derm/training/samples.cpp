#include "derm/training/samples.h"

#include <cmath>

#include <fmt/format.h>
#include <torch/torch.h>

#include "derm/base/random.h"
#include "derm/image/codec.h"
#include "derm/image/draw.h"
#include "derm/image/resize.h"
#include "derm/loader/loader.h"
#include "derm/metrics/kid.h"
#include "derm/recipe/bundle.h"
#include "derm/tensor/convert.h"

namespace derm::training {
namespace {

constexpr int64_t kSampleBatch = 8;
constexpr size_t kFewestForKid = 64, kMostForKid = 500;
constexpr size_t kMostForDiversity = 64;
constexpr int64_t kDiversityPx = 32;
constexpr int kSampleRows = 4, kSampleColumns = 6;
constexpr size_t kFigureBatch = 32, kMostForFigures = 500;

tensor::Inputs slice(const tensor::Inputs& all, int64_t from) {
  const auto cut = [&](const at::Tensor& t) {
    return t.defined() ? t.slice(0, from, std::min(from + kSampleBatch, t.size(0))) : t;
  };
  return {.latent = cut(all.latent), .label = cut(all.label), .map = cut(all.map)};
}

}  // namespace

at::Tensor latents(const recipe::Needs& needs, int64_t size_px, uint64_t first_seed, int64_t count) {
  std::vector<at::Tensor> all;
  for (int64_t i = 0; i < count; ++i) {
    const at::Tensor one = recipe::latent_of_seed(needs, size_px, first_seed + static_cast<uint64_t>(i));
    if (!one.defined()) return {};
    all.push_back(one);
  }
  return at::cat(all, 0);
}

at::Tensor sample(recipe::Generator& generator, const tensor::Inputs& inputs, const tensor::ComputePolicy& policy) {
  torch::NoGradGuard guard;
  const bool was_training = generator.is_training();
  generator.eval();
  const int64_t count = inputs.map.defined() ? inputs.map.size(0) : inputs.latent.size(0);
  std::vector<at::Tensor> images;
  for (int64_t i = 0; i < count; i += kSampleBatch)
    images.push_back(generator.generate(recipe::on_device(slice(inputs, i), policy)).to(at::kCPU, at::kFloat));
  generator.train(was_training);
  return at::cat(images, 0);
}

image::Image reals_sheet(const data::DataSet& data, const std::vector<size_t>& rows, int64_t size_px) {
  constexpr size_t kColumns = 8, kRows = 4;
  image::Grid grid;
  const int side = static_cast<int>(std::min<int64_t>(size_px, 128));
  for (size_t i = 0; i < rows.size() && i < kColumns * kRows; ++i) {
    if (i % kColumns == 0) grid.rows.emplace_back();
    const auto& record = data.records()[rows[i * rows.size() / std::min(rows.size(), kColumns * kRows)]];
    grid.rows.back().push_back(
        image::resize(image::to_rgb(image::read_image(data.path_of(record.file_name))), side, side));
  }
  return image::draw_grid(grid);
}

FixedSamples::FixedSamples(const recipe::Recipe& recipe, const data::Offer& offer, const data::MapSpec& map) {
  if (const recipe::Needs needs = recipe.needs(); !needs.map) {
    const size_t rows = needs.label ? offer.conditions.size() : kSampleRows;
    if (needs.label) row_labels_ = offer.conditions;
    rows_ = rows;
    const auto count = static_cast<int64_t>(rows * kSampleColumns);
    inputs_.latent = latents(needs, map.size_px, 1001, count);
    // In the order of the sheet's columns: a whole column, then the next.
    if (needs.label) inputs_.label = at::arange(count, at::kLong) % static_cast<int64_t>(rows);
    return;
  }
  const double low = offer.locus.low_ita(), high = offer.locus.high_ita();
  uint64_t seed = 1000;
  for (const double ita : {high, (low + high) / 2, low})
    for (const double size : {0.3, 0.6}) {
      column_labels_.push_back(fmt::format("ITA {:.0f} size {:.1f}", ita, size));
      for (const auto& condition : offer.conditions) {
        data::Wish wish;
        wish.condition = condition;
        wish.skin = fmt::format("ita:{:.3f}", ita);
        wish.size = fmt::format("{}", size);
        wish.seed = ++seed;
        requests_.push_back(data::make_request(wish, offer));
      }
    }
  row_labels_ = offer.conditions;
  rows_ = row_labels_.size();
  inputs_ = loader::inputs_of(requests_, map);
  inputs_.latent = latents(recipe.needs(), map.size_px, seed + 1, static_cast<int64_t>(requests_.size()));
}

image::Image FixedSamples::sheet(recipe::Generator& generator, const tensor::ComputePolicy& policy) const {
  const auto images = tensor::images_of(sample(generator, inputs_, policy));
  image::Grid grid;
  grid.column_labels = column_labels_;
  grid.row_labels = row_labels_;
  grid.rows.resize(rows_);
  for (size_t i = 0; i < images.size(); ++i) grid.rows[i % rows_].push_back(images[i]);
  return image::draw_grid(grid);
}

DiversityFigures diversity_of(const at::Tensor& made, const at::Tensor& real) {
  TORCH_INTERNAL_ASSERT(made.size(0) == real.size(0) && made.size(0) >= 2);
  const auto spread = [](const at::Tensor& images) {
    const at::Tensor small = at::adaptive_avg_pool2d(images.to(at::kFloat), {kDiversityPx, kDiversityPx}).flatten(1);
    const int64_t n = small.size(0);
    const at::Tensor distance = at::cdist(small, small, 1).to(at::kDouble) / static_cast<double>(small.size(1));
    const double pairs = distance.sum().item<double>() / static_cast<double>(n * (n - 1));
    const at::Tensor itself = at::eye(n, distance.options()) * 1e9;
    return std::pair{pairs, std::get<0>((distance + itself).min(1)).mean().item<double>()};
  };
  const auto [made_pairs, made_nearest] = spread(made);
  const auto [real_pairs, real_nearest] = spread(real);
  const auto over = [](double a, double b) { return b > 0 ? a / b : 1.0; };
  return {.pairs = over(made_pairs, real_pairs),
          .nearest = over(made_nearest, real_nearest),
          .real_pairs = real_pairs,
          .real_nearest = real_nearest,
          .count = made.size(0)};
}

Diversity::Diversity(const recipe::Recipe& recipe, const data::DataSet& data, std::vector<size_t> rows,
                     const data::MapSpec& map, data::Shape shape, uint64_t seed) {
  Rng(mix_seed(seed, hash_text("diversity"))).shuffle(rows);
  rows.resize(std::min(rows.size(), kMostForDiversity));
  tensor::Batch batch = loader::read_rows(data, rows, map, shape, recipe.needs().map);
  real_ = batch.image;
  inputs_ = batch.inputs;
  inputs_.latent = latents(recipe.needs(), map.size_px, 501, static_cast<int64_t>(rows.size()));
}

DiversityFigures Diversity::measure(recipe::Generator& generator, const tensor::ComputePolicy& policy) const {
  return diversity_of(sample(generator, inputs_, policy), real_);
}

ValidationKid::ValidationKid(const recipe::Recipe& recipe, const data::DataSet& data, std::vector<size_t> rows,
                             const data::MapSpec& map, data::Shape shape, std::unique_ptr<metrics::Extractor> extractor)
    : extractor_(std::move(extractor)) {
  if (rows.size() < kFewestForKid) return;
  available_ = true;
  if (rows.size() > kMostForKid) {
    Rng(1).shuffle(rows);
    rows.resize(kMostForKid);
  }
  tensor::Batch batch = loader::read_rows(data, rows, map, shape, recipe.needs().map);
  real_features_ = extractor_->features(batch.image);
  inputs_ = batch.inputs;
  inputs_.latent = latents(recipe.needs(), map.size_px, 77, static_cast<int64_t>(rows.size()));
}

nlohmann::json ValidationKid::measure(recipe::Generator& generator, const tensor::ComputePolicy& policy) {
  const at::Tensor fake = extractor_->features(sample(generator, inputs_, policy));
  const auto kid = metrics::kernel_distance(real_features_, fake);
  return {{"kid", kid.mean},
          {"deviation", kid.deviation},
          {"extractor", extractor_->name()},
          {"extractor_sha256", extractor_->sha256()},
          {"resize_kernel", extractor_->resize_kernel()},
          {"n_real", real_features_.size(0)},
          {"n_fake", fake.size(0)},
          {"subsets", kid.subsets},
          {"subset_size", kid.subset_size},
          {"reference", "validation"},
          {"seed", 0},
          {"ema", true}};
}

ValidationFigures::ValidationFigures(const recipe::Recipe& recipe, const data::DataSet& data, std::vector<size_t> rows,
                                     const data::MapSpec& map, data::Shape shape)
    : recipe_(recipe) {
  if (rows.size() > kMostForFigures) {
    Rng(1).shuffle(rows);
    rows.resize(kMostForFigures);
  }
  for (size_t i = 0; i < rows.size(); i += kFigureBatch) {
    const std::vector<size_t> some(rows.begin() + static_cast<std::ptrdiff_t>(i),
                                   rows.begin() + static_cast<std::ptrdiff_t>(std::min(i + kFigureBatch, rows.size())));
    batches_.push_back(loader::read_rows(data, some, map, shape, /*with_map=*/false));
  }
}

nlohmann::json ValidationFigures::measure(recipe::Judge& judge, const tensor::ComputePolicy& policy) const {
  torch::NoGradGuard guard;
  const bool was_training = judge.is_training();
  judge.eval();
  recipe_.calibrate(judge, batches_, policy);
  const std::vector<recipe::Figure> measured = recipe_.figures(judge, batches_, policy);
  judge.train(was_training);
  TORCH_INTERNAL_ASSERT(!measured.empty(), "a judge's recipe gives at least one figure");
  nlohmann::json figures;
  for (const recipe::Figure& figure : measured) figures[figure.name] = figure.value;
  int64_t n = 0;
  for (const tensor::Batch& batch : batches_) n += batch.image.size(0);
  return {{"figures", figures}, {"first", measured.front().name}, {"n", n}, {"reference", "validation"}, {"ema", true}};
}

}  // namespace derm::training
