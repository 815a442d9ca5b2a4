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
#include "derm/recipe/growing.h"
#include "derm/tensor/safetensors.h"
#include "derm/training/run_directory.h"
#include "derm/training/samples.h"

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

  static std::unique_ptr<recipe::Recipe> tiny(const std::vector<std::string>& set = {},
                                              const std::string& name = "dermgan") {
    auto recipe = models::catalogue().make(name);
    Options options;
    recipe->bind(options);
    for (const char* assignment : {"width=4", "discriminator_width=4", "width_most=16", "latent=16"})
      if (options.has(std::string_view(assignment).substr(0, std::string_view(assignment).find('='))))
        options.set(assignment);
    for (const auto& assignment : set) options.set(assignment);
    return recipe;
  }

  static TrainOutcome run(TrainOptions options, const std::string& name = "dermgan",
                          const std::vector<std::string>& set = {}) {
    auto recipe = tiny(set, name);
    options.recipe = name;
    return train(options, *recipe, models::catalogue(), "a test");
  }

  /// A run through to its end, and one whose checkpoint of `kimg` is gone on with after all later ones are lost.
  static std::pair<fs::path, fs::path> straight_and_resumed(double kimg, double half, int64_t half_step,
                                                            const std::string& name,
                                                            const std::vector<std::string>& set = {}) {
    const auto straight = run(small(kimg), name, set);
    TrainOptions options = small(kimg);
    options.snapshot_kimg = half;
    options.keep_checkpoints = 99;
    const auto whole = run(options, name, set);
    EXPECT_EQ(whole.steps, straight.steps);
    const fs::path checkpoint = whole.run / "checkpoints" / fmt::format("step-{:06d}", half_step);
    EXPECT_TRUE(fs::exists(checkpoint)) << checkpoint;
    fs::remove(whole.run / "latest");
    point_to(whole.run, "latest", checkpoint);
    for (const auto& entry : fs::directory_iterator(whole.run / "checkpoints"))
      if (entry.path().filename() > checkpoint.filename()) fs::remove_all(entry.path());
    const auto resumed = resume(whole.run, {}, models::catalogue(), "resumed");
    EXPECT_EQ(resumed.steps, straight.steps);
    EXPECT_EQ(resumed.kimg, straight.kimg);
    return {straight.run, whole.run};
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
  const auto [straight, resumed] = straight_and_resumed(0.016, 0.008, 4, "dermgan");
  expect_same_weights(straight, resumed);
  EXPECT_THAT(read_file(resumed / "command.txt"), HasSubstr("resumed"));
}

TEST_F(Training, ARunInTheMiddleOfAFadeGoesOnToTheBit) {
  // 8 images at each size and 16 to fade the next one in: 16 at 4 px in two steps of 8, 8 half way to 8 px, 16 at 8 px,
  // and then, in steps of 4, the fade to 16 px, which the sixth step is in the middle of.
  const std::vector<std::string> set = {"phase_images=8", "fade_images=16", "phase_batch=8,8,4,4", "conditional=true"};
  const auto [straight, resumed] = straight_and_resumed(0.104, 0.044, 6, "pgan", set);
  expect_same_weights(straight, resumed);
  const fs::path middle = resumed / "checkpoints" / "step-000006";
  EXPECT_EQ(tensor::read_safetensors(middle / "generator.safetensors").tensors.at("growth").item<int64_t>(), 3 << 19);
  const auto at_end = tensor::read_safetensors(resumed / "latest" / "generator.safetensors");
  EXPECT_EQ(at_end.tensors.at("growth").item<int64_t>(), 4 << 20);
  // A bundle from the middle makes images of the full size, of 4x4 blocks, since it has grown to 16 px.
  const auto loaded = recipe::load_bundle(recipe::find_bundle(middle), models::catalogue(), at::kCPU);
  torch::NoGradGuard guard;
  tensor::Inputs inputs;
  inputs.latent = torch::randn({1, 16});
  inputs.label = torch::zeros({1}, torch::kLong);
  const auto image = recipe::generator_of(loaded.players).generate(inputs);
  ASSERT_EQ(image.sizes(), (std::vector<int64_t>{1, 3, 64, 64}));
  const auto in_blocks_of = [&](int64_t side) {
    return (image - at::upsample_nearest2d(at::avg_pool2d(image, {side, side}), {64, 64})).abs().max().item<double>();
  };
  EXPECT_LT(in_blocks_of(4), 1e-6);
  EXPECT_GT(in_blocks_of(8), 1e-3);
}

