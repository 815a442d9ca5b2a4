// The FID Inception against another implementation (tools/golden/inception.py).
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/metrics/extractor.h"
#include "derm/metrics/frechet.h"
#include "derm/metrics/testing/python.h"
#include "derm/tensor/policy.h"
#include "derm/tensor/safetensors.h"

namespace derm::metrics {
namespace {

using ::testing::HasSubstr;

double largest_difference(const at::Tensor& a, const at::Tensor& b) { return (a - b).abs().max().item<double>(); }

at::Tensor as_images(const at::Tensor& bytes) { return bytes.to(at::kFloat) / 127.5 - 1; }

std::string refusal(const InceptionOptions& options) {
  try {
    inception_extractor(options);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

/// Random weights in pytorch-fid's layout, written by Python, and what they give.
class RandomInception : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = std::make_unique<testing::Folder>();
    if (!testing::python("inception.py", "random " + folder_->path().string())) folder_.reset();
  }
  static void TearDownTestSuite() { folder_.reset(); }
  void SetUp() override {
    if (!folder_) GTEST_SKIP() << "there is no Python with torch and PIL";
    expected_ = testing::tensors_of(folder_->path() / "expected.pth");
  }
  InceptionOptions options(int64_t tap) const { return {.path = folder_->path() / "weights.pth", .tap = tap}; }
  at::Tensor images() const { return as_images(expected_.at("images")); }
  static inline std::unique_ptr<testing::Folder> folder_;
  std::map<std::string, at::Tensor> expected_;
};

TEST_F(RandomInception, GivesTheSameFeaturesAndLogits) {
  const auto net = inception_extractor(options(2048));
  const at::Tensor features = net->features(images());
  const double scale = expected_.at("2048").abs().max().item<double>();
  EXPECT_LT(largest_difference(features, expected_.at("2048")), 1e-5 * std::max(1.0, scale));
  const double logit_scale = expected_.at("logits").abs().max().item<double>();
  EXPECT_LT(largest_difference(net->logits(features), expected_.at("logits")), 1e-5 * logit_scale);
  EXPECT_LT(largest_difference(net->logits(features, false), expected_.at("logits_unbiased")), 1e-5 * logit_scale);
  EXPECT_GT((expected_.at("2048")[0] - expected_.at("2048")[1]).abs().max().item<double>(), 0.01 * scale);
}

TEST_F(RandomInception, GivesTheSameFeaturesAtTheOtherTaps) {
  for (const int64_t tap : {64, 192, 768}) {
    const at::Tensor expected = expected_.at(std::to_string(tap));
    EXPECT_LT(largest_difference(inception_extractor(options(tap))->features(images()), expected),
              1e-5 * std::max(1.0, expected.abs().max().item<double>()))
        << tap;
  }
}

TEST_F(RandomInception, IsNotCalledFid) {
  const auto net = inception_extractor(options(2048));
  EXPECT_FALSE(net->is_published());
  EXPECT_TRUE(net->has_classifier());
  EXPECT_EQ(net->frechet_name(), "FD-2048 (weights other than the published file)");
  EXPECT_EQ(net->sha256(), sha256_file(folder_->path() / "weights.pth"));
  EXPECT_EQ(inception_extractor(options(768))->kernel_name(), "KID-768");
}

TEST_F(RandomInception, UnderThePublishedNameIsRefusedForItsChecksum) {
  const auto link = folder_->path() / kFidWeightsName;
  fs::create_hard_link(folder_->path() / "weights.pth", link);
  EXPECT_THAT(refusal({.path = link, .tap = 64}), HasSubstr(kFidWeightsSha256));
}

TEST_F(RandomInception, FromSafetensorsIsTheSame) {
  const auto state = tensor::read_pth(folder_->path() / "weights.pth");
  tensor::write_safetensors(folder_->path() / "weights.safetensors", state);
  const auto net = inception_extractor({.path = folder_->path() / "weights.safetensors", .tap = 192});
  EXPECT_EQ(largest_difference(net->features(images()), inception_extractor(options(192))->features(images())), 0);
}

TEST_F(RandomInception, WithWrongTensorsNamesAllOfThemTogether) {
  tensor::NamedTensors state;
  for (auto& [name, tensor] : tensor::read_pth(folder_->path() / "weights.pth")) {
    if (name == "Mixed_5b.branch1x1.conv.weight") continue;
    state.emplace_back(name, name == "Mixed_6e.branch1x1.bn.bias" ? tensor.narrow(0, 0, 7) : tensor);
  }
  state.emplace_back("AuxLogits.fc.bias", torch::zeros({10}));
  const auto file = folder_->path() / "wrong.safetensors";
  tensor::write_safetensors(file, state);
  const std::string sentence = refusal({.path = file, .tap = 768});
  EXPECT_THAT(sentence, HasSubstr("1 missing (Mixed_5b.branch1x1.conv.weight)"));
  EXPECT_THAT(sentence, HasSubstr("1 unexpected (AuxLogits.fc.bias)"));
  EXPECT_THAT(sentence, HasSubstr("Mixed_6e.branch1x1.bn.bias is [7], expected [192]"));
}

TEST_F(RandomInception, WithAWeightThatIsNotFiniteIsRefused) {
  auto state = tensor::read_pth(folder_->path() / "weights.pth");
  state.front().second.view({-1})[0] = NAN;
  const auto file = folder_->path() / "nan.safetensors";
  tensor::write_safetensors(file, state);
  EXPECT_THAT(refusal({.path = file, .tap = 64}), HasSubstr("not a finite number"));
}

/// The real weights as far as they are at hand.
class PartialInception : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!fs::exists(file_)) GTEST_SKIP() << "there is no " << file_;
  }
  const fs::path file_ = testing::kWeights / "inception_2015_12_05_bnfolded_PARTIAL.pt";
};

