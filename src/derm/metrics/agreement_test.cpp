// Every measure on the same input as an implementation in Python (tools/golden/metrics.py).
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "derm/metrics/frechet.h"
#include "derm/metrics/histogram.h"
#include "derm/metrics/inception_score.h"
#include "derm/metrics/kid.h"
#include "derm/metrics/lpips.h"
#include "derm/metrics/ms_ssim.h"
#include "derm/metrics/prdc.h"
#include "derm/metrics/swd.h"
#include "derm/metrics/testing/python.h"
#include "derm/tensor/safetensors.h"

namespace derm::metrics {
namespace {

/// Blobs of random colour with some noise, more alike in the second set.
at::Tensor blobs(int64_t count, int64_t side, double strength, uint64_t seed) {
  torch::manual_seed(seed);
  const auto small = torch::rand({count, 3, 6, 6}) * 2 - 1;
  const auto smooth = at::upsample_bilinear2d(small, {side, side}, false) * strength + 0.1;
  return ((smooth + 0.05 * torch::randn({count, 3, side, side})).clamp(-1, 1) * 127.5 + 127.5).round() / 127.5 - 1;
}

class Agreement : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    torch::manual_seed(11);
    const auto mix = torch::randn({300, 300}, at::kDouble) / 17;
    for (const auto& [name, rows, columns, scale] : {std::tuple{"features.real", 400, 64, 1.0},
                                                     {"features.fake", 300, 64, 1.3},
                                                     {"wide.real", 90, 300, 1.0},
                                                     {"wide.fake", 70, 300, 1.1}}) {
      at::Tensor x = torch::randn({rows, columns}, at::kDouble) * scale;
      if (columns == 300) x = x.matmul(mix) + 0.1;
      data[name] = x.relu();  // as features behind a ReLU are
    }
    data["logits"] = torch::randn({55, 100}) * 3;
    data["images.real"] = blobs(20, 64, 0.9, 1);
    data["images.fake"] = blobs(20, 64, 0.6, 2);
    data["large.real"] = blobs(3, 187, 0.9, 3);
    data["large.fake"] = 0.7 * data["large.real"] + 0.3 * blobs(3, 187, 0.9, 4);
    std::vector<at::Tensor> real, fake;
    for (const KidSubset& s : kernel_subsets(90, 70, 10, 3)) {
      real.push_back(s.real);
      fake.push_back(s.fake);
    }
    data["kid.real"] = at::stack(real);
    data["kid.fake"] = at::stack(fake);
    const SwdOptions options;
    for (const int64_t side : {64, 32, 16}) {
      for (const uint64_t set : {0, 1}) {
        std::vector<at::Tensor> places;
        for (int64_t n = 0; n < 20; ++n) places.push_back(patch_places(options, set, n, side));
        data[fmt::format("places.{}.{}", set ? "fake" : "real", side)] = at::stack(places);
      }
      std::vector<at::Tensor> directions;
      for (int64_t r = 0; r < options.repeats; ++r) directions.push_back(patch_directions(options, side, r));
      data[fmt::format("directions.{}", side)] = at::stack(directions);
    }
    const testing::Folder folder;
    tensor::write_safetensors(folder.path() / "in.safetensors", {data.begin(), data.end()});
    const auto text = testing::python(
        "metrics.py", fmt::format("{} {}", (folder.path() / "in.safetensors").string(),
                                  std::filesystem::exists(lpips_weights) ? lpips_weights.string() : "-"));
    if (text) expected = testing::numbers_of(*text);
  }
  void SetUp() override {
    if (expected.empty()) GTEST_SKIP() << "there is no Python with torch and numpy";
  }
  static void near(double ours, double theirs, double relative = 1e-4) {
    EXPECT_NEAR(ours, theirs, relative * std::abs(theirs));
  }
  static inline const std::filesystem::path lpips_weights = testing::kWeights / "lpips_squeeze_v0.1.pt";
  static inline std::map<std::string, at::Tensor> data;
  static inline std::map<std::string, std::vector<double>> expected;
};

TEST_F(Agreement, OfTheFrechetDistance) {
  near(frechet_distance(data["features.real"], data["features.fake"]), expected.at("frechet")[0], 1e-8);
  near(frechet_distance(data["wide.real"], data["wide.fake"]), expected.at("frechet.wide")[0]);
}

TEST_F(Agreement, OfTheKernelDistanceOnTheSameSubsets) {
  const Kid kid = kernel_distance(data["wide.real"], data["wide.fake"], 10, 3);
  EXPECT_NEAR(kid.mean, expected.at("kid")[0], 1e-10);
  EXPECT_NEAR(kid.deviation, expected.at("kid")[1], 1e-10);
}

TEST_F(Agreement, OfPrecisionRecallDensityCoverage) {
  const Prdc r = precision_recall_density_coverage(data["wide.real"], data["wide.fake"]);
  const auto& e = expected.at("prdc");
  near(r.precision, e[0]);
  near(r.recall, e[1]);
  near(r.density, e[2]);
  near(r.coverage, e[3]);
  EXPECT_GT(e[0] * e[1] * e[3], 0);
  EXPECT_LT(e[3], 1);
}

TEST_F(Agreement, OfTheInceptionScore) {
  const InceptionScore score = inception_score(data["logits"]);
  near(score.mean, expected.at("is")[0], 1e-9);
  near(score.deviation, expected.at("is")[1], 1e-9);
}

TEST_F(Agreement, OfTheSlicedWassersteinDistanceOnTheSamePatches) {
  const Swd swd = sliced_wasserstein(data["images.real"], data["images.fake"]);
  const auto& e = expected.at("swd");
  near(swd.mean, e[0]);
  ASSERT_EQ(swd.levels.size() + 1, e.size());
  for (size_t i = 0; i < swd.levels.size(); ++i) near(swd.levels[i].distance, e[i + 1]);
}

TEST_F(Agreement, OfMsSsim) {
  const at::Tensor ours = ms_ssim(data["large.real"], data["large.fake"]);
  for (int64_t i = 0; i < 3; ++i) near(ours[i].item<double>(), expected.at("ms_ssim")[static_cast<size_t>(i)], 1e-6);
}

TEST_F(Agreement, OfLpips) {
  if (!expected.contains("lpips")) GTEST_SKIP() << "there is no " << lpips_weights;
  const at::Tensor ours = Lpips(lpips_weights).distance(data["large.real"], data["large.fake"]);
  for (int64_t i = 0; i < 3; ++i) near(ours[i].item<double>(), expected.at("lpips")[static_cast<size_t>(i)]);
}

TEST_F(Agreement, OfTheColourHistograms) {
  const HistogramDistance d = histogram_distance(data["images.real"], data["images.fake"]);
  near(d.jensen_shannon, expected.at("histogram")[0], 1e-9);
  near(d.wasserstein, expected.at("histogram")[1], 1e-6);
}

}  // namespace
}  // namespace derm::metrics
