// `evaluate` and `audit` from outside: figures, verdicts and sentences.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "derm/base/csv.h"
#include "derm/base/files.h"
#include "derm/data/dataset.h"
#include "program.h"

namespace derm::e2e {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

/// 560 phantoms of 64 px (about 84 of them validation), a model that saw them for a few steps, and what it made.
class Evaluation : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    place_ = new Workspace("evaluate");
    const Answer made = place_->dermgan({"phantom", "--count", "560", "--size", "64", "--seed", "1", "--out", "D"});
    ASSERT_EQ(made.code, 0) << made.err;
    const Answer trained = place_->dermgan(small_training("D", "runs", 0.032));
    ASSERT_EQ(trained.code, 0) << trained.err;
    *run_ = trained.last_line();
    const Answer set = place_->dermgan(
        {"generate", "--bundle", *run_, "--count", "70", "--balance", "condition,tone", "--out", "made"});
    ASSERT_EQ(set.code, 0) << set.err;
    const Answer fresh = place_->dermgan({"phantom", "--count", "80", "--size", "64", "--seed", "2", "--out", "fresh"});
    ASSERT_EQ(fresh.code, 0) << fresh.err;
  }
  static void TearDownTestSuite() { delete place_; }
  static std::vector<std::string> random() { return {"--extractor", "random", "--cache", "cache"}; }
  static Answer evaluate(const std::vector<std::string>& more) {
    return place_->dermgan(std::vector<std::string>{"evaluate", "--no-swd"} + random() + more);
  }
  static Answer audit(const std::vector<std::string>& more) {
    return place_->dermgan(std::vector<std::string>{"audit", "--real", "D"} + random() + more);
  }
  static Workspace* place_;
  static std::string* run_;
};
Workspace* Evaluation::place_ = nullptr;
std::string* Evaluation::run_ = new std::string;

TEST_F(Evaluation, ComparesABundleWithPhotographsByTheirOwnMaps) {
  const Answer answer =
      evaluate({"--real", "D", "--bundle", *run_, "--run", *run_, "--keep-images", "--out", "report"});
  ASSERT_EQ(answer.code, 0) << answer.err;
  EXPECT_EQ(answer.last_line(), "report/report.html");
  EXPECT_THAT(answer.out, AllOf(HasSubstr("KID-random-conv-512"), HasSubstr("at equal N"), HasSubstr("control")));
  const json figures = json::parse(read_file(*place_ / "report/evaluation.json"));
  const json& protocol = figures["fidelity"]["protocol"];
  EXPECT_EQ(protocol["reference_split"], "validation");
  EXPECT_EQ(protocol["n_synthetic"], protocol["n_real"]);
  EXPECT_EQ(protocol["ema"], "yes");
  EXPECT_EQ(protocol["extractors"][0]["name"], "random-conv-512");
  EXPECT_GT(CsvTable::read(*place_ / "report/fidelity.csv").size(), 10u);
  EXPECT_EQ(CsvTable::read(*place_ / "report/control.csv").size(), protocol["n_synthetic"].get<size_t>());
  const std::string page = read_file(*place_ / "report/report.html");
  EXPECT_THAT(page, Not(ContainsRegex("src=\"[^d]")));
  for (const char* part : {"Samples", "By skin tone", "Protocol", "Provenance", "Losses of", "SHA-256", "<svg"})
    EXPECT_THAT(page, HasSubstr(part));
  EXPECT_EQ(data::DataSet::open(*place_ / "report/synthetic").records().size(), protocol["n_synthetic"].get<size_t>());
  EXPECT_FALSE(fs::is_empty(*place_ / "cache"));  // features of the photographs were kept
}

TEST_F(Evaluation, ComparesAFolderAndItsRequests) {
  const Answer answer =
      evaluate({"--real", "D", "--split", "train", "--synthetic", "made", "--json", "--out", "folder"});
  ASSERT_EQ(answer.code, 0) << answer.err;
  const json figures = json::parse(answer.out);
  EXPECT_EQ(figures["fidelity"]["protocol"]["n_synthetic"], 70);
  EXPECT_EQ(figures["control"]["count"], 70);
  EXPECT_FALSE(fs::exists(*place_ / "folder/synthetic"));
  const Answer control = place_->dermgan({"evaluate", "--control", "--synthetic", "made", "--out", "control"});
  ASSERT_EQ(control.code, 0) << control.err;
  EXPECT_EQ(CsvTable::read(*place_ / "control/control.csv").size(), 70u);
  // Photographs say nothing of requests: they are compared, but control is not measured.
  const Answer plain =
      evaluate({"--real", "D", "--split", "train", "--synthetic", "fresh", "--json", "--out", "plain"});
  ASSERT_EQ(plain.code, 0) << plain.err;
  EXPECT_FALSE(json::parse(plain.out).contains("control"));
  EXPECT_EQ(place_->dermgan({"evaluate", "--control", "--synthetic", "fresh", "--out", "none"}).code, 3);
}