TEST_F(Training, GrowingTakesHalfOfTheRunUnlessToldAndTheRunSaysSo) {
  auto recipe = tiny({}, "pgan");
  Options options;
  recipe->bind(options);
  auto& growing = dynamic_cast<recipe::Growing&>(*recipe);
  growing.settle(recipe::image_spec(*recipe, 64, {"nevus"}), 1.6);  // 800 images over four phases and four fades
  EXPECT_EQ(options.to_json().at("phase_images"), (std::vector<int64_t>{100, 100, 100, 100}));
  EXPECT_EQ(options.to_json().at("fade_images"), (std::vector<int64_t>{100, 100, 100, 100}));
  EXPECT_EQ(growing.batch_at(0, 8), 128);  // 8, doubled four times
  EXPECT_EQ(growing.batch_at(0.15, 8), 64);
  EXPECT_EQ(growing.batch_at(0.65, 8), 16);
  EXPECT_EQ(growing.batch_at(0.75, 8), 8);
  EXPECT_EQ(growing.batch_at(0.75, 256), 256);                     // never less than the run's at a smaller size
  growing.settle(recipe::image_spec(*recipe, 64, {"nevus"}), 99);  // a run that goes on longer keeps what it settled
  EXPECT_EQ(options.to_json().at("phase_images"), (std::vector<int64_t>{100, 100, 100, 100}));
}

TEST_F(Training, LazyRegularisersResumeToTheBit) {
  const auto [straight, resumed] = straight_and_resumed(
      0.016, 0.008, 4, "stylegan2", {"r1_every=3", "path_every=3", "augmentation=ada", "augmentation_kimg=0.1"});
  expect_same_weights(straight, resumed);
}

TEST_F(Training, FromNoiseWithAdaptiveAugmentationTwiceNStepsIsNAndResumedN) {
  for (const char* name : {"melano-dcgan", "melano-lapgan", "melano-ddgan"}) {
    const auto tiny_of = [&] {
      auto recipe = models::catalogue().make(name);
      Options options;
      recipe->bind(options);
      for (const char* set : {"width=4", "discriminator_width=4", "class_conditional=true", "augmentation=ada",
                              "augmentation_start=0.3", "augmentation_kimg=0.02"})
        options.set(set);
      return recipe;
    };
    TrainOptions options = small(0.024);
    options.recipe = name;
    auto recipe = tiny_of();
    const auto straight = train(options, *recipe, models::catalogue(), "a test");
    EXPECT_EQ(straight.steps, 12);
    options.snapshot_kimg = 0.012;
    options.keep_checkpoints = 9;
    recipe = tiny_of();
    const auto whole = train(options, *recipe, models::catalogue(), "a test");
    fs::remove(whole.run / "latest");
    point_to(whole.run, "latest", whole.run / "checkpoints" / "step-000006");
    fs::remove_all(whole.run / "checkpoints" / "step-000012");
    resume(whole.run, {}, models::catalogue(), "resumed");
    expect_same_weights(straight.run, whole.run);
    const auto state = tensor::read_safetensors(straight.run / "latest" / "discriminator.safetensors").tensors;
    ASSERT_TRUE(state.contains("augmentation.probability"));
    const double probability = state.at("augmentation.probability").item<double>();
    // Three moves of 8 images of 20 each, up or down from 0.3.
    EXPECT_TRUE(std::abs(probability - 0.3) > 0.01 && probability >= 0 && probability <= 1) << probability;
    const auto loaded = recipe::load_bundle(recipe::find_bundle(whole.run), models::catalogue(), at::kCPU);
    EXPECT_THAT(read_file(whole.run / "README.md"), HasSubstr("of a condition that is asked for"));
  }
}

TEST_F(Training, OnSomeConditionsSeesTheirImagesAlone) {
  const data::DataSet data = data::DataSet::open(root_ / "data");
  const std::string wanted = data.conditions().front();
  TrainOptions options = small(0.004);
  options.conditions = {wanted};
  const auto outcome = run(options);
  const auto config = recipe::read_bundle_config(recipe::find_bundle(outcome.run));
  EXPECT_EQ(config.conditions, std::vector<std::string>{wanted});
  EXPECT_EQ(config.offer.conditions, std::vector<std::string>{wanted});
  const auto rows = data.usable("train");
  const auto expected =
      std::count_if(rows.begin(), rows.end(), [&](size_t row) { return data.records()[row].condition == wanted; });
  EXPECT_EQ(config.training.at("images").get<int64_t>(), expected);
  EXPECT_LT(expected, static_cast<int64_t>(rows.size()));
  options.conditions = {"nevvus"};
  EXPECT_THROW(run(options), UsageError);
}

/// One colour an image, `spread` times its noise. Its only loss pulls the spread to where `course` wants it.
class Colours : public recipe::Recipe {
 public:
  explicit Colours(std::vector<double> course) : course_(std::move(course)) {}

