#include "derm/recipe/bundle.h"

#include <unistd.h>

#include <fstream>

#include <ATen/CPUGeneratorImpl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/recipe/stand_in.h"
#include "derm/tensor/safetensors.h"

namespace derm::recipe {
namespace {

using ::testing::HasSubstr;

class Bundle : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::temp_directory_path() / ("derm-bundle-" + std::to_string(getpid()));
    fs::remove_all(root_);
    fs::create_directories(root_);
    config_.recipe = "painter";
    Options options;
    painter_.bind(options);
    config_.options = options.to_json();
    config_.size_px = 64;
    config_.conditions = {"melanoma", "nevus"};
    config_.map.conditions = config_.conditions;
    config_.map.size_px = 64;
    config_.offer.conditions = config_.conditions;
    config_.training = {{"kimg", 1.5}};
    at::Generator random = at::detail::createCPUGenerator(3);
    players_ = painter_.make_players(image_spec(painter_, 64, config_.conditions), random);
    config_.canary = make_canary(generator_of(players_), config_, painter_.needs());
  }
  void TearDown() override { fs::remove_all(root_); }

  void write(const fs::path& path, const std::string& card = "card\n") {
    write_bundle(path, {.config = config_, .generator = players_.at("generator").get(), .card = card});
  }
  static void change(const fs::path& file, const std::string& bytes) { std::ofstream(file, std::ios::binary) << bytes; }
  template <class F>
  static std::string fault_of(F f) {
    try {
      f();
    } catch (const DataError& e) {
      return e.what();
    } catch (const UsageError& e) {
      return std::string("usage: ") + e.what();
    }
    return "nothing was thrown";
  }

  fs::path root_;
  Painter painter_;
  BundleConfig config_;
  Players players_;
};

TEST_F(Bundle, GivesBackItsConfigAndWeights) {
  write(root_ / "b");
  const Catalogue catalogue = stand_in_catalogue();
  const LoadedGenerator loaded = load_bundle(root_ / "b", catalogue, at::kCPU);
  EXPECT_EQ(to_json(loaded.config), to_json(config_));
  EXPECT_EQ(loaded.config.map.size_px, 64);
  EXPECT_FALSE(generator_of(loaded.players).is_training());
  EXPECT_EQ(loaded.players.size(), 1u);
  // fp16 keeps 11 bits: a weight of 0.002 is off by less than 2e-6.
  const auto before = players_.at("generator")->named_parameters(),
             after = loaded.players.at("generator")->named_parameters();
  EXPECT_LT((before["weight"] - after["weight"]).abs().max().item<double>(), 1e-5);
  EXPECT_TRUE(torch::equal(before["depth"], after["depth"]));  // vectors stay fp32
  EXPECT_EQ(read_file(root_ / "b" / "README.md"), "card\n");
}

TEST_F(Bundle, ListsEveryFileInItsChecksums) {
  write(root_ / "b");
  const std::string sums = read_file(root_ / "b" / "SHA256SUMS");
  for (const auto& entry : fs::directory_iterator(root_ / "b")) {
    const std::string name = entry.path().filename();
    if (name == "SHA256SUMS") continue;
    EXPECT_THAT(sums, HasSubstr(sha256_file(entry.path()) + "  " + name + "\n"));
  }
  EXPECT_THAT(sums, HasSubstr(bundle_sha256(root_ / "b")));
}

TEST_F(Bundle, UsesHalfPrecisionForWeightsOnlyAndPyTorchNames) {
  write(root_ / "b");
  const auto file = tensor::read_safetensors(root_ / "b" / "model.safetensors");
  EXPECT_EQ(file.tensors.at("weight").scalar_type(), at::kHalf);
  EXPECT_EQ(file.tensors.at("depth").scalar_type(), at::kFloat);
  EXPECT_EQ(file.tensors.at("images_seen").scalar_type(), at::kLong);
  write_bundle(root_ / "full",
               {.config = config_, .generator = players_.at("generator").get(), .card = "", .half = false});
  EXPECT_EQ(tensor::read_safetensors(root_ / "full" / "model.safetensors").tensors.at("weight").scalar_type(),
            at::kFloat);
}

