#include "derm/metrics/swd.h"

#include <cmath>

#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/base/random.h"
#include "derm/metrics/checks.h"

namespace derm::metrics {
namespace {

constexpr const char* kWhere = "sliced Wasserstein distance";

/// The binomial filter 1 4 6 4 1 in both directions, each channel by itself, mirrored at the edge without repeating it.
at::Tensor blur(const at::Tensor& x, double gain) {
  const at::Tensor line = torch::tensor({1.0, 4.0, 6.0, 4.0, 1.0}, at::kFloat) / 16;
  const at::Tensor kernel = (line.unsqueeze(1) * line * gain).expand({3, 1, 5, 5}).contiguous();
  return at::conv2d(at::reflection_pad2d(x, {2, 2, 2, 2}), kernel, {}, 1, at::IntArrayRef({0, 0}), 1, /*groups=*/3);
}

at::Tensor down(const at::Tensor& x) {
  return blur(x, 1).slice(2, 0, c10::nullopt, 2).slice(3, 0, c10::nullopt, 2).contiguous();
}

at::Tensor up(const at::Tensor& x) {
  at::Tensor wide = at::zeros({x.size(0), x.size(1), 2 * x.size(2), 2 * x.size(3)}, x.options());
  wide.slice(2, 0, c10::nullopt, 2).slice(3, 0, c10::nullopt, 2).copy_(x);
  return blur(wide, 4);
}

/// Mean 0 and deviation 1 of each channel over all patches. [rows, 3 p p]
at::Tensor normalised(const at::Tensor& patches, int64_t size_px) {
  const at::Tensor x = patches.to(at::kDouble);
  const at::Tensor mean = x.mean({0, 2, 3}, true);
  const at::Tensor deviation = (x - mean).square().mean({0, 2, 3}, true).sqrt();
  if (deviation.min().item<double>() == 0)
    throw DataError("{}: at {} px a channel is the same in every patch; images with content are needed", kWhere,
                    size_px);
  return ((x - mean) / deviation).to(at::kFloat).flatten(1);
}

bool same(const SwdOptions& a, const SwdOptions& b) {
  return a.smallest_px == b.smallest_px && a.patch_px == b.patch_px && a.patches == b.patches &&
         a.repeats == b.repeats && a.directions == b.directions && a.seed == b.seed;
}

}  // namespace

void SwdOptions::validate() const {
  const auto at_least = [](const char* name, int64_t value, int64_t least) {
    if (value < least) throw UsageError("{}: {} is {}, at least {} is needed", kWhere, name, value, least);
  };
  at_least("smallest_px", smallest_px, 8);
  at_least("patch_px", patch_px, 1);
  at_least("patches", patches, 1);
  at_least("repeats", repeats, 1);
  at_least("directions", directions, 1);
  if (patch_px >= smallest_px)
    throw UsageError("{}: patch_px is {}, it must be smaller than smallest_px ({})", kWhere, patch_px, smallest_px);
}

std::vector<at::Tensor> laplacian_pyramid(const at::Tensor& images, int64_t smallest_px) {
  const torch::NoGradGuard no_grad;
  at::Tensor x = checked_images(images, kWhere, "[-1, 1]");
  const int64_t side = x.size(2);
  if (side != x.size(3) || side < smallest_px)
    throw UsageError("{}: images are {} x {}, squares of at least {} px are needed", kWhere, x.size(3), side,
                     smallest_px);
  std::vector<at::Tensor> levels;
  while (x.size(2) / 2 >= smallest_px) {
    if (x.size(2) % 2)
      throw UsageError("{}: images of {} px cannot be halved down to {}; use a side such as 64, 128 or 256", kWhere,
                       side, smallest_px);
    const at::Tensor half = down(x);
    levels.push_back(x - up(half));
    x = half;
  }
  levels.push_back(x);
  return levels;
}

at::Tensor patch_places(const SwdOptions& options, uint64_t set, int64_t image, int64_t size_px) {
  Rng rng(
      mix_seed(mix_seed(mix_seed(options.seed, set), static_cast<uint64_t>(image)), static_cast<uint64_t>(size_px)));
  at::Tensor places = at::empty({options.patches, 2}, at::kLong);
  int64_t* p = places.data_ptr<int64_t>();
  for (int64_t i = 0; i < 2 * options.patches; ++i) p[i] = rng.integer(0, size_px - options.patch_px);
  return places;
}

at::Tensor patch_directions(const SwdOptions& options, int64_t size_px, int64_t repeat) {
  Rng rng(mix_seed(mix_seed(options.seed, hash_text("directions")),
                   mix_seed(static_cast<uint64_t>(size_px), static_cast<uint64_t>(repeat))));
  at::Tensor directions = at::empty({3 * options.patch_px * options.patch_px, options.directions}, at::kDouble);
  double* d = directions.data_ptr<double>();
  for (int64_t i = 0; i < directions.numel(); ++i) d[i] = rng.normal();
  return (directions / directions.square().sum(0, true).sqrt()).to(at::kFloat);
}

PatchDescriptors::PatchDescriptors(const SwdOptions& options, uint64_t set) : options_(options), set_(set) {
  options_.validate();
}

void PatchDescriptors::add(const at::Tensor& images) {
  const torch::NoGradGuard no_grad;
  const std::vector<at::Tensor> pyramid = laplacian_pyramid(images, options_.smallest_px);
  if (sizes_.empty()) {
    for (const at::Tensor& level : pyramid) sizes_.push_back(level.size(2));
    parts_.resize(pyramid.size());
  }
  if (sizes_.front() != pyramid.front().size(2))
    throw UsageError("{}: images are {} px, those before were {} px; all must be of one size", kWhere,
                     pyramid.front().size(2), sizes_.front());
  const int64_t p = options_.patch_px, count = pyramid.front().size(0);
  for (size_t l = 0; l < pyramid.size(); ++l) {
    const int64_t side = sizes_[l];
    at::Tensor patches = at::empty({count * options_.patches, 3, p, p}, at::kFloat);
    const float* in = pyramid[l].data_ptr<float>();
    float* out = patches.data_ptr<float>();
    for (int64_t n = 0; n < count; ++n) {
      const at::Tensor places = patch_places(options_, set_, images_ + n, side);
      const int64_t* place = places.data_ptr<int64_t>();
      for (int64_t i = 0; i < options_.patches; ++i)
        for (int64_t c = 0; c < 3; ++c)
          for (int64_t y = 0; y < p; ++y)
            out = std::copy_n(in + ((n * 3 + c) * side + place[2 * i] + y) * side + place[2 * i + 1], p, out);
    }
    parts_[l].push_back(patches);
  }
  images_ += count;
}

PatchDescriptors PatchDescriptors::subset(const std::vector<size_t>& rows) const {
  const at::Tensor places = torch::tensor(std::vector<int64_t>(rows.begin(), rows.end()), at::kLong);
  PatchDescriptors result(options_, set_);
  result.images_ = places.numel();
  result.sizes_ = sizes_;
  for (int64_t l = 0; l < levels(); ++l) {
    const at::Tensor by_image = level(l).unflatten(0, {images_, options_.patches});
    result.parts_.push_back({by_image.index_select(0, places).flatten(0, 1)});
  }
  return result;
}

at::Tensor PatchDescriptors::level(int64_t level) const { return at::cat(parts_.at(static_cast<size_t>(level))); }

Swd sliced_wasserstein(const PatchDescriptors& real, const PatchDescriptors& fake, int64_t repeats) {
  const torch::NoGradGuard no_grad;
  if (real.images() != fake.images())
    throw UsageError(
        "{}: the real set has {} images, the fake one {}; it depends on the number, so both must have as many", kWhere,
        real.images(), fake.images());
  if (real.images() < 2) throw UsageError("{}: {} images, at least 2 are needed", kWhere, real.images());
  if (!same(real.options(), fake.options()))
    throw UsageError("{}: the sets were cut into patches with different options", kWhere);
  if (real.levels() != fake.levels() || real.level_px(0) != fake.level_px(0))
    throw UsageError("{}: the real images are {} px, the fake ones {} px; both must be of one size", kWhere,
                     real.level_px(0), fake.level_px(0));
  Swd result;
  const int64_t times = repeats > 0 ? std::min(repeats, real.options().repeats) : real.options().repeats;
  for (int64_t l = 0; l < real.levels(); ++l) {
    SwdLevel level;
    level.size_px = real.level_px(l);
    const at::Tensor a = normalised(real.level(l), level.size_px), b = normalised(fake.level(l), level.size_px);
    const SwdOptions& o = real.options();
    for (int64_t r = 0; r < times; ++r) {
      const at::Tensor directions = patch_directions(o, level.size_px, r);
      // Rows of the transpose lie together, which is what sorting wants.
      const at::Tensor pa = std::get<0>(at::matmul(directions.t(), a.t()).sort(1));
      const at::Tensor pb = std::get<0>(at::matmul(directions.t(), b.t()).sort(1));
      level.distance += 1e3 * (pa - pb).abs().mean(at::kDouble).item<double>() / static_cast<double>(times);
    }
    result.levels.push_back(level);
    result.mean += level.distance / static_cast<double>(real.levels());
  }
  return result;
}

Swd sliced_wasserstein(const at::Tensor& real, const at::Tensor& fake, const SwdOptions& options) {
  PatchDescriptors a(options, 0), b(options, 1);
  constexpr int64_t kBatch = 64;
  for (auto [set, images] : {std::pair{&a, &real}, std::pair{&b, &fake}}) {
    if (!images->defined() || images->dim() != 4) throw UsageError("{}: images must be [N, 3, S, S]", kWhere);
    for (int64_t i = 0; i < images->size(0); i += kBatch)
      set->add(images->narrow(0, i, std::min(kBatch, images->size(0) - i)));
  }
  return sliced_wasserstein(a, b);
}

}  // namespace derm::metrics
