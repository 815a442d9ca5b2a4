// A recipe is a folder: the toy recipe `flat` trains and generates through the same calls as the others, and
// docs/adding-a-model.md shows exactly its files.
#include <filesystem>
#include <memory>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/generation/engine.h"
#include "derm/models/catalogue.h"
#include "derm/phantom/phantom.h"
#include "derm/training/train.h"

namespace derm {
namespace {

class ToyModel : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::temp_directory_path() / ("derm-toy-" + std::to_string(::getpid()));
    fs::remove_all(root_);
    fs::create_directories(root_);
  }
  void TearDown() override { fs::remove_all(root_); }
  fs::path root_;
};

TEST_F(ToyModel, IsTheOnlyRecipeOfItsCatalogue) {
  EXPECT_THAT(models::catalogue().names(), testing::ElementsAre("flat"));
  EXPECT_THROW(models::catalogue().make("dermgan"), UsageError);
}

TEST_F(ToyModel, LearnsThatDarkSkinIsDarkerThanLightSkin) {
  phantom::PhantomOptions made;
  made.out = root_ / "made";
  made.count = 48;
  made.size_px = 64;
  phantom::write_phantoms(made);

  training::TrainOptions options;
  options.recipe = "flat";
  options.data = (root_ / "made").string();
  options.out = (root_ / "runs").string();
  options.kimg = 0.4;
  options.ema_kimg = 0.01;
  options.batch = 8;
  options.compute.threads = 1;
  auto recipe = models::catalogue().make("flat");
  const training::TrainOutcome outcome = training::train(options, *recipe, models::catalogue(), "test");
  EXPECT_EQ(outcome.steps, 50);  // 400 images, 8 a step

  generation::EngineOptions engine_options;
  engine_options.bundle = outcome.run;
  engine_options.threads = 1;
  generation::Engine engine(engine_options, models::catalogue());
  EXPECT_EQ(engine.recipe_name(), "flat");
  const auto mean_at = [&](const std::string& skin) {
    data::Wish wish;
    wish.skin = skin;
    wish.size = "0.2";
    const image::Image picture = engine.generate(data::make_request(wish, engine.offer()));
    double sum = 0;
    for (const uint8_t value : picture.pixels) sum += value;
    return sum / static_cast<double>(picture.pixels.size());
  };
  EXPECT_GT(mean_at("#e8c8b0"), mean_at("#5a3a28") + 20);
}

TEST_F(ToyModel, StandsInTheDocumentationWordForWord) {
  const fs::path source = DERM_SOURCE_DIR;
  const std::string page = read_file(source / "docs/adding-a-model.md");
  for (const std::string name : {"flat/README.md", "flat/flat.h", "flat/flat.cpp"}) {
    const std::string marker = "<!-- file: tests/toy_model/" + name + " -->\n```";
    const size_t at = page.find(marker);
    ASSERT_NE(at, std::string::npos) << "docs/adding-a-model.md shows no " << name;
    const size_t begin = page.find('\n', at + marker.size()) + 1;
    const size_t end = page.find("\n```", begin) + 1;
    EXPECT_EQ(page.substr(begin, end - begin), read_file(source / "tests/toy_model" / name)) << name;
  }
}

}  // namespace
}  // namespace derm
