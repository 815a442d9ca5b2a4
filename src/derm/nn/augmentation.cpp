#include "derm/nn/augmentation.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/base/suggest.h"
#include "derm/nn/shared_statistics.h"

namespace derm::nn {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

constexpr double kPi = std::numbers::pi;
constexpr int64_t kUpdatesPerMove = 4;  // as Karras et al. 2020 do

// Symlet of order 6 (Daubechies 1992), orthonormal: doubling by it and halving again gives the picture back. Karras et
// al. resample through it, so that turning and scaling leave neither blur nor aliasing that would give images away.
constexpr std::array<float, 12> kSymlet = {0.015404109327027373f, 0.0034907120842174702f, -0.11799011114819057f,
                                           -0.048311742585633f,   0.4910559419267466f,    0.787641141030194f,
                                           0.3379294217276218f,   -0.07263752278646252f,  -0.021060292512300564f,
                                           0.04472490177066578f,  0.0017677118642428036f, -0.007800708325034148f};
constexpr int64_t kTaps = kSymlet.size(), kCentre = 5;  // its centre of mass is at tap 5.1
constexpr int64_t kMargin = 8;  // pixels around the picture, continued as in a mirror before it is doubled
constexpr int64_t kLooked = 4;  // of which so many are looked at: what the doubling makes further out lacks neighbours

std::vector<std::string> parts_of(const std::string& kind) {
  if (kind == "diffaugment") return {"colour", "translation", "cutout"};
  if (kind == "ada") return {"blit", "geometry", "colour"};
  return {};
}

// ---- Sampling that can be differentiated twice: libtorch's own gradient of it has no derivative.

struct SampleGradient : torch::autograd::Function<SampleGradient> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& gradient, const at::Tensor& grid,
                            std::vector<int64_t> sizes);
  static tensor_list backward(AutogradContext* context, const tensor_list& gradients);
};

/// Bilinear; places in [-1, 1] over the picture's area, beyond it the edge.
at::Tensor sample_plain(const at::Tensor& picture, const at::Tensor& grid) {
  return at::grid_sampler(picture, grid, /*bilinear*/ 0, /*border*/ 1, /*align_corners=*/false);
}

struct Sample : torch::autograd::Function<Sample> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& picture, const at::Tensor& grid) {
    context->save_for_backward({grid});
    context->saved_data["sizes"] = picture.sizes().vec();
    return sample_plain(picture, grid);
  }
  static tensor_list backward(AutogradContext* context, const tensor_list& gradients) {
    const at::Tensor grid = context->get_saved_variables()[0];
    return {SampleGradient::apply(gradients[0], grid, context->saved_data["sizes"].toIntVector()), at::Tensor()};
  }
};

at::Tensor SampleGradient::forward(AutogradContext* context, const at::Tensor& gradient, const at::Tensor& grid,
                                   std::vector<int64_t> sizes) {
  context->save_for_backward({grid});
  const at::Tensor picture = at::zeros(sizes, gradient.options());  // its values matter to the grid's gradient alone
  return std::get<0>(at::grid_sampler_2d_backward(gradient.contiguous(), picture, grid, 0, 1, false, {true, false}));
}

tensor_list SampleGradient::backward(AutogradContext* context, const tensor_list& gradients) {
  // The gradient is linear in what came in, and its transpose is the sampling itself.
  return {Sample::apply(gradients[0], context->get_saved_variables()[0]), at::Tensor(), at::Tensor()};
}

// ---- Geometry

/// [L, L, 3] of (x, y, 1) for places along one side.
at::Tensor places(const at::Tensor& line) {
  const int64_t n = line.size(0);
  return at::stack(
      {line.reshape({1, n}).expand({n, n}), line.reshape({n, 1}).expand({n, n}), at::ones({n, n}, line.options())}, 2);
}

/// Where each output place is taken from, in parts of the picture's side (0 to 1 inside): [N, L, L, 2].
at::Tensor sources(const at::Tensor& line, const at::Tensor& affine) {
  const int64_t n = affine.size(0), side = line.size(0);
  const at::Tensor from = at::matmul(places(line).reshape({1, side * side, 3}), affine.transpose(1, 2));
  return ((from + 1) / 2).reshape({n, side, side, 2});
}

