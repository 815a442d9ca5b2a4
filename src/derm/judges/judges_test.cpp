#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <numeric>

#include <ATen/CPUGeneratorImpl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/image/mask.h"
#include "derm/judges/classifier.h"
#include "derm/judges/segmenter.h"
#include "derm/judges/skin_encoder.h"
#include "derm/models/catalogue.h"
#include "derm/recipe/bundle.h"

namespace derm::judges {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

/// Untrained judges in bundles of their own, as a training run writes them.
class Judges : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    root_ = fs::temp_directory_path() / ("derm-judges-" + std::to_string(getpid()));
    fs::create_directories(root_);
    write("segmenter", "segmenter", {"width=8"});
    write("classifier-clinical", "classifier", {"input_px=64"});
    write("skin-encoder", "encoder", {"input_px=64", "dimension=24", "expanded=32"});
  }
  static void TearDownTestSuite() { fs::remove_all(root_); }

  static void write(const std::string& folder, const std::string& recipe_name, const std::vector<std::string>& set) {
    auto recipe = models::catalogue().make(recipe_name);
    Options options;
    recipe->bind(options);
    for (const auto& assignment : set) options.set(assignment);
    recipe::BundleConfig config;
    config.kind = recipe->kind();
    config.name = folder + "-test";
    config.recipe = recipe_name;
    config.options = options.to_json();
    config.size_px = 64;
    config.conditions = {"melanoma", "nevus", "other"};
    at::Generator random = at::detail::createCPUGenerator(7);
    const auto players = recipe->make_players(recipe::image_spec(*recipe, 64, config.conditions), random);
    auto& judge = recipe::judge_of(players);
    judge.eval();
    config.canary = recipe::make_judge_canary(judge, 64);
    recipe::write_bundle(root_ / folder, {.config = config, .generator = &judge, .card = "Untrained.\n"});
  }

  static JudgeOptions options_of(const std::string& folder) { return {.bundle = root_ / folder, .device = "cpu"}; }

  /// Skin with a disc on it.
  static image::Image picture(int width, int height, int shade) {
    image::Image rgb(width, height, 3);
    for (int y = 0; y < height; ++y)
      for (int x = 0; x < width; ++x) {
        const bool inside =
            (x - width / 2) * (x - width / 2) + (y - height / 2) * (y - height / 2) < width * width / 16;
        uint8_t* p = rgb.at(x, y);
        p[0] = static_cast<uint8_t>(inside ? shade : 205);
        p[1] = static_cast<uint8_t>(inside ? shade / 2 : 160 + x % 16);
        p[2] = static_cast<uint8_t>(inside ? shade / 3 : 140);
      }
    return rgb;
  }

  template <class F>
  static std::string fault_of(F f) {
    try {
      f();
    } catch (const std::exception& e) {
      return e.what();
    }
    return "nothing was thrown";
  }

  static fs::path root_;
};
fs::path Judges::root_;

TEST_F(Judges, SegmentsPicturesOfAnySize) {
  Segmenter segmenter(options_of("segmenter"), models::catalogue());
  EXPECT_EQ(segmenter.size_px(), 64);
  EXPECT_EQ(segmenter.name(), "segmenter-test");
  EXPECT_EQ(segmenter.sha256().size(), 64u);
  const std::vector<image::Image> pictures = {picture(64, 64, 90), picture(100, 70, 60), picture(31, 40, 120)};
  const auto found = segmenter.segment(pictures);
  ASSERT_EQ(found.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(found[i].mask.width, pictures[i].width);
    EXPECT_EQ(found[i].mask.height, pictures[i].height);
    EXPECT_LE(image::connected_components(found[i].mask).items.size(), 1u);
    EXPECT_GE(found[i].confidence, 0);
    EXPECT_LE(found[i].confidence, 1);
    // Alone the same as among others.
    const auto alone = segmenter.segment(pictures[i]);
    EXPECT_GE(image::mask_iou(alone.mask, found[i].mask), 0.999);
  }
  EXPECT_TRUE(segmenter.segment(std::vector<image::Image>{}).empty());
}

TEST_F(Judges, ProbabilitiesSumToOneAndAMirrorImageHasTheSame) {
  Classifier classifier(options_of("classifier-clinical"), models::catalogue());
  EXPECT_EQ(classifier.conditions(), (std::vector<std::string>{"melanoma", "nevus", "other"}));
  EXPECT_EQ(classifier.index_of("nevus"), 1);
  EXPECT_EQ(classifier.index_of("wart"), -1);
  const auto upright = picture(64, 64, 90);
  const auto p = classifier.probabilities({upright, image::flip_horizontal(upright), picture(80, 80, 40)});
  ASSERT_EQ(p.size(), 3u);
  for (const auto& row : p) {
    ASSERT_EQ(row.size(), 3u);
    EXPECT_NEAR(std::accumulate(row.begin(), row.end(), 0.0), 1.0, 1e-6);
  }
  for (size_t k = 0; k < 3; ++k) EXPECT_NEAR(p[0][k], p[1][k], 1e-5);
}

