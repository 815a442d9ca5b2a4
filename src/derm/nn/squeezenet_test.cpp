#include "derm/nn/squeezenet.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/tensor/safetensors.h"

namespace derm::nn {
namespace {

namespace fs = std::filesystem;

/// SqueezeNet 1.1's features, every weight 1 / fan-in and every bias 0: each layer passes the mean of a flat picture
/// on.
tensor::NamedTensors averaging_weights() {
  tensor::NamedTensors weights;
  const auto add = [&](const std::string& name, int64_t out, int64_t in, int64_t kernel) {
    weights.emplace_back(name + ".weight",
                         torch::full({out, in, kernel, kernel}, 1.0 / static_cast<double>(in * kernel * kernel)));
    weights.emplace_back(name + ".bias", torch::zeros({out}));
  };
  add("features.0", 64, 3, 3);
  const int64_t fires[][4] = {{3, 64, 16, 64},   {4, 128, 16, 64},   {6, 128, 32, 128},  {7, 256, 32, 128},
                              {9, 256, 48, 192}, {10, 384, 48, 192}, {11, 384, 64, 256}, {12, 512, 64, 256}};
  for (const auto& [index, in, squeezed, expanded] : fires) {
    const std::string name = "features." + std::to_string(index);
    add(name + ".squeeze", squeezed, in, 1);
    add(name + ".expand1x1", expanded, squeezed, 1);
    add(name + ".expand3x3", expanded, squeezed, 3);
  }
  return weights;
}

struct SqueezeNet : ::testing::Test {
  void SetUp() override {
    folder = fs::temp_directory_path() / ("squeezenet_test_" + std::to_string(::getpid()));
    fs::create_directories(folder);
  }
  void TearDown() override { fs::remove_all(folder); }
  fs::path folder;
};

TEST_F(SqueezeNet, PassesTheMeanOfAFlatPictureThroughAveragingWeights) {
  tensor::write_safetensors(folder / "w.safetensors", averaging_weights());
  SqueezeNetFeatures net(folder / "w.safetensors");
  auto picture = torch::full({2, 3, 128, 128}, 0.5, torch::requires_grad());
  const auto taps = net.forward(picture);
  // (0.5 + 0.03) / 0.458, (0.5 + 0.088) / 0.448 and (0.5 + 0.188) / 0.45, their mean.
  const double mean = (0.53 / 0.458 + 0.588 / 0.448 + 0.688 / 0.45) / 3;
  ASSERT_EQ(taps.size(), 4u);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(taps[i].size(1), SqueezeNetFeatures::kChannels[i]);
    EXPECT_NEAR(taps[i].size(2), 128 / SqueezeNetFeatures::kScale[i], 1);
    const int64_t middle = taps[i].size(2) / 2;
    EXPECT_NEAR(taps[i][1][0][middle][middle].item<double>(), mean, 1e-4) << i;
  }
  taps[3].sum().backward();
  EXPECT_GT(picture.grad().abs().sum().item<double>(), 0);
}

TEST_F(SqueezeNet, NamesWhatIsMissing) {
  auto weights = averaging_weights();
  std::erase_if(weights, [](const auto& w) { return w.first == "features.7.squeeze.bias"; });
  tensor::write_safetensors(folder / "w.safetensors", weights);
  try {
    SqueezeNetFeatures net(folder / "w.safetensors");
    FAIL();
  } catch (const DataError& error) {
    EXPECT_NE(std::string(error.what()).find("features.7.squeeze.bias"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace derm::nn