TEST_F(Evaluation, AuditPassesFreshImagesAndFailsCopiesWithCode4) {
  const Answer fresh = audit({"--synthetic", "fresh", "--out", "audit-fresh"});
  EXPECT_EQ(fresh.code, 0) << fresh.out << fresh.err;
  EXPECT_THAT(fresh.out, HasSubstr("verdict: passed"));
  // A set of training images under other names.
  const auto data = data::DataSet::open(*place_ / "D");
  const std::vector<size_t> rows = data.of_split("train");
  fs::create_directories(*place_ / "copies/images");
  std::string table = "file_name,condition\n";
  for (size_t i = 0; i < 70; ++i) {
    const std::string name = "images/" + std::to_string(i) + ".png";
    fs::copy_file(data.path_of(data.records()[rows[i]].file_name), *place_ / "copies" / name);
    table += name + ",nevus\n";
  }
  write_file(*place_ / "copies/metadata.csv", table);
  const Answer copies = audit({"--synthetic", "copies", "--json", "--out", "audit-copies"});
  EXPECT_EQ(copies.code, 4) << copies.err;
  const json verdict = json::parse(copies.out);
  EXPECT_EQ(verdict["verdict"], "failed");
  EXPECT_EQ(verdict["spaces"][0]["copies"], 70);
  EXPECT_EQ(CsvTable::read(*place_ / "audit-copies/audit.csv").size(), 70u);
  const std::string page = read_file(*place_ / "audit-copies/report.html");
  EXPECT_THAT(page, AllOf(HasSubstr("Verdict: failed"), HasSubstr("closest pairs"),
                          HasSubstr("training photographs of patients")));
}

TEST_F(Evaluation, AuditAsksABundleForNovelImages) {
  const Answer answer = audit({"--bundle", *run_, "--count", "70", "--out", "audit-bundle"});
  EXPECT_TRUE(answer.code == 0 || answer.code == 4) << answer.err;
  const json verdict = json::parse(read_file(*place_ / "audit-bundle/audit.json"));
  EXPECT_EQ(verdict["protocol"]["n_synthetic"], 70);
  EXPECT_FALSE(verdict.contains("warning"));  // it learned from just this data set
  EXPECT_EQ(verdict["verdict"], answer.code == 0 ? "passed" : "failed");
}

TEST_F(Evaluation, ComparesTwoRunsAndMeasuresEqualWeightsOnce) {
  fs::copy(*place_ / *run_, *place_ / "again", fs::copy_options::recursive | fs::copy_options::copy_symlinks);
  const std::vector<std::string> words = {"compare", *run_,        "twin=again", "--no-swd",
                                          "--out",   "comparison", "--real",     "D"};
  const Answer answer = place_->dermgan(words + random());
  ASSERT_EQ(answer.code, 0) << answer.err;
  EXPECT_THAT(answer.out, AllOf(HasSubstr("KID-random-conv-512"), HasSubstr("twin"), HasSubstr("seconds per kimg")));
  EXPECT_EQ(answer.last_line(), "comparison/report.html");
  const json models = json::parse(read_file(*place_ / "comparison/comparison.json"))["models"];
  ASSERT_EQ(models.size(), 2u);
  EXPECT_FALSE(models[1]["evaluated_now"].get<bool>());
  EXPECT_EQ(models[0]["figures"][0]["value"], models[1]["figures"][0]["value"]);
  EXPECT_GT(models[0]["cost"]["s_per_kimg"].get<double>(), 0);
  EXPECT_GT(models[0]["cost"]["memory_bytes"].get<double>(), 1e6);
  EXPECT_TRUE(fs::exists(*place_ / "comparison/evaluations/twin/samples.png"));
  const Answer one = place_->dermgan({"compare", *run_, "--real", "D", "--out", "x"});
  EXPECT_EQ(one.code, 2);
  EXPECT_THAT(one.err, HasSubstr("two or more"));
}