TEST_F(Judges, EncodesTensorsAndPicturesAlike) {
  SkinEncoder encoder(options_of("skin-encoder"), models::catalogue());
  EXPECT_EQ(encoder.dimension(), 24);
  EXPECT_EQ(encoder.name(), "skin-encoder-test");
  const auto rgb = picture(64, 64, 90);
  const auto from_picture = encoder.features(std::vector<image::Image>{rgb, picture(64, 64, 30)});
  at::Tensor t = torch::empty({1, 3, 64, 64});
  for (int y = 0; y < 64; ++y)
    for (int x = 0; x < 64; ++x)
      for (int c = 0; c < 3; ++c) t[0][c][y][x] = rgb.at(x, y)[c] / 127.5 - 1;
  const auto from_tensor = encoder.features(t);
  EXPECT_EQ(from_picture.sizes(), (std::vector<int64_t>{2, 24}));
  EXPECT_LT((from_tensor[0] - from_picture[0]).abs().max().item<double>(), 1e-4);
  EXPECT_EQ(encoder.features(torch::zeros({0, 3, 64, 64})).sizes(), (std::vector<int64_t>{0, 24}));
  EXPECT_THROW(encoder.features(torch::zeros({2, 1, 64, 64})), UsageError);
}

TEST_F(Judges, RefusePicturesThatAreNone) {
  Segmenter segmenter(options_of("segmenter"), models::catalogue());
  EXPECT_THAT(fault_of([&] { segmenter.segment(image::Image(64, 64, 1)); }), HasSubstr("RGB"));
  EXPECT_THAT(fault_of([&] { segmenter.segment(picture(8, 8, 90)); }), HasSubstr("at least 16 px"));
}

TEST_F(Judges, RefuseABundleOfAnotherKind) {
  EXPECT_THAT(fault_of([] { Segmenter s(options_of("skin-encoder"), models::catalogue()); }),
              HasSubstr("of the kind encoder"));
  EXPECT_THAT(fault_of([] { recipe::load_bundle(root_ / "segmenter", models::catalogue(), at::kCPU); }),
              HasSubstr("makes no images"));
}

TEST_F(Judges, NoticeWeightsThatAnswerTheCanaryDifferently) {
  const fs::path bundle = root_ / "damaged";
  auto loaded =
      recipe::load_judge(root_ / "classifier-clinical", recipe::Kind::classifier, models::catalogue(), at::kCPU);
  torch::NoGradGuard guard;
  auto parameters = loaded.players.at("judge")->named_parameters();
  parameters["classifier.bias"].add_(1.0);
  recipe::write_bundle(bundle, {.config = loaded.config, .generator = loaded.players.at("judge").get(), .card = ""});
  JudgeOptions options{.bundle = bundle, .device = "cpu"};
  EXPECT_THAT(fault_of([&] { Classifier c(options, models::catalogue()); }), HasSubstr("canary"));
  options.check_canary = false;
  EXPECT_NO_THROW(Classifier(options, models::catalogue()));
}

TEST_F(Judges, AreFoundWhereTheUserSaysAndNowhereElse) {
  EXPECT_EQ(find_judge(kSegmenter, root_), root_ / "segmenter");
  EXPECT_THAT(fault_of([] { find_judge(kSkinEncoder, root_ / "nowhere"); }), HasSubstr("--judges"));
  EXPECT_TRUE(find_judge_or_none("no-such-judge").empty());
  ASSERT_EQ(setenv("DERMGAN_JUDGES", root_.c_str(), 1), 0);
  EXPECT_EQ(find_judge(kSkinEncoder), root_ / "skin-encoder");
  unsetenv("DERMGAN_JUDGES");
}

/// The judges of the repository: loading one checks its checksums, its weights by name and its canary.
TEST(ShippedJudges, LoadAnswerTheirCanaryAndStayBelowTenMegabytes) {
  const fs::path folder = fs::path(DERM_SOURCE_DIR) / "models/judges";
  int found = 0;
  for (const char* name : {kSegmenter, kClassifierClinical, kSkinEncoder}) {
    const fs::path bundle = find_judge(name, folder);
    EXPECT_LE(fs::file_size(bundle / "model.safetensors"), 10u << 20) << name;
    const JudgeOptions options{.bundle = bundle, .device = "cpu"};
    if (name == kSegmenter) {
      EXPECT_EQ(Segmenter(options, models::catalogue()).name(), "segmenter-v1");
    } else if (name == kClassifierClinical) {
      EXPECT_EQ(Classifier(options, models::catalogue()).conditions(),
                (std::vector<std::string>{"actinic_keratosis", "basal_cell_carcinoma", "melanoma", "nevus",
                                          "seborrheic_keratosis", "squamous_cell_carcinoma"}));
    } else {
      EXPECT_EQ(SkinEncoder(options, models::catalogue()).dimension(), 256);
    }
    ++found;
  }
  EXPECT_EQ(found, 3);
}

}  // namespace
}  // namespace derm::judges