/// Places outside folded back in, as in a mirror along the edges.
at::Tensor folded(const at::Tensor& u) { return 1 - (1 - at::fmod(u.abs(), 2)).abs(); }

/// Continued by its mirror image on all sides.
at::Tensor with_margin(const at::Tensor& x) {
  at::Tensor y = x;
  for (const int64_t d : {2, 3}) {
    const int64_t side = y.size(d);
    y = at::cat({y.narrow(d, 0, kMargin).flip({d}), y, y.narrow(d, side - kMargin, kMargin).flip({d})}, d);
  }
  return y;
}

/// [N, C, S, S] moved by `affine`, through twice the resolution.
at::Tensor warped(const at::Tensor& images, const at::Tensor& affine) {
  const int64_t n = images.size(0), c = images.size(1), side = images.size(2), padded = side + 2 * kMargin;
  const at::Tensor taps = torch::tensor(at::ArrayRef<float>(kSymlet)).to(images.device());
  const at::Tensor down = taps.reshape({1, 1, kTaps, 1}), across = taps.reshape({1, 1, 1, kTaps});

  at::Tensor x = with_margin(images).contiguous().reshape({n * c, 1, padded, padded});
  x = at::conv_transpose2d(x, down, {}, at::IntArrayRef{2, 1}, at::IntArrayRef{kCentre, 0});
  x = at::conv_transpose2d(x, across, {}, at::IntArrayRef{1, 2}, at::IntArrayRef{0, kCentre});
  x = x.reshape({n, c, 2 * padded, 2 * padded});

  // Half pixels of the output, as many beyond it as the halving filter needs.
  const int64_t halves = 2 * side + kTaps - 2;
  const at::Tensor line = (at::arange(halves, images.options()) - kCentre + 1) / static_cast<double>(side) - 1;
  const at::Tensor u = sources(line, affine);
  const double margin = static_cast<double>(kLooked) / static_cast<double>(side);
  const at::Tensor inside = at::logical_and(u >= -margin, u <= 1 + margin);
  // A picture's pixel k stands at 2 (k + margin) in the doubled one.
  const double s = static_cast<double>(side), m = static_cast<double>(kMargin);
  const at::Tensor grid = (4 * s * at::where(inside, u, folded(u)) + (4 * m - 1)) / (2 * (s + 2 * m)) - 1;
  x = Sample::apply(x, grid).reshape({n * c, 1, halves, halves});

  x = at::conv2d(x, down, {}, at::IntArrayRef{2, 1});
  x = at::conv2d(x, across, {}, at::IntArrayRef{1, 2});
  return x.reshape({n, c, side, side});
}

/// The same for a map: bilinear, so that planes stay between 0 and 1.
at::Tensor warped_map(const at::Tensor& map, const at::Tensor& affine) {
  const int64_t side = map.size(2);
  const at::Tensor line = (2 * at::arange(side, affine.options()) + 1) / static_cast<double>(side) - 1;
  return sample_plain(map.to(at::kFloat), 2 * folded(sources(line, affine)) - 1);
}

at::Tensor shifted(const at::Tensor& x, const at::Tensor& shift) {
  at::Tensor y = x;
  const int64_t n = x.size(0), side = x.size(2);
  for (const int64_t d : {2, 3}) {
    const at::Tensor from = at::arange(side, shift.options()).unsqueeze(0) - shift.narrow(1, d - 2, 1);  // [N, S]
    std::vector<int64_t> shape = {n, 1, 1, 1};
    shape[static_cast<size_t>(d)] = side;
    const at::Tensor there = at::logical_and(from >= 0, from < side).reshape(shape);
    y = y.gather(d, from.clamp(0, side - 1).reshape(shape).expand(x.sizes())) * there.to(x.scalar_type());
  }
  return y;
}

/// 0 within the square, 1 elsewhere: [N, 1, S, S].
at::Tensor around_hole(const at::Tensor& hole, int64_t side, int64_t hole_px) {
  const at::Tensor line = at::arange(side, hole.options()).unsqueeze(0);
  const auto within = [&](int64_t d) {
    const at::Tensor first = hole.narrow(1, d, 1);
    return at::logical_and(line >= first, line < first + hole_px);  // [N, S]
  };
  return at::logical_and(within(0).unsqueeze(2), within(1).unsqueeze(1)).logical_not().to(at::kFloat).unsqueeze(1);
}

