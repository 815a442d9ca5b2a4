#include "derm/generation/engine.h"

#include <unistd.h>

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/generation/output.h"
#include "derm/image/colour.h"
#include "derm/models/catalogue.h"
#include "derm/recipe/bundle.h"
#include "derm/recipe/directions.h"
#include "derm/recipe/stand_in.h"
#include "derm/tensor/safetensors.h"

namespace derm::generation {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

/// Its image tells how many threads libtorch would have used: grey value 10 a thread.
class ThreadSpyNet : public recipe::Generator {
 public:
  at::Tensor generate(const tensor::Inputs& inputs) override {
    return torch::full({inputs.map.size(0), 3, 64, 64}, at::get_num_threads() * 10 / 127.5 - 1);
  }
};
class ThreadSpy : public recipe::Painter {
 public:
  recipe::Players make_players(const recipe::ImageSpec&, at::Generator&) const override {
    return {{"generator", std::make_shared<ThreadSpyNet>()}};
  }
};

class EngineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::temp_directory_path() / ("derm-engine-" + std::to_string(getpid()));
    fs::remove_all(root_);
    fs::create_directories(root_);
  }
  void TearDown() override { fs::remove_all(root_); }

  /// An untrained network of one of the real recipes, small.
  fs::path network(const std::string& name, const std::vector<std::string>& settings = {}) {
    const auto recipe = models::catalogue().make(name);
    Options options;
    recipe->bind(options);
    for (const std::string s : {"width=8", "discriminator_width=8"})
      if (options.has(s.substr(0, s.find('=')))) options.set(s);
    for (const std::string& s : settings) options.set(s);
    recipe::write_untrained_bundle(root_ / name, *recipe, name, 64, recipe::stand_in_offer());
    return root_ / name;
  }
  fs::path painter() {
    recipe::Painter recipe;
    recipe::write_untrained_bundle(root_ / "painter", recipe, "painter", 64, recipe::stand_in_offer());
    return root_ / "painter";
  }
  static EngineOptions on_cpu(const fs::path& bundle, int threads, const std::string& precision = "auto") {
    EngineOptions options;
    options.bundle = bundle;
    options.device = "cpu";
    options.precision = precision;
    options.threads = threads;
    return options;
  }
  static std::vector<image::Image> all(Engine& engine, const std::vector<data::Request>& requests) {
    std::vector<image::Image> images;
    engine.generate(requests, [&](size_t i, image::Image image) {
      EXPECT_EQ(i, images.size());  // in order
      images.push_back(std::move(image));
    });
    return images;
  }

  fs::path root_;
};

TEST_F(EngineTest, GivesTheSameBytesWhateverTheBatchAndTheThreads) {
  const auto requests = data::balanced_requests(7, {"condition", "tone"}, recipe::stand_in_offer(), 11);
  const std::vector<std::pair<std::string, std::vector<std::string>>> networks = {{"pix2pix", {}},
                                                                                  {"dermgan", {"noise_planes=2"}}};
  for (const auto& [name, settings] : networks) {
    const fs::path bundle = network(name, settings);
    for (const std::string precision : {"fp32", "bf16"}) {
      Engine one(on_cpu(bundle, 1, precision), models::catalogue());
      const auto expected = all(one, requests);
      ASSERT_EQ(expected.size(), requests.size());
      EXPECT_NE(expected[0], expected[1]);
      for (size_t i = 0; i < requests.size(); ++i)
        EXPECT_EQ(one.generate(requests[i]), expected[i]) << name << " alone, " << i;
      for (const int threads : {2, 3}) {
        Engine engine(on_cpu(bundle, threads, precision), models::catalogue());
        EXPECT_EQ(all(engine, requests), expected) << name << " with " << threads << " threads, " << precision;
      }
    }
  }
}

TEST_F(EngineTest, ComputesEveryImageOnOneThread) {
  recipe::Catalogue catalogue;
  catalogue.add("spy", "", [] { return std::make_unique<ThreadSpy>(); });
  ThreadSpy spy;
  recipe::write_untrained_bundle(root_ / "spy", spy, "spy", 64, recipe::stand_in_offer());
  EngineOptions options = on_cpu(root_ / "spy", 3);
  options.check_canary = false;  // it was written on all threads
  Engine engine(options, catalogue);
  for (int round = 0; round < 2; ++round) {
    for (const image::Image& image : all(engine, data::balanced_requests(9, {}, engine.offer(), 1)))
      EXPECT_EQ(*image.at(0, 0), 10);
  }
}