TEST_F(PartialInception, AgreesUpTo768) {
  const testing::Folder folder;
  if (!testing::python("inception.py", fmt::format("given {} {}", folder.path().string(), file_.string())))
    GTEST_SKIP() << "there is no Python with torch and PIL";
  const auto expected = testing::tensors_of(folder.path() / "expected.pth");
  const at::Tensor images = as_images(expected.at("images"));
  for (const int64_t tap : {64, 192, 768}) {
    const at::Tensor features = inception_extractor({.path = file_, .tap = tap})->features(images);
    EXPECT_LT(largest_difference(features, expected.at(std::to_string(tap))), 1e-5) << tap;
  }
  const auto legacy = inception_extractor({.path = file_, .tap = 768, .convention = Convention::legacy});
  EXPECT_LT(largest_difference(legacy->features(images), expected.at("legacy.768")), 1e-5);
  EXPECT_GT(largest_difference(expected.at("768"), expected.at("legacy.768")), 1e-3);
}

TEST_F(PartialInception, RefusesWhatItIsNotCompleteFor) {
  const std::string sentence = refusal({.path = file_, .tap = 2048});
  EXPECT_THAT(sentence, HasSubstr("2 tensors behind Mixed_6e are missing"));
  EXPECT_THAT(sentence, HasSubstr("Mixed_7b.branch3x3dbl_2.conv.weight"));
  const auto net = inception_extractor({.path = file_, .tap = 64});
  EXPECT_THROW(net->logits(torch::zeros({1, 2048})), UsageError);
  EXPECT_FALSE(net->has_classifier());
}

TEST_F(PartialInception, GivesAnImageTheSameFeaturesInAnyBatchInBothModes) {
  torch::manual_seed(1);
  const auto images = torch::rand({9, 3, 64, 64}) * 2 - 1;
  for (const bool fast : {false, true}) {
    const auto net = inception_extractor({.path = file_, .tap = 192, .fast = fast});
    const auto together = net->features(images);
    EXPECT_LT(largest_difference(together[8], net->features(images.narrow(0, 8, 1))[0]), fast ? 5e-3 : 1e-5);
  }
}

TEST_F(PartialInception, InTheFastModeIsNearTheExactOne) {
  torch::manual_seed(2);
  const auto images = torch::avg_pool2d(torch::rand({4, 3, 72, 72}) * 2 - 1, 9, 1, 0);
  const auto exact = inception_extractor({.path = file_, .tap = 768})->features(images);
  const auto net = inception_extractor({.path = file_, .tap = 768, .fast = true});
  EXPECT_EQ(net->name(), "inception-768-bf16");
  const auto fast = net->features(images);
  const double error = ((fast - exact).norm() / exact.norm()).item<double>();
  EXPECT_LT(error, 0.02);
  EXPECT_GT(error, 1e-5);  // it is another precision indeed
}

TEST(InceptionOptions, AreChecked) {
  EXPECT_THROW(inception_extractor({.path = "x", .tap = 100}), UsageError);
  EXPECT_THROW(inception_extractor({}), UsageError);
  EXPECT_THROW(inception_extractor({.path = "/nowhere/x.pth"}), DataError);
}

}  // namespace
}  // namespace derm::metrics