int64_t part_of_side(double part, int64_t side) { return static_cast<int64_t>(part * static_cast<double>(side) + 0.5); }

// ---- Matrices, one an image

/// [N, rows, columns] from its elements, each [N].
at::Tensor matrices(const std::vector<at::Tensor>& elements, int64_t columns) {
  return at::stack(elements, 1).reshape({elements[0].size(0), -1, columns});
}

at::Tensor scaling(const at::Tensor& x, const at::Tensor& y) {
  const at::Tensor o = at::zeros_like(x), e = at::ones_like(x);
  return matrices({x, o, o, o, y, o, o, o, e}, 3);
}

at::Tensor turning(const at::Tensor& cosine, const at::Tensor& sine) {
  const at::Tensor o = at::zeros_like(sine), e = at::ones_like(sine);
  return matrices({cosine, -sine, o, sine, cosine, o, o, o, e}, 3);
}

at::Tensor moving(const at::Tensor& x, const at::Tensor& y) {
  const at::Tensor o = at::zeros_like(x), e = at::ones_like(x);
  return matrices({e, o, x, o, e, y, o, o, e}, 3);
}

/// Draws for one batch under ADA.
struct AdaDraws {
  const at::Tensor& probability;
  at::Generator& random;
  int64_t n;
  at::TensorOptions options;

  at::Tensor uniform() const { return at::rand({n}, random, options); }
  at::Tensor normal(double deviation) const { return at::randn({n}, random, options) * deviation; }
  /// `value` with the probability, else `otherwise`.
  at::Tensor maybe(const at::Tensor& value, double otherwise) const { return maybe(value, otherwise, probability); }
  at::Tensor maybe(const at::Tensor& value, double otherwise, const at::Tensor& p) const {
    return at::where(uniform() < p, value, at::full_like(value, otherwise));
  }

  /// Whole-pixel changes: mirrored, turned by quarters, moved by up to an eighth of the side.
  at::Tensor blit(const at::Tensor& before, int64_t side) const {
    const at::Tensor mirror = maybe((uniform() * 2).floor(), 0);
    at::Tensor all = before.matmul(scaling(1 - 2 * mirror, at::ones_like(mirror)));
    const at::Tensor quarter = maybe((uniform() * 4).floor(), 0) * (kPi / 2);
    all = all.matmul(turning(quarter.cos().round(), quarter.sin().round()));
    const double pixels = static_cast<double>(side);
    const auto step = [&](const at::Tensor& part) { return (part * pixels).round() * (2 / pixels); };
    const at::Tensor x = (uniform() * 2 - 1) * 0.125, y = (uniform() * 2 - 1) * 0.125, chance = uniform();
    const at::Tensor taken = (chance < probability).to(at::kFloat);
    return all.matmul(moving(step(x * taken), step(y * taken)));
  }

  /// Scaled, turned, stretched, turned again, moved: by any amount.
  at::Tensor geometry(const at::Tensor& before) const {
    const at::Tensor scale = maybe(at::exp2(normal(0.2)), 1);
    at::Tensor all = before.matmul(scaling(1 / scale, 1 / scale));
    const at::Tensor p_turn = 1 - (1 - probability).clamp(0, 1).sqrt();  // either of two turns: together p
    const auto turn = [&] {
      const at::Tensor angle = maybe((uniform() * 2 - 1) * kPi, 0, p_turn);
      return turning(angle.cos(), angle.sin());
    };
    all = all.matmul(turn());
    const at::Tensor stretch = maybe(at::exp2(normal(0.2)), 1);
    all = all.matmul(scaling(1 / stretch, stretch));
    all = all.matmul(turn());
    const at::Tensor x = normal(0.125), y = normal(0.125), taken = (uniform() < probability).to(at::kFloat);
    return all.matmul(moving(2 * x * taken, 2 * y * taken));
  }