TEST_F(Bundle, ReplacesAnOlderOneWholeButNothingElse) {
  write(root_ / "b", "first\n");
  std::ofstream(root_ / "b" / "stray") << "x";
  write(root_ / "b", "second\n");
  EXPECT_EQ(read_file(root_ / "b" / "README.md"), "second\n");
  EXPECT_FALSE(fs::exists(root_ / "b" / "stray"));
  EXPECT_EQ(std::distance(fs::directory_iterator(root_), fs::directory_iterator()), 1);
  EXPECT_NO_THROW(read_bundle_config(root_ / "b"));
  fs::create_directories(root_ / "photos");
  std::ofstream(root_ / "photos" / "mine.jpg") << "x";
  EXPECT_THROW(write(root_ / "photos"), UsageError);
  EXPECT_TRUE(fs::exists(root_ / "photos" / "mine.jpg"));
}

TEST_F(Bundle, IsFoundInARunItsCheckpointsAndByItself) {
  const fs::path run = root_ / "00001-painter";
  fs::create_directories(run / "checkpoints");
  std::ofstream(run / "config.toml") << "recipe = \"painter\"\n";
  EXPECT_THAT(fault_of([&] { find_bundle(run); }), HasSubstr("has not written a checkpoint yet"));
  for (const char* step : {"step-000100", "step-000200"}) write(run / "checkpoints" / step / "bundle");
  EXPECT_EQ(find_bundle(run), run / "checkpoints/step-000200/bundle");
  fs::create_directory_symlink("checkpoints/step-000200", run / "latest");
  EXPECT_EQ(find_bundle(run), run / "latest/bundle");
  fs::create_directory_symlink("checkpoints/step-000100", run / "best");
  EXPECT_EQ(find_bundle(run), run / "best/bundle");
  EXPECT_EQ(find_bundle(run / "checkpoints/step-000200"), run / "checkpoints/step-000200/bundle");
  EXPECT_EQ(find_bundle(run / "best/bundle"), run / "best/bundle");
  EXPECT_EQ(find_bundle(run / "best/bundle/model.safetensors"), run / "best/bundle");
}

TEST_F(Bundle, SaysWhatIsThereInstead) {
  EXPECT_THAT(fault_of([&] { find_bundle(root_ / "none"); }), HasSubstr("usage: "));
  std::ofstream(root_ / "metadata.csv") << "file_name\n";
  EXPECT_THAT(fault_of([&] { find_bundle(root_); }), HasSubstr("is a data set"));
  fs::remove(root_ / "metadata.csv");
  std::ofstream(root_ / "holiday.jpg") << "x";
  EXPECT_THAT(fault_of([&] { find_bundle(root_); }), HasSubstr("it holds holiday.jpg"));
  write(root_ / "b");
  EXPECT_THAT(fault_of([&] { find_bundle(root_); }), HasSubstr((root_ / "b").string()));
}

TEST_F(Bundle, NamesTheFileThatWasCutShortOrChanged) {
  write(root_ / "b");
  const fs::path weights = root_ / "b" / "model.safetensors";
  const std::string good = read_file(weights);
  change(weights, good.substr(0, good.size() - 7));
  EXPECT_THAT(fault_of([&] { read_bundle_config(root_ / "b"); }), HasSubstr("model.safetensors: its checksum is"));
  change(weights, good);
  EXPECT_NO_THROW(read_bundle_config(root_ / "b"));
  const std::string config = read_file(root_ / "b" / "config.json");
  change(root_ / "b" / "config.json", config.substr(0, config.size() / 2));
  EXPECT_THAT(fault_of([&] { read_bundle_config(root_ / "b"); }), HasSubstr("config.json: its checksum is"));
  change(root_ / "b" / "config.json", config);
  fs::remove(weights);
  EXPECT_THAT(fault_of([&] { read_bundle_config(root_ / "b"); }), HasSubstr("model.safetensors is missing"));
  change(weights, good);
  fs::remove(root_ / "b" / "SHA256SUMS");
  EXPECT_THAT(fault_of([&] { read_bundle_config(root_ / "b"); }), HasSubstr("SHA256SUMS"));
}

