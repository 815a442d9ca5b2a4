// From photographs to images to order, verb by verb.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "derm/base/csv.h"
#include "derm/base/files.h"
#include "derm/data/dataset.h"
#include "derm/image/codec.h"
#include "program.h"

namespace derm::e2e {
namespace {

using nlohmann::json;
using testing::Contains;
using testing::HasSubstr;

class Workflow : public testing::Test {
 protected:
  const Shop& shop_ = Shop::get();
  const Workspace& place_ = shop_.workspace();

  std::vector<std::string> generate(const std::string& out) const {
    return {"generate", "--bundle", shop_.run(), "--out", out};
  }
};

TEST_F(Workflow, PhantomPrepareAndTrainAnswer0) {
  EXPECT_EQ(shop_.phantom.code, 0) << shop_.phantom.err;
  EXPECT_EQ(shop_.prepare.code, 0) << shop_.prepare.err;
  EXPECT_EQ(shop_.train.code, 0) << shop_.train.err;
}

TEST_F(Workflow, PrepareWritesADataSetAndATableOfItsCounts) {
  const auto set = data::DataSet::open(place_ / "D");
  EXPECT_EQ(set.records().size(), 48u);
  EXPECT_EQ(set.size_px(), 64);
  EXPECT_EQ(set.fingerprint().size(), 64u);
  EXPECT_THAT(shop_.prepare.out, HasSubstr("condition"));
  EXPECT_THAT(shop_.prepare.out, HasSubstr(set.conditions().front()));
  EXPECT_TRUE(fs::exists(place_ / "D/preview.png"));
}

TEST_F(Workflow, TrainWritesARunDirectoryAndSaysWhere) {
  const fs::path run = place_ / shop_.run();
  EXPECT_EQ(shop_.run(), "runs/00000-dermgan-D-64");
  for (const char* name : {"config.toml", "command.txt", "environment.json", "data_fingerprint.json", "log.txt",
                           "stats.jsonl", "reals.png", "fakes000008.png", "README.md", "report.html", "latest", "best",
                           "checkpoints/step-000008/generator.safetensors", "checkpoints/step-000008/state.json"}) {
    EXPECT_TRUE(fs::exists(run / name)) << name;
  }
  EXPECT_THAT(read_file(run / "command.txt"), HasSubstr("train --data D"));
}

TEST_F(Workflow, InfoKnowsWhatEachOfThemIs) {
  const auto kind = [&](const std::string& path) {
    const Answer answer = place_.dermgan({"info", path, "--json"});
    EXPECT_EQ(answer.code, 0) << answer.err;
    return json::parse(answer.out)["kind"].get<std::string>();
  };
  EXPECT_EQ(kind("D"), "data set");
  EXPECT_EQ(kind(shop_.run()), "run");
  EXPECT_EQ(kind(shop_.run() + "/latest/bundle"), "bundle");
  EXPECT_THAT(place_.dermgan({"info", shop_.run()}).out, HasSubstr("step-000008"));
  const Answer machine = place_.dermgan({"info", "--system", "--json"});
  EXPECT_EQ(machine.code, 0) << machine.err;
  EXPECT_THAT(json::parse(machine.out)["recipes"].get<std::vector<std::string>>(), Contains("dermgan"));
}

TEST_F(Workflow, DryRunPromisesAndLeavesNothing) {
  const Answer answer = place_.dermgan(small_training("D", "no-runs", 0.032) + std::vector<std::string>{"--dry-run"});
  EXPECT_EQ(answer.code, 0) << answer.err;
  EXPECT_THAT(answer.out, HasSubstr("memory"));
  EXPECT_FALSE(fs::exists(place_ / "no-runs"));
}

TEST_F(Workflow, OneImageCarriesItsRequest) {
  const Answer answer = place_.dermgan(
      generate("one.png") + std::vector<std::string>{"--skin", "#c68642", "--size", "0.3", "--seed", "5", "--json"});
  ASSERT_EQ(answer.code, 0) << answer.err;
  EXPECT_EQ(json::parse(answer.out)["images"], 1);
  const auto text = image::read_png_text(place_ / "one.png");
  EXPECT_EQ(text.at("image_manipulation"), "synthetic");
  EXPECT_EQ(text.at("seed"), "5");
  const Answer info = place_.dermgan({"info", "one.png", "--json"});
  EXPECT_EQ(json::parse(info.out)["generated"], true);
}

TEST_F(Workflow, TheSameRequestGivesTheSameBytesWhateverTheThreadsAndTheCompany) {
  ASSERT_EQ(place_.dermgan(generate("alone.png") + std::vector<std::string>{"--seed", "2", "--threads", "1"}).code, 0);
  ASSERT_EQ(place_.dermgan(generate("again.png") + std::vector<std::string>{"--seed", "2", "--threads", "2"}).code, 0);
  EXPECT_EQ(read_file(place_ / "alone.png"), read_file(place_ / "again.png"));
  ASSERT_EQ(place_.dermgan(generate("company") + std::vector<std::string>{"--seed", "0", "--count", "5"}).code, 0);
  const auto set = data::DataSet::open(place_ / "company");
  ASSERT_EQ(set.records().size(), 5u);
  EXPECT_EQ(image::read_image(set.path_of(set.records()[2].file_name)), image::read_image(place_ / "alone.png"));
}

TEST_F(Workflow, OneSweepIsARowTwoAreALabelledGrid) {
  const Answer row = place_.dermgan(generate("row") + std::vector<std::string>{"--sweep", "size=0.1..0.6:6"});
  ASSERT_EQ(row.code, 0) << row.err;
  EXPECT_EQ(data::DataSet::open(place_ / "row").records().size(), 6u);
  const Answer grid = place_.dermgan(
      generate("grid") + std::vector<std::string>{"--sweep", "skin=ita:-20..50:3", "--sweep", "size=0.2,0.4"});
  ASSERT_EQ(grid.code, 0) << grid.err;
  EXPECT_EQ(grid.last_line(), "grid/grid.png");
  EXPECT_EQ(data::DataSet::open(place_ / "grid").records().size(), 6u);
  const image::Image sheet = image::read_image(place_ / "grid/grid.png");
  EXPECT_GT(sheet.width, 2 * 64);
  EXPECT_GT(sheet.height, 3 * 64);
}

TEST_F(Workflow, APlanIsGoneThroughAsOftenAsItTakes) {
  write_file(place_ / "plan.csv", "size,x,seed\n0.3,0.4,1\n0.2,0.6,2\n");
  const Answer answer =
      place_.dermgan(generate("planned") + std::vector<std::string>{"--plan", "plan.csv", "--count", "4"});
  ASSERT_EQ(answer.code, 0) << answer.err;
  const auto set = data::DataSet::open(place_ / "planned");
  ASSERT_EQ(set.records().size(), 4u);
  EXPECT_NE(read_file(set.path_of(set.records()[0].file_name)),
            read_file(set.path_of(set.records()[2].file_name)));  // a fresh seed
}

TEST_F(Workflow, ABalancedDrawIsADataSetThatTrainReads) {
  const Answer answer =
      place_.dermgan(generate("drawn") + std::vector<std::string>{"--count", "12", "--balance", "condition,tone"});
  ASSERT_EQ(answer.code, 0) << answer.err;
  EXPECT_EQ(data::DataSet::open(place_ / "drawn").records().size(), 12u);
  const Answer dry = place_.dermgan(small_training("drawn", "no-runs", 0.032) + std::vector<std::string>{"--dry-run"});
  EXPECT_EQ(dry.code, 0) << dry.err;
}

TEST_F(Workflow, SeveralRegionsStandInOneImage) {
  const auto conditions = data::DataSet::open(place_ / "D").conditions();
  const Answer answer = place_.dermgan(
      generate("two") + std::vector<std::string>{"--x", "0.3", "--size", "0.2", "--region",
                                                 "condition=" + conditions.back() + ",x=0.7,y=0.7,size=0.2"});
  ASSERT_EQ(answer.code, 0) << answer.err;
  const auto set = data::DataSet::open(place_ / "two");
  EXPECT_EQ(set.records().front().boxes.size(), 2u);
}

TEST_F(Workflow, WhatLiesBeyondTheDataIsSaid) {
  const Answer answer = place_.dermgan(generate("pale.png") + std::vector<std::string>{"--skin", "ita:88"});
  ASSERT_EQ(answer.code, 0) << answer.err;
  EXPECT_THAT(answer.err, HasSubstr("extrapolated"));
}

TEST_F(Workflow, EvaluateWritesAReportThatNeedsNoOtherFile) {
  const Answer answer = place_.dermgan(
      {"evaluate", "--control", "--bundle", shop_.run(), "--count", "12", "--run", shop_.run(), "--out", "report"});
  ASSERT_EQ(answer.code, 0) << answer.err;
  EXPECT_EQ(answer.last_line(), "report/report.html");
  const std::string page = read_file(place_ / "report/report.html");
  EXPECT_THAT(page, HasSubstr("data:image/"));
  EXPECT_THAT(page, testing::Not(testing::ContainsRegex("src=\"[^d]")));
  const json control = json::parse(read_file(place_ / "report/control.json"));
  EXPECT_EQ(control["count"], 12);
  EXPECT_EQ(CsvTable::read(place_ / "report/control.csv").size(), 12u);
}

TEST_F(Workflow, UtilityTestsWhetherTheImagesHelp) {
  const std::vector<std::string> words = {"utility",
                                          "--real",
                                          "D",
                                          "--bundle",
                                          shop_.run(),
                                          "--out",
                                          "helps",
                                          "--set",
                                          R"(arms=["real", "real+duplicates=1", "real+synthetic=1"])",
                                          "--set",
                                          "size_px=32",
                                          "--set",
                                          "bootstrap=100",
                                          "--set",
                                          "classifier.network=small",
                                          "--set",
                                          "classifier.steps=4",
                                          "--set",
                                          "classifier.validate_every=2"};
  // The run has learned from the set's own training split: it fits no other folds.
  const Answer leak = place_.dermgan(words + std::vector<std::string>{"--set", "folds=2"});
  EXPECT_EQ(leak.code, 3);
  EXPECT_THAT(leak.err, HasSubstr("test photographs"));
  const Answer answer = place_.dermgan(words + std::vector<std::string>{"--set", "folds=1"});
  ASSERT_EQ(answer.code, 0) << answer.err;
  EXPECT_EQ(answer.last_line(), "helps/report.html");
  EXPECT_THAT(answer.out, HasSubstr("real+synthetic=1 against real+duplicates=1"));
  EXPECT_THAT(read_file(place_ / "helps/report.html"), testing::Not(testing::ContainsRegex("src=\"[^d]")));
  const json results = json::parse(read_file(place_ / "helps/results.json"));
  EXPECT_EQ(results["registration"]["data_fingerprint"], data::DataSet::open(place_ / "D").fingerprint());
  const Answer other = place_.dermgan(words + std::vector<std::string>{"--set", "folds=1", "--set", "seeds=2"});
  EXPECT_EQ(other.code, 2);
  EXPECT_THAT(other.err, HasSubstr("/design/seeds"));
}

TEST_F(Workflow, TrainingStartsFromABundle) {
  const Answer answer =
      place_.dermgan(small_training("D", "transfer", 0.008) + std::vector<std::string>{"--init-from", shop_.run()});
  ASSERT_EQ(answer.code, 0) << answer.err;
  EXPECT_THAT(answer.err, HasSubstr("starts from"));
}

}  // namespace
}  // namespace derm::e2e
