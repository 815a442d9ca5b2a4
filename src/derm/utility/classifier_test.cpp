// The classifiers against implementations of their own in Python, and their training.
#include "derm/utility/classifier.h"

#include <ATen/CPUGeneratorImpl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/metrics/testing/python.h"
#include "derm/nn/mobilenet.h"
#include "derm/nn/resnet.h"
#include "derm/tensor/state.h"

namespace derm::utility {
namespace {

double relative(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>() / b.abs().max().item<double>();
}

/// Loads Python's weights by name, and compares stages, logits and gradients.
void compare_with_python(const std::string& network, size_t parameters) {
  const metrics::testing::Folder folder;
  const auto file = folder.path() / (network + ".pth");
  if (!metrics::testing::python("classifiers.py", network + " " + file.string()))
    GTEST_SKIP() << "there is no python3-torch here";
  const tensor::WeightsFile weights = tensor::read_weights(file);
  const auto& golden = weights.state.tensors;
  ClassifierOptions options;
  options.network = network;
  options.weights = file.string();
  options.dropout = 0;
  at::Generator random = at::detail::createCPUGenerator(1);
  const auto made = make_network(options, 5, random, &weights);
  made->module().eval();
  const at::Tensor input = golden.at("golden.input");
  {
    const torch::NoGradGuard guard;
    std::vector<at::Tensor> stages;
    if (auto* resnet = dynamic_cast<nn::ResNet50Impl*>(made.get())) {
      stages = resnet->pyramid(input);
    } else {
      nn::MobileNetV2 features(true, /*first_expands=*/false);
      ASSERT_TRUE(tensor::load_matching(*features, weights.state, "features.").size() == 52u);  // counters of the norms
      features->eval();
      stages = features->pyramid(input);
    }
    for (size_t i = 0; i < stages.size(); ++i)
      EXPECT_LT(relative(stages[i], golden.at(fmt::format("golden.stage{}", i))), 1e-4) << "stage " << i;
    EXPECT_EQ(golden.count(fmt::format("golden.stage{}", stages.size())), 0u);
    EXPECT_LT(relative(made->logits(input), golden.at("golden.logits")), 1e-4);
  }
  // In eval mode: in train mode ReLUs at their edge behind 50 batch norms over 16 values make gradients in fp32
  // chaotic. Some stay at the edge; a layer that is wrong is off by 1.
  made->logits(input).square().mean().backward();
  size_t compared = 0;
  for (const auto& parameter : made->module().named_parameters()) {
    const at::Tensor& expected = golden.at("gradient." + parameter.key());
    EXPECT_LT(relative(parameter.value().grad(), expected), 5e-2) << parameter.key();
    ++compared;
  }
  EXPECT_EQ(compared, parameters);
  const torch::NoGradGuard guard;
  made->module().train();
  EXPECT_LT(relative(made->logits(input), golden.at("golden.train")), 1e-3);
}

TEST(MobileNetV2, IsTorchvisionsByNameStageForStage) { compare_with_python("mobilenet_v2", 158); }
TEST(ResNet50, IsTorchvisionsByNameStageForStage) { compare_with_python("resnet50", 161); }

TEST(Network, RefusesWeightsOfAnother) {
  tensor::WeightsFile other;
  other.state.tensors["conv1.weight"] = torch::zeros({64, 3, 7, 7});
  ClassifierOptions options;
  options.weights = "other.pth";
  at::Generator random = at::detail::createCPUGenerator(1);
  EXPECT_THROW(make_network(options, 3, random, &other), DataError);
}

/// Stripes across (0) or down (1) under noise.
Pictures stripes(int64_t count, double noise, uint64_t seed) {
  at::Generator random = at::detail::createCPUGenerator(seed);
  Pictures pictures;
  for (int64_t i = 0; i < count; ++i) {
    const at::Tensor wave = (torch::arange(32).remainder(4) < 2).to(torch::kFloat) * 60 - 30;
    const at::Tensor base = i % 2 ? wave.reshape({1, 1, 32}) : wave.reshape({1, 32, 1});
    const at::Tensor picture = 128 + base + noise * torch::randn({3, 32, 32}, random);
    pictures.pixels.push_back(picture.clamp(0, 255).to(torch::kUInt8));
    pictures.label.push_back(i % 2);
  }
  return pictures;
}

ClassifierOptions small_options() {
  ClassifierOptions options;
  options.network = "small";
  options.steps = 40;
  options.batch = 8;
  options.validate_every = 10;
  options.lr = 5e-3;
  options.dropout = 0;
  return options;
}

TEST(TrainClassifier, LearnsAndRepeatsItselfByItsSeed) {
  const Pictures train = stripes(32, 30, 1), validation = stripes(16, 30, 2), test = stripes(64, 30, 3);
  const tensor::ComputePolicy policy;
  const auto train_once = [&](uint64_t seed, const std::string& loss) {
    ClassifierOptions options = small_options();
    options.loss = loss;
    Trained trained = train_classifier(train, validation, 2, std::nullopt, options, seed, nullptr, policy, "test");
    EXPECT_EQ(trained.validation.size(), 4u);
    EXPECT_EQ(trained.validation.back().first, 40);
    return probabilities(trained, test.pixels, policy);
  };
  const auto p = train_once(7, "balanced");
  ASSERT_EQ(p.size(), 128u);
  int right = 0;
  for (size_t i = 0; i < 64; ++i) {
    EXPECT_NEAR(p[2 * i] + p[2 * i + 1], 1.0, 1e-9);
    right += (p[2 * i + 1] > 0.5) == (test.label[i] == 1);
  }
  EXPECT_GE(right, 60);
  EXPECT_EQ(p, train_once(7, "balanced"));
  EXPECT_NE(p, train_once(8, "balanced"));
  const auto focal = train_once(7, "focal");
  EXPECT_NE(p, focal);
  right = 0;
  for (size_t i = 0; i < 64; ++i) right += (focal[2 * i + 1] > 0.5) == (test.label[i] == 1);
  EXPECT_GE(right, 60);
}

TEST(TrainClassifier, KeepsTheWeightsThatDidBestOnValidation) {
  // Validation labels are the training's turned round: every step of learning makes it worse.
  const Pictures train = stripes(32, 10, 1);
  Pictures turned = stripes(16, 10, 2);
  for (int64_t& label : turned.label) label = 1 - label;
  ClassifierOptions options = small_options();
  Trained trained = train_classifier(train, turned, 2, std::nullopt, options, 7, nullptr, {}, "test");
  EXPECT_EQ(trained.best_step, 10);
  EXPECT_EQ(trained.validation_nll, trained.validation.front().second);
  EXPECT_GT(trained.validation.back().second, trained.validation.front().second);
}

TEST(TrainClassifier, SeesViewsWhereAsked) {
  const Pictures train = stripes(16, 10, 1), validation = stripes(8, 10, 2);
  const auto with = [&](const std::optional<nn::ViewOptions>& view) {
    Trained trained = train_classifier(train, validation, 2, view, small_options(), 7, nullptr, {}, "test");
    return probabilities(trained, validation.pixels, {});
  };
  nn::ViewOptions view;
  view.turn_deg = 10;
  EXPECT_NE(with(std::nullopt), with(view));
  EXPECT_EQ(with(view), with(view));
}

TEST(Networks, TrainInBf16) {
  const Pictures train = stripes(8, 10, 1), validation = stripes(4, 10, 2);
  tensor::ComputePolicy policy;
  policy.dtype = torch::kBFloat16;
  for (const char* network : {"mobilenet_v2", "resnet50", "small"}) {
    ClassifierOptions options = small_options();
    options.network = network;
    options.steps = options.validate_every = 1;
    options.batch = 4;
    Trained trained = train_classifier(train, validation, 2, std::nullopt, options, 1, nullptr, policy, network);
    for (const double p : probabilities(trained, validation.pixels, policy)) EXPECT_TRUE(std::isfinite(p)) << network;
  }
}

}  // namespace
}  // namespace derm::utility
