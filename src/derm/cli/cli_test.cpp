// The command line as a program meets it: exit codes, sentences, and the layers of a run file.
#include <filesystem>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/cli/program.h"
#include "derm/cli/run_file.h"
#include "derm/models/catalogue.h"
#include "derm/recipe/stand_in.h"

namespace derm::cli {
namespace {

using testing::HasSubstr;

struct Answer {
  int code = 0;
  std::string out, err;
};

Answer dermgan(const std::vector<std::string>& words) {
  std::vector<const char*> argv{"dermgan"};
  for (const std::string& word : words) argv.push_back(word.c_str());
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  Answer answer;
  answer.code = run(static_cast<int>(argv.size()), argv.data());
  answer.out = testing::internal::GetCapturedStdout();
  answer.err = testing::internal::GetCapturedStderr();
  return answer;
}

fs::path file_with(const std::string& text) {
  const fs::path file = fs::path(testing::TempDir()) / "derm-cli-run.toml";
  write_file(file, text);
  return file;
}

TEST(Program, HelpAtEachLevelHasAnExample) {
  for (const std::string verb : {"", "prepare", "train", "generate", "evaluate", "utility", "phantom", "info"}) {
    const Answer answer = verb.empty() ? dermgan({"--help"}) : dermgan({verb, "--help"});
    EXPECT_EQ(answer.code, 0) << verb;
    EXPECT_THAT(answer.out, HasSubstr("Example:\n  dermgan " + verb)) << verb;
    EXPECT_EQ(answer.err, "") << verb;
  }
}

TEST(Program, SaysItsVersion) { EXPECT_THAT(dermgan({"--version"}).out, testing::StartsWith("dermgan 0.")); }

/// An untrained model from noise, with two conditions.
fs::path noise_bundle(bool conditional) {
  const fs::path bundle = fs::path(testing::TempDir()) / (conditional ? "derm-cli-classes" : "derm-cli-noise");
  auto recipe = models::catalogue().make("melano-dcgan");
  Options options;
  recipe->bind(options);
  options.set("width=8");
  options.set("norm=instance");  // else starting weights leave every image grey
  if (conditional) options.set("class_conditional=true");
  recipe::write_untrained_bundle(bundle, *recipe, "melano-dcgan", 64, recipe::stand_in_offer());
  return bundle;
}

TEST(Generate, FromNoiseHeedsTheSeedAndRefusesWhatTheModelCannotBeTold) {
  const std::string bundle = noise_bundle(false).string(), classes = noise_bundle(true).string();
  const auto made = [](const std::string& from, std::vector<std::string> words) {
    const std::string out = (fs::path(testing::TempDir()) / "derm-cli-made.png").string();
    words.insert(words.begin(), {"generate", "--bundle", from, "--out", out, "--threads", "1", "--precision", "fp32"});
    const Answer answer = dermgan(words);
    return std::pair{answer, answer.code == 0 ? sha256_file(out) : std::string()};
  };
  const auto [first, image] = made(bundle, {"--seed", "3"});
  EXPECT_EQ(first.code, 0) << first.err;
  EXPECT_EQ(image, made(bundle, {"--seed", "3"}).second);
  EXPECT_NE(image, made(bundle, {"--seed", "4"}).second);
  const std::vector<std::vector<std::string>> refused = {{"--skin", "ita:20"},
                                                         {"--size", "0.3"},
                                                         {"--condition", "dark"},
                                                         {"--sweep", "skin=ita:0..50:3"},
                                                         {"--count", "4", "--balance", "tone"}};
  for (const auto& words : refused) {
    const Answer answer = made(bundle, words).first;
    EXPECT_EQ(answer.code, 2) << words[0];
    EXPECT_THAT(answer.err, HasSubstr("melano-dcgan makes images from noise alone")) << words[0];
  }
  EXPECT_THAT(made(bundle, refused[3]).first.err, HasSubstr("a sweep of the skin"));
  // With classes the condition is heeded, and nothing else.
  const auto dark = made(classes, {"--condition", "dark"}), light = made(classes, {"--condition", "light"});
  EXPECT_EQ(dark.first.code, 0) << dark.first.err;
  EXPECT_NE(dark.second, light.second);
  EXPECT_THAT(made(classes, {"--skin", "ita:20"}).first.err, HasSubstr("from noise and the condition alone"));
}

TEST(Program, WithoutAVerbShowsTheHelpAndAnswers2) {
  const Answer answer = dermgan({});
  EXPECT_EQ(answer.code, 2);
  EXPECT_EQ(answer.out, "");
  EXPECT_THAT(answer.err, HasSubstr("prepare"));
}

TEST(Program, OffersTheNearestVerb) {
  const Answer answer = dermgan({"genrate", "--bundle", "b"});
  EXPECT_EQ(answer.code, 2);
  EXPECT_THAT(answer.err, HasSubstr("\"genrate\" is not a verb; did you mean \"generate\"?"));
}

TEST(Program, OffersTheNearestFlagEvenWhenARequiredOneIsMissing) {
  for (const std::vector<std::string>& words : {std::vector<std::string>{"prepare", "photographs", "--ouut", "D"},
                                                std::vector<std::string>{"prepare", "photographs", "--ouut=D"}}) {
    const Answer answer = dermgan(words);
    EXPECT_EQ(answer.code, 2);
    EXPECT_THAT(answer.err, HasSubstr("\"--ouut\" is not a flag of this command; did you mean \"--out\"?"));
  }
}

TEST(Program, NamesTheFlagThatIsMissing) {
  const Answer answer = dermgan({"prepare", "photographs"});
  EXPECT_EQ(answer.code, 2);
  EXPECT_THAT(answer.err, HasSubstr("--out is missing"));
}

TEST(Program, RefusesOneArgumentTooMany) {
  const Answer answer = dermgan({"info", "one", "two"});
  EXPECT_EQ(answer.code, 2);
  EXPECT_THAT(answer.err, HasSubstr("\"two\" is one argument too many"));
}

TEST(Program, RefusesTextWhereANumberBelongs) {
  const Answer answer = dermgan({"phantom", "--out", "D", "--count", "many"});
  EXPECT_EQ(answer.code, 2);
  EXPECT_THAT(answer.err, HasSubstr("--count"));
}

TEST(Program, AnswersInOneLine) {
  const Answer answer = dermgan({"info", "no/such/path"});
  EXPECT_EQ(answer.code, 2);
  EXPECT_EQ(std::count(answer.err.begin(), answer.err.end(), '\n'), 1);
  EXPECT_THAT(answer.err, HasSubstr("no/such/path: there is no such file or folder"));
}

TEST(Train, ASettingThatARunKeepsDoesNotGoWithResume) {
  const Answer answer = dermgan({"train", "--resume", "runs/0", "--batch", "4"});
  EXPECT_EQ(answer.code, 2);
  EXPECT_THAT(answer.err, HasSubstr("--batch does not go with --resume"));
}

TEST(Generate, SweepAndCountDoNotGoTogether) {
  const Answer answer = dermgan({"generate", "--bundle", "b", "--out", "o", "--sweep", "seed=1..3", "--count", "4"});
  EXPECT_EQ(answer.code, 2);
  EXPECT_THAT(answer.err, HasSubstr("--sweep makes a grid and does not go with --count"));
}

TEST(RunFile, FlagsWinOverSetWinsOverTheFileWinsOverDefaults) {
  const fs::path file = file_with("recipe = \"pix2pix\"\nbatch = 3\nkimg = 3.0\nseed = 3\n[model]\nwidth = 24\n");
  const RunFile run = read_run_file(
      file.string(), {"kimg=5", "seed=5", "model.lr=0.5"}, "",
      [](training::TrainOptions& options) { options.seed = 7; }, models::catalogue());
  EXPECT_EQ(run.options.recipe, "pix2pix");                            // file
  EXPECT_EQ(run.options.batch, 3);                                     // file
  EXPECT_EQ(run.options.kimg, 5);                                      // --set
  EXPECT_EQ(run.options.seed, 7);                                      // flag
  EXPECT_EQ(run.options.ema_kimg, training::TrainOptions().ema_kimg);  // default
  Options model;
  run.recipe->bind(model);
  EXPECT_EQ(model.to_json()["width"], 24);
  EXPECT_EQ(model.to_json()["lr"], 0.5);
}

TEST(RunFile, TheFlagChoosesTheRecipeBeforeItsOptionsAreRead) {
  const fs::path file = file_with("recipe = \"dermgan\"\n[model]\nmin_patch = false\n");
  EXPECT_NO_THROW(read_run_file(
      file.string(), {}, "", [](auto&) {}, models::catalogue()));
  EXPECT_THROW(read_run_file(
                   file.string(), {}, "pix2pix", [](auto&) {}, models::catalogue()),
               UsageError);  // has no min_patch
}

TEST(RunFile, AMistypedKeyIsNamedWithTheNearest) {
  const auto message = [](const std::string& text) -> std::string {
    try {
      read_run_file(
          file_with(text).string(), {}, "", [](auto&) {}, models::catalogue());
    } catch (const UsageError& error) {
      return error.what();
    }
    return "nothing was thrown";
  };
  EXPECT_THAT(message("bacth = 4\n"), HasSubstr("did you mean \"batch\"?"));
  EXPECT_THAT(message("[model]\nwidht = 4\n"), HasSubstr("did you mean \"model.width\"?"));
  EXPECT_THAT(message("recipe = \"dermgna\"\n"), HasSubstr("did you mean \"dermgan\"?"));
  EXPECT_THAT(message("batch = \n"), HasSubstr("not valid TOML"));
}

TEST(RunFile, AllShippedFilesAreRead) {
  size_t files = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(fs::path(DERM_SOURCE_DIR) / "recipes")) {
    ++files;
    EXPECT_NO_THROW(read_run_file(
        entry.path().string(), {}, "", [](auto&) {}, models::catalogue()))
        << entry.path();
  }
  EXPECT_GE(files, 4u);
}

}  // namespace
}  // namespace derm::cli