TEST_F(Evaluation, ExploresAModelThatPaintsFromAMap) {
  const Answer way = place_->dermgan({"explore", "interpolate", "--bundle", *run_, "--from", "skin=ita:50,size=0.2",
                                      "--to", "skin=ita:20,size=0.5", "--frames", "3", "--out", "way"});
  ASSERT_EQ(way.code, 0) << way.err;
  EXPECT_EQ(way.last_line(), "way/animation.png");
  EXPECT_TRUE(fs::exists(*place_ / "way/frames/000002.png"));
  const Answer map = place_->dermgan({"explore", "map", "--real", "D", "--synthetic", "made", "--perplexity", "10",
                                      "--iterations", "50", "--out", "map", "--extractor", "random", "--no-cache"});
  ASSERT_EQ(map.code, 0) << map.err;
  EXPECT_EQ(CsvTable::read(*place_ / "map/map.csv").size(), 140u);
  const auto refuses = [&](const std::vector<std::string>& words, const std::string& said) {
    const Answer answer = place_->dermgan(std::vector<std::string>{"explore"} + words);
    EXPECT_EQ(answer.code, 2) << answer.err;
    EXPECT_THAT(answer.err, HasSubstr(said));
    EXPECT_FALSE(fs::exists(*place_ / "x"));
  };
  refuses({"directions", "--bundle", *run_, "--out", "x"}, "no latent space");
  refuses({"truncation", "--bundle", *run_, "--out", "x"}, "no style space");
  refuses({"interpolate", "--bundle", *run_, "--out", "x"}, "this model takes requests");
  refuses({"map", "--real", "D", "--out", "x"}, "--synthetic");
  refuses({"project", "--bundle", *run_, "--out", "x"}, "--photo is missing");
  refuses({"directons"}, "directions");
  refuses({}, "is expected");
}

TEST_F(Evaluation, SaysInOneSentenceWhatCannotBeMeasured) {
  const auto refuses = [&](const Answer& answer, int code, const std::string& said) {
    EXPECT_EQ(answer.code, code) << answer.err;
    EXPECT_THAT(answer.err, HasSubstr(said));
  };
  refuses(evaluate({"--out", "x"}), 2, "--real");
  refuses(evaluate({"--real", "D", "--out", "x"}), 2, "--synthetic");
  refuses(evaluate({"--real", "D", "--synthetic", "made", "--bundle", *run_, "--out", "x"}), 2, "either");
  refuses(evaluate({"--real", "D", "--split", "holdout", "--synthetic", "made", "--out", "x"}), 2, "validation");
  refuses(evaluate({"--real", "D", "--synthetic", "made", "--out", "made"}), 2, "made");
  refuses(evaluate({"--real", "D", "--bundle", *run_, "--count", "400", "--out", "x"}), 2, "novel");
  refuses(evaluate({"--real", "D", "--synthetic", "made", "--taps", "64", "--out", "x"}), 2, "--inception");
  refuses(evaluate({"--real", "D", "--synthetic", "made", "--judges", "nowhere", "--out", "x"}), 2, "nowhere");
  write_file(*place_ / "weights.pth", "no weights");
  refuses(evaluate({"--real", "D", "--synthetic", "made", "--inception", "weights.pth", "--out", "x"}), 3,
          "weights.pth");
  refuses(audit({"--out", "x"}), 2, "--synthetic");
  ASSERT_EQ(place_->dermgan({"generate", "--bundle", *run_, "--count", "10", "--out", "few"}).code, 0);
  refuses(evaluate({"--real", "D", "--synthetic", "few", "--out", "x"}), 3, "at least 64");
  refuses(audit({"--synthetic", "few", "--out", "x"}), 3, "at least 64");
  // One file of another size, and one that is no image.
  fs::copy(*place_ / "made", *place_ / "bad", fs::copy_options::recursive);
  write_file(*place_ / "bad/images/000005.png", "no image");
  refuses(evaluate({"--real", "D", "--synthetic", "bad", "--out", "x"}), 3, "000005.png");
  ASSERT_EQ(place_->dermgan({"phantom", "--count", "1", "--size", "128", "--out", "large"}).code, 0);
  fs::copy_file(*place_ / "large" / data::DataSet::open(*place_ / "large").records()[0].file_name,
                *place_ / "bad/images/000005.png", fs::copy_options::overwrite_existing);
  refuses(evaluate({"--real", "D", "--synthetic", "bad", "--out", "x"}), 3, "128 x 128");
  EXPECT_FALSE(fs::exists(*place_ / "x"));
}

}  // namespace
}  // namespace derm::e2e
