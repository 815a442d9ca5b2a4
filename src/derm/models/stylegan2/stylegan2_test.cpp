#include "derm/models/stylegan2/stylegan2.h"

#include <cmath>

#include <ATen/CPUGeneratorImpl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/models/stylegan2/networks.h"

namespace derm::models {
namespace {

struct Networks {
  StyleGan2Shape shape{.size_px = 32, .width = 4, .width_most = 16, .latent = 8, .classes = 3};
  StyleGan2Generator generator{shape};
  StyleGan2Discriminator discriminator{shape};
  at::Generator random = at::detail::createCPUGenerator(3);
  at::Tensor latent, label = torch::tensor({0, 1, 2, 1});
  Networks() {
    generator.reset(random);
    nn::initialise_equalised(discriminator, random);
    latent = torch::randn({4, 8}, random);
    // As training would leave it: noise counts.
    torch::NoGradGuard guard;
    for (auto& item : generator.named_parameters())
      if (item.key().ends_with("noise_strength")) item.value().fill_(0.3);
  }
};

TEST(StyleGan2, HasTwoStylesASizeAndTheirMatrices) {
  Networks n;
  EXPECT_EQ(n.generator.style_layers(), 8);  // 4, 8, 16, 32 px
  EXPECT_EQ(n.generator.style_length(), 8);
  const auto w = n.generator.map(n.latent, n.label);
  EXPECT_EQ(w.sizes(), (std::vector<int64_t>{4, 8, 8}));
  EXPECT_TRUE(torch::equal(w.select(1, 0), w.select(1, 7)));
  const auto weights = n.generator.style_weights();
  ASSERT_EQ(weights.size(), 8u);
  EXPECT_EQ(weights[0].size(0), 16);       // 4 px: one convolution
  EXPECT_EQ(weights[1].size(0), 16 + 16);  // the picture at 4 px, and the convolution that doubles
  EXPECT_EQ(weights[2].size(0), 16);
  EXPECT_EQ(weights[7].size(0), 4);  // the last picture
  for (const auto& matrix : weights) EXPECT_EQ(matrix.size(1), 8);
}

TEST(StyleGan2, ADirectionThatAMatrixDoesNotSeeChangesNothing) {
  // Only w[:, 7] moves, along what its matrix [4, 8] maps to 0.
  Networks n;
  torch::NoGradGuard guard;
  const auto w = n.generator.map(n.latent, n.label).clone();
  const auto matrix = n.generator.style_weights()[7];
  const auto v = std::get<2>(torch::linalg_svd(matrix, /*full_matrices=*/true, c10::nullopt));  // [8, 8]
  auto unseen = w.clone(), seen = w.clone();
  unseen.select(1, 7).add_(v[7] * 10);
  seen.select(1, 7).add_(v[0] * 10);
  const auto image = n.generator.synthesise(w, at::kFloat);
  EXPECT_LT((n.generator.synthesise(unseen, at::kFloat) - image).abs().max().item<double>(), 1e-4);
  EXPECT_GT((n.generator.synthesise(seen, at::kFloat) - image).abs().max().item<double>(), 0.1);
}

TEST(StyleGan2, EqualStylesGiveEqualImagesAndTrainingDrawsFreshNoise) {
  Networks n;
  torch::NoGradGuard guard;
  const auto w = n.generator.map(n.latent, n.label);
  EXPECT_TRUE(torch::equal(n.generator.synthesise(w, at::kFloat), n.generator.synthesise(w, at::kFloat)));
  const auto a = n.generator.draw(w, at::kFloat, n.random), b = n.generator.draw(w, at::kFloat, n.random);
  EXPECT_GT((a - b).abs().mean().item<double>(), 0.01);
}

TEST(StyleGan2, TruncationLeadsToTheAverageOfTheClass) {
  Networks n;
  torch::NoGradGuard guard;
  for (int i = 0; i < 3; ++i) n.generator.note_styles(n.generator.map(n.latent, n.label), n.label);
  // Label 1 stands for two of the latents: the mean of their styles.
  const auto w = n.generator.map(n.latent, n.label).select(1, 0);
  const auto average = n.generator.average_style(torch::tensor({1}));
  EXPECT_LT((average[0] - 0.5 * (w[1] + w[3])).abs().max().item<double>(), 1e-5);
  tensor::Inputs inputs;
  inputs.latent = n.latent;
  inputs.label = n.label;
  const auto plain = n.generator.generate(inputs);
  n.generator.set_truncation(0);
  const auto middle = n.generator.generate(inputs);
  EXPECT_LT((middle[1] - middle[3]).abs().max().item<double>(), 1e-5);  // one class, one image
  EXPECT_GT((middle[0] - middle[1]).abs().mean().item<double>(), 1e-3);
  n.generator.set_truncation(0.5);
  EXPECT_GT((n.generator.generate(inputs) - plain).abs().mean().item<double>(), 1e-4);
  n.generator.set_truncation(1);
  EXPECT_TRUE(torch::equal(n.generator.generate(inputs), plain));
}

TEST(StyleGan2, TheImageIsTwiceDifferentiableInTheStyles) {
  // The gradient of a path length against central differences, through the layers that work in place.
  Networks n;
  n.generator.to(at::kDouble);
  const auto base = n.generator.map(n.latent.to(at::kDouble), n.label).to(at::kDouble).detach().slice(0, 0, 1).clone();
  const auto noise = torch::randn({1, 3, 32, 32}, n.random, at::kDouble);
  const auto length = [&](const at::Tensor& w) {
    const auto images = n.generator.draw(w, at::kDouble, {});
    const auto g = torch::autograd::grad({(images.to(at::kDouble) * noise).sum()}, {w}, {}, true, true)[0];
    return g.square().sum().sqrt();
  };
  const auto w = base.clone().set_requires_grad(true);
  const auto gradient = torch::autograd::grad({length(w)}, {w})[0];
  const auto direction = torch::randn(base.sizes(), n.random, at::kDouble);
  const double step = 1e-7;  // so short that hardly a leaky ReLU bends within it: there the gradient jumps
  const auto value = [&](double t) { return length((base + t * direction).set_requires_grad(true)).item<double>(); };
  const double difference = (value(step) - value(-step)) / (2 * step),
               ours = (gradient * direction).sum().item<double>();
  EXPECT_NEAR(ours, difference, 0.01 * std::abs(difference) + 1e-3);
}

TEST(StyleGan2, TheDiscriminatorTellsClassesApart) {
  Networks n;
  const auto images = torch::randn({2, 3, 32, 32}, n.random);
  const auto zero = n.discriminator.forward(images, torch::tensor({0, 0}));
  EXPECT_EQ(zero.sizes(), (std::vector<int64_t>{2}));
  EXPECT_GT((n.discriminator.forward(images, torch::tensor({1, 1})) - zero).abs().min().item<double>(), 1e-4);
}

TEST(StyleGan2, LazyRegularisationKeepsThePaceOfAdam) {
  recipe::Catalogue catalogue;
  register_stylegan2(catalogue);
  auto recipe = catalogue.make("stylegan2");
  Options options;
  recipe->bind(options);
  for (const char* assignment : {"lr=0.0017", "r1_every=16", "path_every=0"}) options.set(assignment);
  EXPECT_NEAR(recipe->optimiser("discriminator").lr, 0.0016, 1e-9);  // 16 / 17
  EXPECT_NEAR(recipe->optimiser("discriminator").beta2, std::pow(0.99, 16.0 / 17), 1e-12);
  EXPECT_EQ(recipe->optimiser("generator").lr, 0.0017);
  options.set("style_mixing=1.5");
  EXPECT_THROW(recipe->validate(recipe::image_spec(*recipe, 64, {"nevus"})), UsageError);
}

}  // namespace
}  // namespace derm::models