  class Net : public recipe::Generator {
   public:
    Net() {
      spread = register_parameter("spread", torch::ones({1}));
      register_buffer("side", torch::full({1}, 64));
    }
    at::Tensor generate(const tensor::Inputs& inputs) override {
      return torch::tanh(0.5 * spread * inputs.latent.to(torch::kFloat)).reshape({-1, 3, 1, 1}).expand({-1, 3, 64, 64});
    }
    at::Tensor spread;
  };

  void bind(Options& o) override { o.add("unused", unused_, "nothing"); }
  void validate(const recipe::ImageSpec&) const override {}
  recipe::Needs needs() const override { return {.latent = 3}; }
  recipe::Players make_players(const recipe::ImageSpec&, at::Generator&) const override {
    return {{"generator", std::make_shared<Net>()}};
  }
  std::vector<recipe::Phase> phases(const recipe::Players& players) const override {
    return {{"g_main", "generator", 1, [players, course = course_](recipe::StepContext& context) {
               const double target = course.at(static_cast<size_t>(context.step / 12));
               const auto& net = dynamic_cast<Net&>(*players.at("generator"));
               return std::vector<recipe::LossTerm>{{"pull", (net.spread - target).square().sum(), 1.0}};
             }}};
  }
  recipe::AdamSpec optimiser(const std::string&) const override { return {.lr = 0.2}; }
  std::string hint() const override { return "colours"; }

 private:
  std::vector<double> course_;
  bool unused_ = false;
};

TEST_F(Training, SaysOnceAFallThatImagesCollapse) {
  const auto outcome_of = [](std::vector<double> course, double threshold) {
    TrainOptions options = small(0.024 * static_cast<double>(course.size()));
    options.recipe = "colours";
    options.ema_kimg = 0;
    options.snapshot_kimg = 0.024;  // 12 steps of 2
    options.metrics.extractor = "random";
    options.metrics.diversity_threshold = threshold;
    Colours recipe(std::move(course));
    const fs::path run = train(options, recipe, models::catalogue(), "a test").run;
    const std::string log = read_file(run / "log.txt");
    std::vector<nlohmann::json> lines;
    std::ifstream in(run / "metric-diversity.jsonl");
    for (std::string line; std::getline(in, line);) lines.push_back(nlohmann::json::parse(line));
    const auto times = [&](const std::string& text) {
      size_t count = 0;
      for (size_t at = log.find(text); at != std::string::npos; at = log.find(text, at + 1)) ++count;
      return count;
    };
    return std::tuple{times("the images collapse"), times("varied again"), lines};
  };
  // Falls, stays down, comes back, falls again.
  const auto [said, again, lines] = outcome_of({1, 0, 0, 1, 0}, 0.5);
  EXPECT_EQ(said, 2u);
  EXPECT_EQ(again, 1u);
  ASSERT_EQ(lines.size(), 5u);
  EXPECT_LT(lines[2]["pairs"].get<double>(), 0.2);
  EXPECT_GT(lines[3]["pairs"].get<double>(), 1.0);  // colours over the whole range differ more than skin does
  const auto [healthy, never, healthy_lines] = outcome_of({1, 1}, 0.5);
  EXPECT_EQ(healthy, 0u);
  EXPECT_EQ(never, 0u);
  EXPECT_GT(healthy_lines.back()["nearest"].get<double>(), 0.5);
  EXPECT_EQ(std::get<0>(outcome_of({1, 0}, 0)), 0u);    // switched off
  EXPECT_EQ(std::get<0>(outcome_of({0, 0}, 0.5)), 0u);  // all images of a young run look alike
}

TEST(Diversity, Is1OfPhotographsThemselvesAnd0OfOneImage) {
  torch::manual_seed(1);
  const at::Tensor real = torch::rand({16, 3, 64, 64}) + torch::rand({16, 3, 1, 1});
  const DiversityFigures same = diversity_of(real, real),
                         one = diversity_of(real.narrow(0, 0, 1).expand_as(real), real);
  EXPECT_DOUBLE_EQ(same.pairs, 1);
  EXPECT_DOUBLE_EQ(same.nearest, 1);
  EXPECT_NEAR(one.pairs, 0, 1e-6);
  EXPECT_NEAR(one.nearest, 0, 1e-6);
  // Two images, eight times each: 8 of the 15 others are the other one; the nearest is itself again.
  const at::Tensor two = real.narrow(0, 0, 2).repeat({8, 1, 1, 1});
  const DiversityFigures of_two = diversity_of(two, real);
  const double apart = (torch::adaptive_avg_pool2d(real[0], {32, 32}) - torch::adaptive_avg_pool2d(real[1], {32, 32}))
                           .abs()
                           .mean()
                           .item<double>();
  EXPECT_NEAR(of_two.pairs * of_two.real_pairs, apart * 8 / 15, 1e-5);
  EXPECT_NEAR(of_two.nearest, 0, 1e-6);
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
