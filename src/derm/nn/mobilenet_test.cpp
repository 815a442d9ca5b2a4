#include "derm/nn/mobilenet.h"

#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/nn/initialise.h"
#include "derm/tensor/state.h"

namespace derm::nn {
namespace {

TEST(MobileNetV2, HasTheTensorsOfTheFileThatItReads) {
  MobileNetV2 net;
  // The backbone's file has 265 tensors with 2,259,136 values; PyTorch counts batches in each of the 53 norms besides.
  int64_t values = 0, tensors = 0;
  for (const auto& [name, t] : tensor::state_of(*net))
    if (!name.ends_with("num_batches_tracked")) values += t.numel(), ++tensors;
  EXPECT_EQ(tensors, 265);
  EXPECT_EQ(values, 2259136);
  const auto parameters = net->named_parameters();
  EXPECT_EQ(parameters["0.0.weight"].sizes(), (std::vector<int64_t>{32, 3, 3, 3}));
  EXPECT_EQ(parameters["1.conv.0.0.weight"].sizes(), (std::vector<int64_t>{32, 32, 1, 1}));
  EXPECT_EQ(parameters["17.conv.1.0.weight"].sizes(), (std::vector<int64_t>{960, 1, 3, 3}));
  EXPECT_EQ(parameters["17.conv.3.bias"].sizes(), (std::vector<int64_t>{320}));
  EXPECT_EQ(parameters["18.0.weight"].sizes(), (std::vector<int64_t>{1280, 320, 1, 1}));
}

TEST(MobileNetV2, HalvesFiveTimes) {
  MobileNetV2 net;
  at::Generator random = at::detail::createCPUGenerator(1);
  initialise_he(*net, random);
  net->eval();
  torch::NoGradGuard guard;
  const auto levels = net->pyramid(torch::zeros({2, 3, 64, 64}));
  const std::vector<std::pair<int64_t, int64_t>> expected = {{16, 32}, {24, 16}, {32, 8}, {96, 4}, {1280, 2}};
  ASSERT_EQ(levels.size(), expected.size());
  for (size_t i = 0; i < levels.size(); ++i)
    EXPECT_EQ(levels[i].sizes(), (std::vector<int64_t>{2, expected[i].first, expected[i].second, expected[i].second}));
  EXPECT_THROW(net->forward(torch::zeros({1, 3, 48, 64})), UsageError);
}

TEST(ImagenetNormalised, IsZeroAtItsMeanAndOneADeviationAway) {
  auto images = torch::empty({1, 3, 1, 2});
  const double mean[] = {0.485, 0.456, 0.406}, deviation[] = {0.229, 0.224, 0.225};
  for (int64_t c = 0; c < 3; ++c) {
    images[0][c][0][0] = 2 * mean[c] - 1;
    images[0][c][0][1] = 2 * (mean[c] + deviation[c]) - 1;
  }
  const auto y = imagenet_normalised(images);
  EXPECT_LT(y.select(3, 0).abs().max().item<double>(), 1e-6);
  EXPECT_LT((y.select(3, 1) - 1).abs().max().item<double>(), 1e-6);
}

TEST(Resized, AveragesWhereItGetsSmaller) {
  // Antialiased halving of stripes of one pixel leaves their mean, away from the edge.
  const auto stripes = (torch::arange(16) % 2).to(torch::kFloat).reshape({1, 1, 1, 16}).expand({1, 1, 16, 16});
  const auto half = resized(stripes.contiguous(), 8);
  EXPECT_EQ(half.sizes(), (std::vector<int64_t>{1, 1, 8, 8}));
  EXPECT_LT((half.slice(3, 1, 7) - 0.5).abs().max().item<double>(), 1e-5);
  EXPECT_TRUE(resized(stripes, 16).is_same(stripes));
}

}  // namespace
}  // namespace derm::nn