TEST_F(EngineTest, GivesAnotherImageForAnotherSeedWhereTheRecipeHasNoise) {
  Engine engine(on_cpu(network("dermgan", {"noise_planes=2"}), 1), models::catalogue());
  data::Wish wish;
  wish.shape = "ellipse";  // whose outline does not depend on the seed
  wish.seed = 1;
  const image::Image first = engine.generate(data::make_request(wish, engine.offer()));
  EXPECT_EQ(engine.generate(data::make_request(wish, engine.offer())), first);
  wish.seed = 2;
  EXPECT_NE(engine.generate(data::make_request(wish, engine.offer())), first);
}

TEST_F(EngineTest, TruncationOfNothingLeavesOneImageACondition) {
  const fs::path bundle = network("stylegan2");
  const data::Offer offer = recipe::stand_in_offer();
  std::vector<data::Request> requests;
  for (const std::string condition : {"light", "light", "dark"}) {
    data::Wish wish;
    wish.condition = condition;
    wish.seed = requests.size();
    requests.push_back(data::make_request(wish, offer));
  }
  Engine plain(on_cpu(bundle, 1), models::catalogue());
  const auto whole = all(plain, requests);
  EXPECT_NE(whole[0], whole[1]);
  EXPECT_FALSE(provenance(requests[0], plain).contains("truncation"));
  EngineOptions options = on_cpu(bundle, 1);
  options.truncation = 0;
  Engine truncated(options, models::catalogue());
  const auto averages = all(truncated, requests);
  EXPECT_EQ(averages[0], averages[1]);
  EXPECT_EQ(provenance(requests[0], truncated).at("truncation"), "0");
  for (const double bad : {-0.1, 2.1}) {
    options.truncation = bad;
    EXPECT_THROW(Engine(options, models::catalogue()), UsageError);
  }
  options = on_cpu(network("dermgan"), 1);
  options.truncation = 0.7;
  EXPECT_THROW(Engine(options, models::catalogue()), UsageError);
}

/// Two directions of `length`, along the first two axes of the space.
void write_directions(const fs::path& bundle, const std::string& space, int64_t length, const std::string& sha256) {
  at::Tensor vectors = at::zeros({2, length});
  vectors[0][0] = vectors[1][1] = 1;
  const nlohmann::json facts = {
      {"bundle_sha256", sha256},
      {"space", space},
      {"layers", {0, space == "w" ? 3 : 0}},
      {"range", 2.5},
      {"directions", {{{"name", "one"}, {"deviation", 1.0}}, {{"name", "two"}, {"deviation", 2.0}}}}};
  tensor::write_safetensors(bundle / recipe::kDirectionsFile, {{"directions", vectors}},
                            {{"directions", facts.dump()}});
}

TEST_F(EngineTest, GoesAlongTheDirectionsOfItsBundle) {
  for (const auto& [name, space, length] :
       {std::tuple{"melano-dcgan", "z", int64_t{64}}, {"stylegan2", "w", int64_t{256}}}) {
    const fs::path bundle =
        network(name, length == 256 ? std::vector<std::string>{"latent=256"} : std::vector<std::string>());
    const std::string sha256 = recipe::bundle_sha256(bundle);
    data::Request request = data::make_request({}, recipe::stand_in_offer());
    const image::Image as_it_is = Engine(on_cpu(bundle, 1, "fp32"), models::catalogue()).generate(request);
    write_directions(bundle, space, length, sha256);
    Engine engine(on_cpu(bundle, 1, "fp32"), models::catalogue());
    ASSERT_EQ(engine.offer().directions.size(), 2u) << name;
    EXPECT_EQ(engine.offer().directions[1].name, "two");
    EXPECT_EQ(engine.offer().directions[1].range, 2.5);
    EXPECT_FALSE(engine.offer().heeded("skin"));
    EXPECT_EQ(engine.generate(request), as_it_is) << name;
    request.directions = {0};
    EXPECT_EQ(engine.generate(request), as_it_is) << name;
    request.directions = {0, 8};
    EXPECT_NE(engine.generate(request), as_it_is) << name;
    EXPECT_EQ(provenance(request, engine).at("requested_directions"), "[0.0,8.0]");
    request.directions = {0, 0, 1};
    EXPECT_THROW(engine.generate(request), UsageError);
    write_directions(bundle, space, length - 1, sha256);
    EXPECT_THROW(Engine(on_cpu(bundle, 1), models::catalogue()), DataError);  // of another space
    write_directions(bundle, space, length, std::string(64, '0'));
    EXPECT_THROW(Engine(on_cpu(bundle, 1), models::catalogue()), DataError);  // of other weights
  }
}

