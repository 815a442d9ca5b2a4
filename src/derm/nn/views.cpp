#include "derm/nn/views.h"

#include <cmath>
#include <numbers>

#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/nn/mobilenet.h"

namespace derm::nn {
namespace {

/// [N] evenly from [low, high).
at::Tensor uniform(int64_t n, double low, double high, at::Generator& random, const at::Device& device) {
  return at::rand({n}, random, at::TensorOptions().device(device)) * (high - low) + low;
}

at::Tensor per_image(const at::Tensor& t) { return t.reshape({-1, 1, 1, 1}); }

/// A Gaussian of each image's own sigma, by two depthwise convolutions of one common width.
at::Tensor blurred(const at::Tensor& images, const at::Tensor& sigma, double most) {
  const int64_t n = images.size(0), c = images.size(1), radius = std::max<int64_t>(1, std::lround(2.5 * most));
  const at::Tensor at = at::arange(-radius, radius + 1, images.options()).reshape({1, -1});
  at::Tensor kernel = at::exp(-at.square() / (2 * sigma.reshape({-1, 1}).clamp_min(0.05).square()));
  kernel = (kernel / kernel.sum(1, true)).unsqueeze(1).expand({n, c, 2 * radius + 1}).flatten(0, 1);  // [N C, 2r+1]
  const at::Tensor flat = at::replication_pad2d(images, {radius, radius, radius, radius})
                              .reshape({1, n * c, images.size(2) + 2 * radius, -1});
  const at::Tensor rows = at::conv2d(flat, kernel.reshape({n * c, 1, 1, -1}), {}, at::IntArrayRef{1, 1},
                                     at::IntArrayRef{0, 0}, at::IntArrayRef{1, 1}, n * c);
  return at::conv2d(rows, kernel.reshape({n * c, 1, -1, 1}), {}, at::IntArrayRef{1, 1}, at::IntArrayRef{0, 0},
                    at::IntArrayRef{1, 1}, n * c)
      .reshape(images.sizes());
}

/// [64, 64]: the two-dimensional DCT-II of an 8x8 block, orthonormal; rows are frequencies.
at::Tensor dct_matrix() {
  at::Tensor one = torch::empty({8, 8});
  for (int64_t k = 0; k < 8; ++k)
    for (int64_t i = 0; i < 8; ++i)
      one[k][i] = (k == 0 ? std::sqrt(0.125) : 0.5) *
                  std::cos((2 * static_cast<double>(i) + 1) * static_cast<double>(k) * std::numbers::pi / 16);
  return at::kron(one, one);
}

/// [N, 1, H, W] through the quantiser: `table` [64], `scale` [N].
at::Tensor quantised(const at::Tensor& plane, const at::Tensor& table, const at::Tensor& scale) {
  static const at::Tensor dct = dct_matrix();
  const int64_t n = plane.size(0), rows = plane.size(2) / 8, columns = plane.size(3) / 8;
  const at::Tensor matrix = dct.to(plane.device());
  const at::Tensor blocks =
      plane.reshape({n, rows, 8, columns, 8}).permute({0, 1, 3, 2, 4}).reshape({n, rows * columns, 64});
  const at::Tensor step = ((table * scale.reshape({-1, 1}) + 50) / 100).floor().clamp(1, 255).unsqueeze(1);
  const at::Tensor kept = at::round(at::matmul(blocks, matrix.t()) / step) * step;
  return at::matmul(kept, matrix)
      .reshape({n, rows, columns, 8, 8})
      .permute({0, 1, 3, 2, 4})
      .reshape({n, 1, 8 * rows, 8 * columns});
}

}  // namespace

void ViewOptions::bind(Options& o) {
  o.add("view_least_side", least_side, "least side of the square cut out of the picture, over the picture's");
  o.add("view_most_side", most_side, "its greatest side; beyond 1 the picture is continued by its mirror image");
  o.add("view_stretch", stretch, "the sides differ by a factor of up to exp of this");
  o.add("view_turn_deg", turn_deg, "turned by up to this, either way");
  o.add("view_light", light, "strength of changes of brightness, contrast and gamma");
  o.add("view_colour", colour, "strength of changes of saturation and white balance");
  o.add("view_blur_px", blur_px, "greatest sigma of the blur of every other image");
  o.add("view_noise", noise, "greatest deviation of the noise of every other image, of a range of 2");
  o.add("view_jpeg", jpeg, "share of images that are compressed as JPEG does it");
}

void ViewOptions::validate() const {
  const auto within = [](const char* field, double value, double low, double high) {
    if (!(value >= low && value <= high))
      throw UsageError("{} = {}, expected a number from {} to {}", field, value, low, high);
  };
  within("view_least_side", least_side, 0.1, 2);
  within("view_most_side", most_side, least_side, 2);
  within("view_stretch", stretch, 0, 1);
  within("view_turn_deg", turn_deg, 0, 180);
  within("view_light", light, 0, 1);
  within("view_colour", colour, 0, 1);
  within("view_blur_px", blur_px, 0, 8);
  within("view_noise", noise, 0, 1);
  within("view_jpeg", jpeg, 0, 1);
}

at::Tensor jpeg_compressed(const at::Tensor& images, const at::Tensor& quality) {
  // Tables K.1 and K.2.
  static const at::Tensor luma = torch::tensor(
      {16.f, 11.f, 10.f, 16.f, 24.f,  40.f,  51.f,  61.f,  12.f, 12.f, 14.f, 19.f, 26.f,  58.f,  60.f,  55.f,
       14.f, 13.f, 16.f, 24.f, 40.f,  57.f,  69.f,  56.f,  14.f, 17.f, 22.f, 29.f, 51.f,  87.f,  80.f,  62.f,
       18.f, 22.f, 37.f, 56.f, 68.f,  109.f, 103.f, 77.f,  24.f, 35.f, 55.f, 64.f, 81.f,  104.f, 113.f, 92.f,
       49.f, 64.f, 78.f, 87.f, 103.f, 121.f, 120.f, 101.f, 72.f, 92.f, 95.f, 98.f, 112.f, 100.f, 103.f, 99.f});
  static const at::Tensor chroma =
      torch::tensor({17.f, 18.f, 24.f, 47.f, 99.f, 99.f, 99.f, 99.f, 18.f, 21.f, 26.f, 66.f, 99.f, 99.f, 99.f, 99.f,
                     24.f, 26.f, 56.f, 99.f, 99.f, 99.f, 99.f, 99.f, 47.f, 66.f, 99.f, 99.f, 99.f, 99.f, 99.f, 99.f,
                     99.f, 99.f, 99.f, 99.f, 99.f, 99.f, 99.f, 99.f, 99.f, 99.f, 99.f, 99.f, 99.f, 99.f, 99.f, 99.f,
                     99.f, 99.f, 99.f, 99.f, 99.f, 99.f, 99.f, 99.f, 99.f, 99.f, 99.f, 99.f, 99.f, 99.f, 99.f, 99.f});
  if (images.dim() != 4 || images.size(1) != 3 || images.size(2) % 16 != 0 || images.size(3) % 16 != 0)
    throw UsageError("jpeg_compressed takes images [N, 3, H, W] whose sides are multiples of 16, got {}",
                     fmt::join(images.sizes(), " x "));
  const at::Tensor scale = at::where(quality < 50, 5000 / quality, 200 - 2 * quality);
  const at::Tensor rgb = (images + 1) * 127.5;
  const at::Tensor r = rgb.narrow(1, 0, 1), g = rgb.narrow(1, 1, 1), b = rgb.narrow(1, 2, 1);
  const at::Tensor y = 0.299 * r + 0.587 * g + 0.114 * b;
  const auto coarse = [&](const at::Tensor& plane) {
    const at::Tensor kept = quantised(at::avg_pool2d(plane, {2, 2}), chroma.to(plane.device()), scale);
    return at::upsample_nearest2d(kept, {plane.size(2), plane.size(3)});
  };
  const at::Tensor cb = coarse((b - y) * 0.564), cr = coarse((r - y) * 0.713);
  const at::Tensor light = quantised(y - 128, luma.to(y.device()), scale) + 128;
  const at::Tensor out = at::cat(
      {light + cr / 0.713, light - (0.299 / 0.713 / 0.587) * cr - (0.114 / 0.564 / 0.587) * cb, light + cb / 0.564}, 1);
  return (out / 127.5 - 1).clamp(-1, 1);
}

View draw_view(const at::Tensor& images, const at::Tensor& region, int64_t size_px, const ViewOptions& options,
               at::Generator& random) {
  const torch::NoGradGuard no_grad;
  const int64_t n = images.size(0);
  const at::Device device = images.device();
  const auto draw = [&](double low, double high) { return uniform(n, low, high, random, device); };

  // The square: side, direction, place. A square of side up to 1 stays inside unless it is turned over an edge; a
  // larger one is centred within what it can be off.
  const at::Tensor side = draw(options.least_side, options.most_side);
  const at::Tensor ratio = at::exp(draw(-options.stretch / 2, options.stretch / 2));
  const double most_turn = options.turn_deg * std::numbers::pi / 180;
  const at::Tensor turn = draw(-most_turn, most_turn), mirror = at::sign(draw(-1, 1) + 1e-9);
  const at::Tensor room = (1 - side).abs();
  const at::Tensor x = room * draw(-1, 1), y = room * draw(-1, 1);
  const at::Tensor sx = side * ratio, sy = side / ratio, c = at::cos(turn), s = at::sin(turn);
  const at::Tensor theta =
      at::stack({at::stack({mirror * sx * c, -sy * s, x}, 1), at::stack({mirror * sx * s, sy * c, y}, 1)}, 1);
  const at::Tensor grid = at::affine_grid_generator(theta, {n, 3, size_px, size_px}, /*align_corners=*/false);
  const auto moved = [&](const at::Tensor& t) {
    // Sampling at points aliases where the picture is much finer than the view.
    const auto finest = static_cast<int64_t>(1.25 * static_cast<double>(size_px));
    const at::Tensor source = t.size(2) > finest ? resized(t, finest) : t.to(at::kFloat);
    return at::grid_sampler(source, grid, /*bilinear*/ 0, /*reflection*/ 2, /*align_corners=*/false);
  };
  View view{.image = moved(images), .region = region.defined() ? moved(region) : at::Tensor()};

  at::Tensor& image = view.image;
  if (options.light > 0 || options.colour > 0) {
    const double l = options.light, k = options.colour;
    const at::Tensor gamma = at::exp(draw(-l / 2, l / 2)), contrast = at::exp(draw(-l / 2, l / 2));
    const at::Tensor brightness = draw(-l / 2, l / 2), saturation = at::exp(draw(-k, k));
    const at::Tensor gain =
        at::exp((at::rand({n, 3}, random, image.options()) - 0.5) * (0.5 * k)).reshape({n, 3, 1, 1});
    at::Tensor rgb = ((image + 1) / 2).clamp_min(1e-4) * gain;
    const at::Tensor grey = rgb.mean(1, true);
    rgb = (grey + per_image(saturation) * (rgb - grey)).clamp(1e-4, 1).pow(per_image(gamma));
    const at::Tensor middle = rgb.mean({1, 2, 3}, true);
    image = (middle + per_image(contrast) * (rgb - middle)) * 2 - 1 + per_image(brightness);
  }
  if (options.blur_px > 0) {
    const at::Tensor sigma = at::relu(draw(-options.blur_px, options.blur_px));
    image = blurred(image, sigma, options.blur_px);
  }
  if (options.noise > 0) {
    const at::Tensor deviation = at::relu(draw(-options.noise, options.noise));
    image = image + per_image(deviation) * at::randn(image.sizes(), random, image.options());
  }
  image = image.clamp(-1, 1);
  if (options.jpeg > 0) {
    const at::Tensor chosen = draw(0, 1) < options.jpeg, quality = draw(30, 90);
    image = at::where(per_image(chosen), jpeg_compressed(image, quality), image);
  }
  return view;
}

}  // namespace derm::nn
