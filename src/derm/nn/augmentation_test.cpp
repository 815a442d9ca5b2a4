#include "derm/nn/augmentation.h"

#include <array>

#include <ATen/CPUGeneratorImpl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "derm/base/error.h"

namespace derm::nn {
namespace {

constexpr int64_t kSide = 32;

at::Generator seeded(uint64_t seed) { return at::detail::createCPUGenerator(seed); }

double difference(const at::Tensor& a, const at::Tensor& b) { return (a - b).abs().max().item<double>(); }

/// Smooth pictures [n, 3, kSide, kSide], all different.
at::Tensor pictures(int64_t n) {
  const auto line = torch::linspace(-1, 1, kSide);
  std::vector<at::Tensor> all;
  for (int64_t i = 0; i < n; ++i) {
    const double shift = 0.1 * static_cast<double>(i % 5);
    const auto red = torch::exp(-3 * ((line - shift).square().unsqueeze(0) + (line + 0.2).square().unsqueeze(1))) - 0.4;
    all.push_back(torch::stack({red, 0.5 * red + shift, (line * 0.5).expand({kSide, kSide})}));
  }
  return torch::stack(all);
}

AugmentationOptions ada(double probability, std::vector<std::string> parts = {}) {
  AugmentationOptions options;
  options.kind = "ada";
  options.parts = std::move(parts);
  options.start = probability;
  return options;
}

/// [n, 2, 3] of one matrix.
at::Tensor affine(std::vector<double> values, int64_t n = 1) {
  return torch::tensor(values).to(torch::kFloat).reshape({1, 2, 3}).repeat({n, 1, 1});
}

TEST(Augmentation, OfKindNoneIsTheSameTensorAndDrawsNothing) {
  Augmentation none(AugmentationOptions{});
  at::Generator random = seeded(1);
  const at::Tensor before = random.get_state();
  const at::Tensor x = pictures(2);
  EXPECT_TRUE(none->apply(x, random).is_same(x));
  EXPECT_TRUE(torch::equal(before, random.get_state()));
  none->update(torch::ones({4}));
  EXPECT_TRUE(none->buffers().empty());
  EXPECT_EQ(none->probability().item<double>(), 0);
}

TEST(Ada, AtProbability0GivesTheImageBackTo1e5) {
  Augmentation augment(ada(0));
  at::Generator random = seeded(2), noise = seeded(3);
  const at::Tensor x = torch::rand({4, 3, kSide, kSide}, noise) * 2 - 1;  // white noise: nothing is too fine for it
  EXPECT_LT(difference(augment->apply(x, random), x), 1e-5);
}

TEST(Ada, AtProbability1ChangesEveryImageAndAtAHalfHalfOfThem) {
  at::Generator random = seeded(4);
  const at::Tensor x = pictures(4);
  Augmentation always(ada(1));
  const at::Tensor changed = always->apply(x, random);
  for (int64_t i = 0; i < 4; ++i) EXPECT_GT((changed[i] - x[i]).abs().mean().item<double>(), 0.01);
  Augmentation half(ada(0.5, {"colour"}));
  const at::Tensor many = torch::zeros({4000, 3, 8, 8});
  // On grey 0 only brightness shows.
  const double kept = (half->apply(many, random).abs().amax({1, 2, 3}) < 1e-6).to(torch::kFloat).mean().item<double>();
  EXPECT_NEAR(kept, 0.5, 0.03);  // deviation 0.008
}

TEST(Ada, MirrorsTurnsAndMovesByWholePixelsWithoutLoss) {
  Augmentation augment(ada(1));
  const at::Tensor x = pictures(1);
  AugmentationDraw changes;
  changes.affine = affine({-1, 0, 0, 0, 1, 0});
  EXPECT_LT(difference(augment->apply(x, changes), x.flip({3})), 0.01);
  changes.affine = affine({0, -1, 0, 1, 0, 0});  // row r, column c comes from row c, column S - 1 - r
  EXPECT_LT(difference(augment->apply(x, changes), x.transpose(2, 3).flip({2})), 0.01);
  changes.affine = affine({1, 0, 8.0 / kSide, 0, 1, 0});  // from 4 pixels further right
  const at::Tensor moved = augment->apply(x, changes);
  EXPECT_LT(difference(moved.slice(3, 0, kSide - 4), x.slice(3, 4, kSide)), 1e-5);
  // What comes in is the mirror image.
  EXPECT_LT(difference(moved.slice(3, kSide - 4, kSide), x.slice(3, kSide - 4, kSide).flip({3})), 0.02);
}

TEST(Ada, GeometryAgreesWithNumpyTo1e5) {
  // tools/golden/augmentation.py: the same picture and matrices, pixel by pixel.
  constexpr int64_t kGolden = 16;
  const at::Tensor line = torch::arange(kGolden, torch::kDouble), i = line.unsqueeze(1), j = line.unsqueeze(0);
  const at::Tensor x = (torch::sin(0.37 * (i + 1) * (j + 2)) + 0.5 * torch::cos(0.9 * i - 0.4 * j)).to(torch::kFloat);
  const at::Tensor weights = torch::cos(0.13 * torch::arange(kGolden * kGolden, torch::kDouble));
  struct Case {
    std::vector<double> affine;
    double sum;
    std::array<double, 3> pixels;
  };
  const Case cases[] = {
      {{1, 0, 0, 0, 1, 0}, 1.914063071, {1.174287912, -0.343105179, -0.497497151}},
      {{0.813, -0.517, 0.1037, 0.491, 0.797, -0.0531}, -6.737668585, {0.362936603, 0.783761231, 0.421279056}},
      {{-1.3, 0.2, 0.6, 0.1, 1.4, -0.7}, 1.343171504, {-0.609075304, -0.499198161, 1.244074865}}};
  Augmentation augment(ada(1));
  for (const Case& c : cases) {
    AugmentationDraw changes;
    changes.affine = affine(c.affine);
    const at::Tensor y = augment->apply(x.expand({1, 3, kGolden, kGolden}), changes)[0][1];
    EXPECT_NEAR((y.to(torch::kDouble).flatten() * weights).sum().item<double>(), c.sum, 2e-4);
    EXPECT_NEAR(y[0][0].item<double>(), c.pixels[0], 1e-5);
    EXPECT_NEAR(y[5][9].item<double>(), c.pixels[1], 1e-5);
    EXPECT_NEAR(y[15][2].item<double>(), c.pixels[2], 1e-5);
  }
}

TEST(Ada, MovesTheMapWithTheImage) {
  Augmentation augment(ada(1, {"blit", "geometry"}));
  at::Generator random = seeded(5);
  const at::Tensor x = pictures(16);
  const AugmentationDraw changes = augment->draw(x, random);
  const at::Tensor map = (x.narrow(1, 0, 1) > 0).to(torch::kFloat).contiguous();
  const at::Tensor from_picture = augment->apply(x, changes).narrow(1, 0, 1) > 0;
  const at::Tensor from_map = augment->apply_to_map(map, changes) > 0.5;
  const double both = at::logical_and(from_picture, from_map).sum().item<double>();
  const double either = at::logical_or(from_picture, from_map).sum().item<double>();
  EXPECT_GT(both / either, 0.93);
  EXPECT_GT((augment->apply(x, changes) - x).abs().mean().item<double>(), 0.1);  // and it did move
}

TEST(DiffAugment, MovesByAtMostAnEighthAndPutsGreyIn) {
  AugmentationOptions options;
  options.kind = "diffaugment";
  options.parts = {"translation"};
  Augmentation augment(options);
  at::Generator random = seeded(6);
  const at::Tensor x = torch::ones({200, 3, kSide, kSide});
  const AugmentationDraw changes = augment->draw(x, random);
  EXPECT_EQ(changes.shift.max().item<int64_t>(), 4);
  EXPECT_EQ(changes.shift.min().item<int64_t>(), -4);
  const at::Tensor y = augment->apply(x, changes);
  for (int64_t i = 0; i < 20; ++i) {
    const int64_t down = changes.shift[i][0].item<int64_t>(), right = changes.shift[i][1].item<int64_t>();
    EXPECT_EQ(y[i].sum().item<int64_t>(), 3 * (kSide - std::abs(down)) * (kSide - std::abs(right)));
    EXPECT_EQ(y[i][0][0][kSide / 2].item<double>(), down > 0 ? 0 : 1);
  }
  // A map moves along, to the bit.
  const at::Tensor picture = pictures(200);
  EXPECT_TRUE(torch::equal(augment->apply(picture, changes), augment->apply_to_map(picture, changes)));
}

TEST(DiffAugment, CutsASquareOfHalfTheSideAndLeavesTheMap) {
  AugmentationOptions options;
  options.kind = "diffaugment";
  options.parts = {"cutout"};
  Augmentation augment(options);
  AugmentationDraw changes;
  changes.hole = torch::tensor({{4, 8}, {-6, 30}}, torch::kLong);
  const at::Tensor x = torch::ones({2, 3, kSide, kSide});
  const at::Tensor y = augment->apply(x, changes);
  EXPECT_EQ(y[0].sum().item<int64_t>(), 3 * (kSide * kSide - 16 * 16));
  EXPECT_EQ(y[1].sum().item<int64_t>(), 3 * (kSide * kSide - 10 * 2));  // rows 0 to 9, columns 30 and 31
  EXPECT_EQ(y[0][0][4][8].item<double>(), 0);
  EXPECT_EQ(y[0][0][3][8].item<double>(), 1);
  EXPECT_TRUE(augment->apply_to_map(x, changes).is_same(x));
}

TEST(DiffAugment, ColourChangesAsPublished) {
  AugmentationOptions options;
  options.kind = "diffaugment";
  options.parts = {"colour"};
  Augmentation augment(options);
  at::Generator random = seeded(7);
  const at::Tensor x = pictures(500);
  const AugmentationDraw changes = augment->draw(x, random);
  const at::Tensor y = augment->apply(x, changes);
  // By hand, as Zhao et al. write it: brightness, saturation about each pixel's grey, contrast about the image's mean.
  const at::Tensor brightness = changes.colour.select(2, 3).select(1, 0).reshape({-1, 1, 1, 1});
  const at::Tensor saturation =
      (changes.colour.select(2, 0).select(1, 0) - changes.colour.select(2, 1).select(1, 0)).reshape({-1, 1, 1, 1});
  at::Tensor expected = x + brightness;
  const at::Tensor grey = expected.mean(1, true);
  expected = (expected - grey) * saturation + grey;
  const at::Tensor mean = expected.mean({1, 2, 3}, true);
  expected = (expected - mean) * changes.contrast.reshape({-1, 1, 1, 1}) + mean;
  EXPECT_LT(difference(y, expected), 1e-5);
  EXPECT_NEAR(brightness.mean().item<double>(), 0, 0.05);  // -0.5 to 0.5
  EXPECT_NEAR(saturation.mean().item<double>(), 1, 0.1);   // 0 to 2
  EXPECT_GE(changes.contrast.min().item<double>(), 0.5);
  EXPECT_LE(changes.contrast.max().item<double>(), 1.5);
}

TEST(Augmentation, RepeatsWithItsGeneratorAndDiffersWithAnother) {
  for (const char* kind : {"ada", "diffaugment"}) {
    AugmentationOptions options = ada(0.8);
    options.kind = kind;
    Augmentation augment(options);
    const at::Tensor x = pictures(4);
    at::Generator a = seeded(8), b = seeded(8), c = seeded(9);
    const at::Tensor first = augment->apply(x, a);
    EXPECT_EQ(first.sizes(), x.sizes());
    EXPECT_TRUE(torch::equal(first, augment->apply(x, b))) << kind;
    EXPECT_GT((first - augment->apply(x, c)).abs().mean().item<double>(), 0.01) << kind;
  }
}

TEST(Augmentation, HandsGradientsBackAsTheTransposeAndTwice) {
  // Without contrast every change is affine: <A(x + d) - A(x), y> = <d, gradient of <A(x), y>>.
  for (const char* kind : {"ada", "diffaugment"}) {
    AugmentationOptions options = ada(1);
    options.kind = kind;
    Augmentation augment(options);
    at::Generator random = seeded(10);
    const at::Tensor x = pictures(3).requires_grad_();
    AugmentationDraw changes = augment->draw(x, random);
    changes.contrast = at::Tensor();
    const at::Tensor d = torch::randn(x.sizes(), random), y = torch::randn(x.sizes(), random);
    const auto product = [](const at::Tensor& a, const at::Tensor& b) { return (a * b).sum(); };
    const at::Tensor out = augment->apply(x, changes);
    const at::Tensor g = torch::autograd::grad({product(out, y)}, {x}, {}, true)[0];
    const double through = (product(augment->apply(x + d, changes), y) - product(out, y)).item<double>();
    EXPECT_NEAR(through, product(d, g).item<double>(), 1e-3 * (1 + std::abs(through))) << kind;
    EXPECT_GT(g.abs().sum().item<double>(), 1) << kind;

    // A penalty on the gradient of w * mean(A(x)^2) is quadratic in w: its own derivative at w = 1 is twice its value.
    const at::Tensor w = torch::ones({1}).requires_grad_();
    const at::Tensor score = (w * augment->apply(x, changes).square()).sum();
    const at::Tensor slope = torch::autograd::grad({score}, {x}, {}, true, true)[0];
    const at::Tensor penalty = slope.square().sum();
    const at::Tensor by_w = torch::autograd::grad({penalty}, {w}, {}, true)[0];
    EXPECT_NEAR(by_w.item<double>(), 2 * penalty.item<double>(), 1e-3 * penalty.item<double>()) << kind;
    // |2 A^T A x|^2 is quadratic in the picture too, where colour adds nothing: x . gradient = 2 penalty.
    changes.colour = at::Tensor();
    const at::Tensor plain = augment->apply(x, changes).square().sum();
    const at::Tensor norm = torch::autograd::grad({plain}, {x}, {}, true, true)[0].square().sum();
    const at::Tensor by_x = torch::autograd::grad({norm}, {x})[0];
    EXPECT_NEAR(product(x, by_x).item<double>(), 2 * norm.item<double>(), 1e-3 * norm.item<double>()) << kind;
  }
}

TEST(Ada, ProbabilityFollowsTheDiscriminatorEveryFourthBatch) {
  AugmentationOptions options = ada(0);
  options.kimg = 1;
  Augmentation augment(options);
  for (int i = 0; i < 3; ++i) augment->update(torch::ones({8, 1}));
  EXPECT_EQ(augment->probability().item<double>(), 0);
  augment->update(torch::ones({8, 1}));  // 32 images of 1,000
  EXPECT_NEAR(augment->probability().item<double>(), 0.032, 1e-7);
  for (int i = 0; i < 8; ++i) augment->update(-torch::ones({8, 1}));
  EXPECT_EQ(augment->probability().item<double>(), 0);  // it would be -0.032
  for (int i = 0; i < 200; ++i) augment->update(torch::ones({8, 1}));
  EXPECT_EQ(augment->probability().item<double>(), 1);
  // 9 of 10 real images recognised: a mean sign of 0.8 is above the target of 0.6; 7 of 10: 0.4 is below.
  at::Tensor answers = torch::ones({10, 1});
  answers[0] = -1;
  augment = Augmentation(ada(0.5));
  for (int i = 0; i < 4; ++i) augment->update(answers);
  EXPECT_NEAR(augment->probability().item<double>(), 0.5 + 40 / 500e3, 1e-7);
  answers.slice(0, 0, 3).fill_(-1);
  for (int i = 0; i < 4; ++i) augment->update(answers);
  EXPECT_NEAR(augment->probability().item<double>(), 0.5, 1e-7);
}

TEST(Ada, KeepsAllItsStateInBuffers) {
  AugmentationOptions options = ada(0.2);
  options.kimg = 0.1;
  Augmentation straight(options), resumed(options);
  for (int i = 0; i < 6; ++i) straight->update(torch::ones({4, 1}));
  for (const auto& item : straight->named_buffers()) resumed->named_buffers()[item.key()].copy_(item.value());
  for (int i = 0; i < 6; ++i) {
    straight->update(torch::ones({4, 1}));
    resumed->update(torch::ones({4, 1}));
  }
  EXPECT_TRUE(torch::equal(straight->probability(), resumed->probability()));
  EXPECT_NEAR(straight->probability().item<double>(), 0.2 + 48 / 100.0, 1e-6);
  torch::nn::Module player;
  player.register_module("augmentation", straight.ptr());
  EXPECT_EQ(&augmentation_of(player), straight.get());
  EXPECT_THROW(augmentation_of(*resumed), c10::Error);
}

TEST(Augmentation, OptionsThatCannotBeAreNamed) {
  const auto refused = [](auto change) {
    AugmentationOptions options = ada(0.1);
    change(options);
    try {
      options.validate();
    } catch (const UsageError& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  EXPECT_EQ(refused([](auto&) {}), "accepted");
  EXPECT_THAT(refused([](auto& o) { o.kind = "difaugment"; }), testing::HasSubstr("diffaugment"));
  EXPECT_THAT(refused([](auto& o) { o.parts = {"cutout"}; }), testing::HasSubstr("blit, geometry, colour"));
  EXPECT_THAT(refused([](auto& o) { o.start = 1.5; }), testing::HasSubstr("augmentation_start = 1.5"));
  EXPECT_THAT(refused([](auto& o) { o.target = 2; }), testing::HasSubstr("augmentation_target"));
  EXPECT_THAT(refused([](auto& o) { o.kimg = -1; }), testing::HasSubstr("augmentation_kimg"));
  EXPECT_THAT(refused([](auto& o) {
                o.kind = "none";
                o.parts = {"colour"};
              }),
              testing::HasSubstr("augmentation_parts"));
}

}  // namespace
}  // namespace derm::nn