  /// Brightness, contrast, luma flip, hue, saturation: [N, 3, 4].
  at::Tensor colour() const {
    const at::Tensor e = at::ones({n}, options), o = at::zeros({n}, options);
    const at::Tensor identity = at::eye(3, options).expand({n, 3, 3});
    const at::Tensor grey = at::full({3, 3}, 1.0 / 3, options);  // v v^T of v = (1, 1, 1) / sqrt 3
    const auto each = [](const at::Tensor& t) { return t.reshape({-1, 1, 1}); };
    at::Tensor offset = each(maybe(normal(0.2), 0)).expand({n, 3, 1});
    const at::Tensor contrast = each(maybe(at::exp2(normal(0.5)), 1));
    at::Tensor mix = identity * contrast;
    const at::Tensor flip = each(maybe((uniform() * 2).floor(), 0));
    mix = (identity - 2 * grey * flip).matmul(mix);
    const at::Tensor angle = maybe((uniform() * 2 - 1) * kPi, 0), c = angle.cos(), s = angle.sin() / std::sqrt(3.0);
    // Rodrigues about v.
    const at::Tensor cross = matrices({o, -s, s, s, o, -s, -s, s, o}, 3);
    mix = (identity * each(c) + cross + grey * (1 - each(c))).matmul(mix);
    const at::Tensor saturation = each(maybe(at::exp2(normal(1.0)), 1));
    mix = (grey + (identity - grey) * saturation).matmul(mix);
    return at::cat({mix, mix.matmul(offset)}, 2);
  }
};

}  // namespace

void AugmentationOptions::bind(Options& o) {
  o.add("augmentation", kind, "of what the discriminator sees, real and generated alike: none, diffaugment or ada");
  o.add("augmentation_parts", parts,
        "diffaugment: colour, translation, cutout; ada: blit, geometry, colour; empty: all of them");
  o.add("augmentation_start", start, "ada: probability of each change at the start");
  o.add("augmentation_target", target,
        "ada: mean sign of the discriminator's answer to real images at which the probability stays");
  o.add("augmentation_kimg", kimg,
        "ada: thousand images in which the probability can go from 0 to 1; 0: it stays at the start");
}

void AugmentationOptions::validate() const {
  static const std::vector<std::string> kinds = {"none", "diffaugment", "ada"};
  if (std::find(kinds.begin(), kinds.end(), kind) == kinds.end())
    throw UsageError("augmentation = \"{}\", expected none, diffaugment or ada{}", kind, did_you_mean(kind, kinds));
  const std::vector<std::string> known = parts_of(kind);
  for (const std::string& part : parts)
    if (std::find(known.begin(), known.end(), part) == known.end())
      throw UsageError("augmentation_parts holds \"{}\", expected {}", part,
                       known.empty() ? std::string("none with augmentation = \"none\"")
                                     : fmt::format("some of {}", fmt::join(known, ", ")));
  const auto within = [](const char* field, double value, double low, double high) {
    if (!(value >= low && value <= high))
      throw UsageError("{} = {}, expected a number from {} to {}", field, value, low, high);
  };
  within("augmentation_start", start, 0, 1);
  within("augmentation_target", target, -1, 1);
  within("augmentation_kimg", kimg, 0, 1e9);
}

AugmentationImpl::AugmentationImpl(const AugmentationOptions& options) : options_(options) {
  options.validate();
  if (options_.parts.empty()) options_.parts = parts_of(options_.kind);
  if (options_.kind != "ada") return;
  probability_ = register_buffer("probability", torch::full({1}, options.start));
  signs_ = register_buffer("signs", torch::zeros({1}));
  batches_ = register_buffer("batches", torch::zeros({1}));
  images_ = register_buffer("images", torch::zeros({1}));
}