TEST_F(EngineTest, PaintsTheSkinThatIsAskedFor) {
  const auto catalogue = recipe::stand_in_catalogue();
  Engine engine(on_cpu(painter(), 2, "fp32"), catalogue);
  EXPECT_EQ(engine.size_px(), 64);
  EXPECT_EQ(engine.recipe_name(), "painter");
  EXPECT_THAT(engine.conditions(), ::testing::ElementsAre("dark", "light"));
  EXPECT_EQ(engine.bundle_sha256(), recipe::bundle_sha256(root_ / "painter"));
  data::Wish wish;
  wish.skin = "ita:30";
  const data::Request request = data::make_request(wish, engine.offer());
  const image::Image image = engine.generate(request);
  const uint8_t* corner = image.at(2, 2);
  EXPECT_LT(image::ciede2000(image::lab_of({corner[0], corner[1], corner[2]}), request.skin), 1.5);
}

TEST_F(EngineTest, RefusesABundleWhoseCanaryDoesNotSing) {
  const fs::path bundle = painter();
  // Another weight, with checksums that fit: only the canary can tell.
  recipe::BundleConfig config = recipe::read_bundle_config(bundle);
  config.canary.mean[1] += 5;
  const auto catalogue = recipe::stand_in_catalogue();
  const auto loaded = recipe::load_bundle(bundle, catalogue, at::kCPU);
  recipe::write_bundle(bundle, {.config = config, .generator = loaded.players.at("generator").get(), .card = ""});
  try {
    Engine engine(on_cpu(bundle, 1), catalogue);
    FAIL() << "nothing was thrown";
  } catch (const DataError& e) {
    EXPECT_THAT(e.what(), HasSubstr("the mean of its green is"));
  }
  EngineOptions options = on_cpu(bundle, 1);
  options.check_canary = false;
  EXPECT_NO_THROW(Engine(options, catalogue));
}

TEST_F(EngineTest, RefusesRequestsBeforeItStarts) {
  const auto catalogue = recipe::stand_in_catalogue();
  Engine engine(on_cpu(painter(), 1), catalogue);
  auto requests = data::balanced_requests(3, {}, engine.offer(), 1);
  requests[2].regions[0].condition = "drak";
  size_t made = 0;
  try {
    engine.generate(requests, [&](size_t, image::Image) { ++made; });
    FAIL() << "nothing was thrown";
  } catch (const UsageError& e) {
    EXPECT_THAT(e.what(), HasSubstr("request 3 of 3"));
    EXPECT_THAT(e.what(), HasSubstr("dark"));
  }
  EXPECT_EQ(made, 0u);
  EXPECT_NO_THROW(engine.generate({}, [](size_t, image::Image) {}));
}

TEST_F(EngineTest, PassesOnWhatTheReceiverThrowsAndWorksOn) {
  const auto catalogue = recipe::stand_in_catalogue();
  Engine engine(on_cpu(painter(), 2), catalogue);
  const auto requests = data::balanced_requests(20, {}, engine.offer(), 1);
  size_t made = 0;
  EXPECT_THROW(engine.generate(requests,
                               [&](size_t, image::Image) {
                                 if (++made == 3) throw DataError("disk full");
                               }),
               DataError);
  EXPECT_EQ(made, 3u);
  EXPECT_EQ(all(engine, requests).size(), 20u);
}

TEST_F(EngineTest, LeavesLibtorchsThreadsAsTheyWere) {
  const auto catalogue = recipe::stand_in_catalogue();
  Engine engine(on_cpu(painter(), 2), catalogue);
  const int before = at::get_num_threads();
  engine.generate(data::balanced_requests(2, {}, engine.offer(), 1)[0]);
  EXPECT_EQ(at::get_num_threads(), before);
}

TEST_F(EngineTest, GivesTheSameBytesOnAGpuAloneAndInABatch) {
  if (!torch::cuda::is_available()) GTEST_SKIP() << "no CUDA device, or a libtorch without CUDA";
  EngineOptions options = on_cpu(network("dermgan", {"noise_planes=2"}), 0);
  options.device = "cuda";
  Engine engine(options, models::catalogue());
  // More than two batches, so that the last ones are a recorded graph's.
  const auto requests = data::balanced_requests(19, {"condition"}, engine.offer(), 4);
  const auto together = all(engine, requests);
  for (size_t i = 0; i < requests.size(); ++i) EXPECT_EQ(engine.generate(requests[i]), together[i]) << i;
}

TEST(EngineOptions, NamesWhatIsWrong) {
  EngineOptions options;
  options.bundle = "no-such-bundle";
  EXPECT_THROW(Engine(options, recipe::stand_in_catalogue()), UsageError);
  options.threads = -1;
  EXPECT_THROW(Engine(options, recipe::stand_in_catalogue()), UsageError);
}

}  // namespace
}  // namespace derm::generation