TEST_F(Bundle, RefusesANewerFormatAndAnUnknownRecipe) {
  config_.format = 2;
  write(root_ / "new");
  EXPECT_THAT(fault_of([&] { read_bundle_config(root_ / "new"); }), HasSubstr("install a newer dermgan"));
  config_.format = 1;
  config_.recipe = "paintr";
  write(root_ / "other");
  const Catalogue catalogue = stand_in_catalogue();
  const std::string fault = fault_of([&] { load_bundle(root_ / "other", catalogue, at::kCPU); });
  EXPECT_THAT(fault, HasSubstr("painter"));
  EXPECT_THAT(fault, HasSubstr("config.json"));
  config_.recipe = "painter";
  config_.options["textur"] = 1;
  write(root_ / "third");
  EXPECT_THAT(fault_of([&] { load_bundle(root_ / "third", catalogue, at::kCPU); }), HasSubstr("textur"));
}

TEST_F(Bundle, RefusesWeightsOfAnotherShape) {
  config_.conditions.push_back("wart");  // one more plane than the weights were made for
  config_.offer.conditions = config_.conditions;
  write(root_ / "b");
  const Catalogue catalogue = stand_in_catalogue();
  EXPECT_THAT(fault_of([&] { load_bundle(root_ / "b", catalogue, at::kCPU); }), HasSubstr("weight"));
}

TEST_F(Bundle, ItsCanaryTellsAnotherImage) {
  EXPECT_EQ(config_.canary.mean.size(), 3u);
  const data::Request request = data::request_from_json(config_.canary.request);
  const tensor::ComputePolicy exact;
  const image::Image image = image_of_request(generator_of(players_), request, config_.map, painter_.needs(), exact);
  EXPECT_EQ(canary_fault(config_.canary, image), "");
  image::Image brighter = image;
  for (uint8_t& v : brighter.pixels) v = static_cast<uint8_t>(std::min(255, v + 3));
  EXPECT_THAT(canary_fault(config_.canary, brighter), HasSubstr("the mean of its red is"));
  tensor::ComputePolicy coarse;
  coarse.dtype = at::kBFloat16;
  EXPECT_EQ(canary_fault(config_.canary,
                         image_of_request(generator_of(players_), request, config_.map, painter_.needs(), coarse)),
            "");
}

TEST(BundleConfig, NamesWhatIsMissingOrOfTheWrongType) {
  const auto fault = [](const nlohmann::json& json) {
    try {
      config_from_json(json, "here");
    } catch (const DataError& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  EXPECT_THAT(fault(nlohmann::json::object()), HasSubstr("here: \"format\" is missing"));
  EXPECT_THAT(fault({{"format", "one"}}), HasSubstr("\"format\" is \"one\""));
  EXPECT_THAT(fault(nlohmann::json::array()), HasSubstr("here"));
}

TEST(InputsOf, DrawsTheLatentFromTheSeedAndTheLabelFromTheCondition) {
  data::Wish wish;
  wish.condition = "nevus";
  wish.seed = 7;
  data::Offer offer;
  offer.conditions = {"melanoma", "nevus"};
  const data::Request request = data::make_request(wish, offer);
  data::MapSpec map;
  map.conditions = offer.conditions;
  map.size_px = 32;
  Needs needs;
  needs.latent = 1000;
  needs.label = needs.map = true;
  const tensor::Inputs inputs = inputs_of(request, map, needs);
  EXPECT_EQ(inputs.label.item<int64_t>(), 1);
  EXPECT_EQ(inputs.map.sizes(), (at::IntArrayRef{1, 6, 32, 32}));
  EXPECT_TRUE(torch::equal(inputs.latent, inputs_of(request, map, needs).latent));
  EXPECT_NEAR(inputs.latent.mean().item<double>(), 0, 0.1);
  EXPECT_NEAR(inputs.latent.std().item<double>(), 1, 0.1);
  wish.seed = 8;
  EXPECT_FALSE(torch::equal(inputs.latent, inputs_of(data::make_request(wish, offer), map, needs).latent));
}

}  // namespace
}  // namespace derm::recipe