AugmentationDraw AugmentationImpl::draw(const at::Tensor& images, at::Generator& random) const {
  if (!active()) return {};
  const torch::NoGradGuard no_grad;
  TORCH_INTERNAL_ASSERT(images.dim() == 4 && images.size(2) == images.size(3) && images.size(2) >= kMargin,
                        "square images are augmented, of 8 px at least");
  const int64_t n = images.size(0), side = images.size(2);
  const auto options = at::TensorOptions().device(images.device()).dtype(at::kFloat);
  const auto has = [&](const char* part) {
    return std::find(options_.parts.begin(), options_.parts.end(), part) != options_.parts.end();
  };
  AugmentationDraw changes;
  if (options_.kind == "ada") {
    const AdaDraws draws{probability_, random, n, options};
    if (has("blit") || has("geometry")) {
      at::Tensor all = at::eye(3, options).expand({n, 3, 3});
      if (has("blit")) all = draws.blit(all, side);
      if (has("geometry")) all = draws.geometry(all);
      changes.affine = all.narrow(1, 0, 2).contiguous();
    }
    if (has("colour")) changes.colour = draws.colour();
    return changes;
  }
  const auto uniform = [&] { return at::rand({n, 1, 1}, random, options); };
  const auto whole = [&](int64_t low, int64_t high) {
    return at::randint(low, high + 1, {n, 2}, random, options.dtype(at::kLong));
  };
  if (has("colour")) {
    const at::Tensor brightness = uniform() - 0.5, saturation = 2 * uniform();
    const at::Tensor mix = saturation * at::eye(3, options) + (1 - saturation) / 3;
    changes.colour = at::cat({mix, brightness.expand({n, 3, 1})}, 2);
    changes.contrast = uniform().reshape({n}) + 0.5;
  }
  if (has("translation")) {
    const int64_t most = part_of_side(0.125, side);
    changes.shift = whole(-most, most);
  }
  if (has("cutout")) {
    const int64_t hole_px = part_of_side(0.5, side);
    changes.hole = whole(0, side - hole_px % 2) - hole_px / 2;
  }
  return changes;
}

at::Tensor AugmentationImpl::apply(const at::Tensor& images, const AugmentationDraw& changes) const {
  if (!active()) return images;
  const int64_t n = images.size(0), side = images.size(2);
  at::Tensor x = images.to(at::kFloat);
  if (changes.colour.defined())
    x = at::baddbmm(changes.colour.narrow(2, 3, 1), changes.colour.narrow(2, 0, 3), x.reshape({n, 3, side * side}))
            .reshape(images.sizes());
  if (changes.contrast.defined()) {
    const at::Tensor mean = x.mean({1, 2, 3}, true);
    x = mean + (x - mean) * changes.contrast.reshape({-1, 1, 1, 1});
  }
  if (changes.affine.defined()) x = warped(x, changes.affine);
  if (changes.shift.defined()) x = shifted(x, changes.shift);
  if (changes.hole.defined()) x = x * around_hole(changes.hole, side, part_of_side(0.5, side));
  return x;
}

at::Tensor AugmentationImpl::apply_to_map(const at::Tensor& map, const AugmentationDraw& changes) const {
  if (!changes.affine.defined() && !changes.shift.defined()) return map;
  const torch::NoGradGuard no_grad;
  at::Tensor moved = map;
  if (changes.affine.defined()) moved = warped_map(moved, changes.affine);
  if (changes.shift.defined()) moved = shifted(moved, changes.shift);
  return moved.to(map.scalar_type()).contiguous(map.suggest_memory_format());
}

void AugmentationImpl::update(const at::Tensor& real_logits) {
  if (!adapts()) return;
  const torch::NoGradGuard no_grad;
  at::Tensor sign = real_logits.to(at::kFloat).sign().mean();
  auto images = static_cast<double>(real_logits.size(0));
  if (statistics_are_shared()) {
    std::vector<double> sums = {sign.item<double>() * images, images};
    sum_over_ranks(sums);
    sign = torch::full({}, sums[0] / sums[1], sign.options());
    images = sums[1];
  }
  signs_.add_(sign);
  batches_.add_(1);
  images_.add_(images);
  const at::Tensor due = batches_ >= static_cast<double>(kUpdatesPerMove);
  const at::Tensor step = (signs_ / batches_ - options_.target).sign() * images_ / (options_.kimg * 1000);
  probability_.copy_(at::where(due, (probability_ + step).clamp(0, 1), probability_));
  const at::Tensor kept = due.logical_not().to(at::kFloat);
  for (at::Tensor* count : {&signs_, &batches_, &images_}) count->mul_(kept);
}

at::Tensor AugmentationImpl::probability() const {
  return probability_.defined() ? probability_.clone().squeeze() : torch::zeros({});
}

AugmentationImpl& augmentation_of(torch::nn::Module& player) {
  for (const auto& child : player.named_children())
    if (child.key() == "augmentation")
      if (auto* found = dynamic_cast<AugmentationImpl*>(child.value().get())) return *found;
  TORCH_INTERNAL_ASSERT(false, "the player has no child \"augmentation\"");
}

}  // namespace derm::nn
