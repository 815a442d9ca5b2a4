#include "derm/training/train.h"

#include <cmath>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/base/system.h"
#include "derm/models/catalogue.h"
#include "derm/phantom/phantom.h"
#include "derm/recipe/bundle.h"
#include "derm/tensor/safetensors.h"
#include "derm/training/run_directory.h"

namespace derm::training {
namespace {

using testing::HasSubstr;

class Training : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    root_ = fs::temp_directory_path() / "derm_training_test";
    fs::remove_all(root_);
    fs::create_directories(root_);
    phantom::PhantomOptions options;
    options.out = root_ / "data";
    options.count = 24;
    options.size_px = 64;
    phantom::write_phantoms(options);
  }
  static void TearDownTestSuite() { fs::remove_all(root_); }

  static TrainOptions small(double kimg) {
    TrainOptions o;
    o.data = (root_ / "data").string();
    o.out = (root_ / "runs").string();
    o.batch = 2;
    o.kimg = kimg;
    o.snapshot_minutes = 0;
    o.compute.precision = "fp32";
    return o;
  }

  static std::unique_ptr<recipe::Recipe> tiny(const std::vector<std::string>& set = {}) {
    auto recipe = models::catalogue().make("dermgan");
    Options options;
    recipe->bind(options);
    options.set("width=4");
    options.set("discriminator_width=4");
    for (const auto& assignment : set) options.set(assignment);
    return recipe;
  }

  static TrainOutcome run(const TrainOptions& options) {
    auto recipe = tiny();
    return train(options, *recipe, models::catalogue(), "a test");
  }

  static fs::path root_;
};
fs::path Training::root_;

void expect_same_weights(const fs::path& a, const fs::path& b) {
  for (const char* file : {"generator", "discriminator", "average", "optimiser"}) {
    const std::string name = std::string(file) + ".safetensors";
    EXPECT_EQ(sha256_file(a / "latest" / name), sha256_file(b / "latest" / name)) << name;
  }
}

TEST_F(Training, TwiceNStepsIsNAndResumedN) {
  // The same length in both, since the learning rate's schedule follows it; the second is stopped half way.
  const auto straight = run(small(0.016));
  EXPECT_EQ(straight.steps, 8);
  TrainOptions half = small(0.016);
  half.snapshot_kimg = 0.008;
  half.keep_checkpoints = 9;
  const auto whole = run(half);
  fs::remove(whole.run / "latest");
  point_to(whole.run, "latest", whole.run / "checkpoints" / "step-000004");
  fs::remove_all(whole.run / "checkpoints" / "step-000008");
  const auto resumed = resume(whole.run, {}, models::catalogue(), "resumed");
  EXPECT_EQ(resumed.steps, 8);
  expect_same_weights(straight.run, whole.run);
  EXPECT_THAT(read_file(whole.run / "command.txt"), HasSubstr("resumed"));
}

TEST_F(Training, GivesTheSameWeightsAgain) {
  const auto first = run(small(0.006)), second = run(small(0.006));
  EXPECT_NE(first.run, second.run);
  expect_same_weights(first.run, second.run);
}

TEST_F(Training, LeavesARunDirectoryThatTellsEverything) {
  const auto outcome = run(small(0.004));
  for (const char* name :
       {"config.toml", "command.txt", "environment.json", "data_fingerprint.json", "log.txt", "stats.jsonl",
        "reals.png", "fakes000000.png", "fakes000002.png", "latest", "best", "README.md", "report.html"})
    EXPECT_TRUE(fs::exists(outcome.run / name)) << name;
  bool events = false;
  for (const auto& entry : fs::directory_iterator(outcome.run))
    events = events || entry.path().filename().string().starts_with("events.out.tfevents.");
  EXPECT_TRUE(events);
  const auto loaded = recipe::load_bundle(recipe::find_bundle(outcome.run), models::catalogue(), at::kCPU);
  EXPECT_EQ(loaded.config.size_px, 64);
  EXPECT_EQ(loaded.config.training.at("steps").get<int64_t>(), 2);
}

TEST_F(Training, StartsFromABundlesWeights) {
  const auto first = run(small(0.004));
  TrainOptions options = small(0.002);
  options.init_from = first.run.string();
  options.seed = 9;
  EXPECT_NO_THROW(run(options));
  options.init_from = (root_ / "nothing").string();
  EXPECT_THROW(run(options), Error);
}

TEST_F(Training, StopsAtTheFirstLossThatIsNotFinite) {
  auto recipe = tiny({"lr=1e30"});
  try {
    train(small(0.1), *recipe, models::catalogue(), "a test");
    FAIL() << "a loss that is not finite went unnoticed";
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), HasSubstr("_main/"));
    EXPECT_THAT(error.what(), HasSubstr("at step"));
  }
}

TEST_F(Training, SavesWhatItHasWhenInterrupted) {
  request_interrupt();
  const auto outcome = run(small(0.1));
  clear_interrupt();
  EXPECT_TRUE(outcome.interrupted);
  EXPECT_EQ(outcome.steps, 0);
}

TEST_F(Training, RefusesWhatCannotWorkBeforeItBegins) {
  TrainOptions options = small(0.01);
  options.data = (root_ / "nowhere").string();
  EXPECT_THROW(run(options), Error);
  options = small(0.01);
  options.size_px = 100;
  EXPECT_THROW(run(options), UsageError);
  options = small(-1);
  EXPECT_THROW(run(options), UsageError);
  const auto done = run(small(0.002));
  EXPECT_THROW(resume(done.run, {"batch=4"}, models::catalogue(), ""), UsageError);
  EXPECT_THROW(resume(root_, {}, models::catalogue(), ""), UsageError);
}

TEST_F(Training, EstimatesWithoutTraining) {
  auto recipe = tiny();
  const std::string text = dry_run(small(0.02), *recipe);
  EXPECT_THAT(text, HasSubstr("about 10 steps"));
  EXPECT_THAT(text, HasSubstr("memory"));
}

TEST(RunDirectory, CountsUpAndCutsLinesBeyondACheckpoint) {
  const fs::path out = fs::temp_directory_path() / "derm_run_directory_test";
  fs::remove_all(out);
  EXPECT_EQ(new_run_directory(out, "a").filename(), "00000-a");
  EXPECT_EQ(new_run_directory(out, "b").filename(), "00001-b");
  const fs::path file = out / "stats.jsonl";
  append_line(file, {{"step", 1}});
  append_line(file, {{"step", 2}});
  std::ofstream(file, std::ios::app) << "{\"step\": 3, \"cut";
  truncate_lines_after(file, 1);
  EXPECT_EQ(read_file(file), "{\"step\":1}\n");
  fs::remove_all(out);
}

}  // namespace
}  // namespace derm::training
