#include "derm/evaluation/compare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "derm/base/csv.h"
#include "derm/base/error.h"
#include "derm/base/testing/sentence.h"
#include "derm/evaluation/testing/sets.h"
#include "derm/ranks/testing/ranks.h"
#include "derm/recipe/bundle.h"
#include "derm/recipe/stand_in.h"

namespace derm::evaluation {
namespace {

using derm::testing::sentence_of;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

/// Paints an even colour that the latent, and the class if there are any, choose.
class NoiseNet : public recipe::Generator {
 public:
  explicit NoiseNet(int64_t size_px) : size_px_(size_px) {
    weight = register_parameter("weight", torch::tensor({{0.3F, 0.0F, 0.0F}, {0.0F, 0.3F, 0.0F}}));
  }
  at::Tensor generate(const tensor::Inputs& inputs) override {
    at::Tensor colour = at::tanh(inputs.latent.to(at::kFloat).matmul(weight));
    if (inputs.label.defined()) colour = colour + inputs.label.to(at::kFloat).unsqueeze(1) * 0.1;
    return colour.clamp(-1, 1).unsqueeze(2).unsqueeze(3).expand({-1, 3, size_px_, size_px_}).contiguous();
  }
  at::Tensor weight;

 private:
  int64_t size_px_;
};

class Noise : public recipe::Painter {
 public:
  bool classes = false;
  void bind(Options& o) override { o.add("classes", classes, "heeds the condition"); }
  recipe::Needs needs() const override { return {.latent = 2, .label = classes}; }
  recipe::Players make_players(const recipe::ImageSpec& spec, at::Generator&) const override {
    return {{"generator", std::make_shared<NoiseNet>(spec.size_px)}};
  }
};

recipe::Catalogue catalogue() {
  recipe::Catalogue all = recipe::stand_in_catalogue();
  all.add("noise", "even colours", [] { return std::make_unique<Noise>(); });
  return all;
}

/// An evaluation.json with one figure, as evaluate writes it.
nlohmann::json evaluation(const std::string& sha, double kid, double half, const std::string& fingerprint,
                          uint64_t seed = 0) {
  return {{"fidelity",
           {{"protocol", {{"n_real", 100}, {"n_synthetic", 90}, {"seed", seed}, {"reference", "D (validation)"}}},
            {"groups",
             {{{"kind", "all"},
               {"name", ""},
               {"n_real", 100},
               {"n_synthetic", 90},
               {"figures",
                {{{"metric", "KID-768"},
                  {"space", "inception-768"},
                  {"value", kid},
                  {"interval", {kid - half, kid + half}},
                  {"floor", 0.001},
                  {"synthetic_at_equal_n", kid + 0.001},
                  {"n_floor", 50},
                  {"better", "lower"},
                  {"note", ""}}}}}}}}},
          {"protocol", {{"reference_fingerprint", "d"}, {"seed", seed}}},
          {"bundle",
           {{"sha256", sha},
            {"recipe", "painter"},
            {"size_px", 64},
            {"parameters", 2500000},
            {"training", {{"data", "isic"}, {"data_fingerprint", fingerprint}, {"kimg", 4.0}, {"elapsed_s", 600.0}}}}}};
}

class CompareTest : public ::testing::Test {
 protected:
  CompareTest() : folder_("compare") {}
  CompareSource write(const std::string& name, const nlohmann::json& json) {
    fs::create_directories(folder_ / name);
    write_file(folder_ / (name + "/evaluation.json"), json.dump());
    return {"", folder_ / name};
  }
  Comparison compared(const std::vector<CompareSource>& sources, bool mixed = false) {
    CompareOptions options;
    options.sources = sources;
    options.mixed = mixed;
    fs::remove_all(folder_ / "out");
    return compare(options, catalogue(), folder_ / "out");
  }
  testing::Folder folder_;
};

TEST_F(CompareTest, TheLowestLeadsAndWhatItsIntervalDoesNotTellFromIt) {
  // 0.010 +- 0.002 reaches 0.012; 0.013 +- 0.002 begins at 0.011; 0.020 +- 0.002 at 0.018.
  const Comparison c =
      compared({write("a", evaluation("1", 0.013, 0.002, "f")), write("b", evaluation("2", 0.010, 0.002, "f")),
                write("c", evaluation("3", 0.020, 0.002, "f"))});
  std::vector<bool> leads;
  const nlohmann::json json = c.to_json();
  for (const auto& m : json["models"]) leads.push_back(m["figures"][0]["leads"]);
  EXPECT_THAT(leads, ElementsAre(true, true, false));
  EXPECT_THAT(c.marks, IsEmpty());
  EXPECT_THAT(c.to_text(), AllOf(HasSubstr("0.01000 [0.00800, 0.01200] *"), HasSubstr("0.02000 [0.01800, 0.02200]"),
                                 HasSubstr("2.50"), HasSubstr("D (validation)")));
  // 600 s for 4 kimg.
  EXPECT_DOUBLE_EQ(c.models[0].cost.s_per_kimg, 150);
  const CsvTable table = CsvTable::read(folder_ / "out/comparison.csv");
  ASSERT_EQ(table.size(), 3u);
  EXPECT_EQ(table.get(1, "value"), "0.01");
  EXPECT_EQ(table.get(1, "n_synthetic"), "90");
  EXPECT_EQ(table.get(1, "seed"), "0");
  const std::string page = read_file(folder_ / "out/report.html");
  EXPECT_THAT(page, AllOf(HasSubstr("a (N = 90)"), HasSubstr("<svg"), HasSubstr("Protocol"), HasSubstr("isic")));
}

TEST_F(CompareTest, ModelsOfDifferentDataAreRefusedUnlessTheReportIsMarked) {
  const std::vector<CompareSource> sources = {write("a", evaluation("1", 0.013, 0.002, "abc")),
                                              write("b", evaluation("2", 0.010, 0.002, "xyz"))};
  EXPECT_THAT(sentence_of([&] { compared(sources); }),
              AllOf(HasSubstr("a learned from isic (fingerprint abc)"),
                    HasSubstr("b learned from isic (fingerprint xyz)"), HasSubstr("--mixed")));
  EXPECT_FALSE(fs::exists(folder_ / "out"));
  const Comparison c = compared(sources, true);
  ASSERT_EQ(c.marks.size(), 1u);
  EXPECT_THAT(read_file(folder_ / "out/report.html"), HasSubstr("Not on one footing"));
  EXPECT_EQ(CsvTable::read(folder_ / "out/comparison.csv").get(0, "mixed"), "yes");
}

TEST_F(CompareTest, ProtocolsThatDifferAreRefusedByTheirFields) {
  const std::vector<CompareSource> sources = {write("a", evaluation("1", 0.013, 0.002, "f", 0)),
                                              write("b", evaluation("2", 0.010, 0.002, "f", 7))};
  EXPECT_THAT(sentence_of([&] { compared(sources); }),
              AllOf(HasSubstr("by different protocols"), HasSubstr("seed: 0 and 7")));
  EXPECT_EQ(compared(sources, true).marks.size(), 1u);
}

TEST_F(CompareTest, BadSourcesGetASentenceEach) {
  const CompareSource a = write("a", evaluation("1", 0.01, 0.002, "f"));
  EXPECT_THAT(sentence_of([&] { compared({a}); }), HasSubstr("two or more"));
  EXPECT_THAT(sentence_of([&] {
                compared({a, {"", folder_ / "nothing"}});
              }),
              HasSubstr("there is nothing of that name"));
  EXPECT_THAT(sentence_of([&] { compared({{"m", a.path}, {"m", a.path}}); }), HasSubstr("twice"));
  nlohmann::json old = evaluation("2", 0.01, 0.002, "f");
  old.erase("protocol");
  EXPECT_THAT(sentence_of([&] { compared({a, write("old", old)}); }), HasSubstr("older versions"));
  EXPECT_THAT(sentence_of([&] {
                compared({a, write("broken", {{"fidelity", 1}, {"protocol", {{"a", 1}}}})});
              }),
              HasSubstr("broken/evaluation.json"));
  recipe::Painter painter;
  recipe::write_untrained_bundle(folder_ / "bundle", painter, "painter", 64, recipe::stand_in_offer());
  nlohmann::json other = evaluation("2", 0.01, 0.002, "");
  EXPECT_THAT(sentence_of([&] { compared({write("other", other), {"", folder_ / "bundle"}}); }), HasSubstr("--real"));
}

TEST(TrainingCost, IsTheMedianLineAndTheLargestMemory) {
  const testing::Folder folder("cost");
  fs::create_directories(folder / "run");
  write_file(folder / "run/stats.jsonl",
             "{\"step\":1,\"s_per_kimg\":10.0,\"resident_bytes\":1000}\n{\"step\":2,\"s_per_kimg\":50.0,"
             "\"resident_bytes\":3000}\n{\"step\":3,\"s_per_kimg\":30.0,\"resident_bytes\":2000}\n{\"step\":4,\"s_per");
  const TrainingCost cost = training_cost(folder / "run", {{"kimg", 2.0}, {"elapsed_s", 120.0}});
  EXPECT_DOUBLE_EQ(cost.s_per_kimg, 30);
  EXPECT_DOUBLE_EQ(cost.s_per_kimg_low, 20);
  EXPECT_DOUBLE_EQ(cost.s_per_kimg_high, 40);
  EXPECT_DOUBLE_EQ(cost.memory_bytes, 3000);
  EXPECT_DOUBLE_EQ(cost.minutes, 2);
  EXPECT_DOUBLE_EQ(training_cost("", {{"kimg", 2.0}, {"elapsed_s", 120.0}}).s_per_kimg, 60);
  EXPECT_EQ(training_cost("", nlohmann::json::object()).from, "not known");
}

/// 100 phantoms of 64 px, about 70 of them in train; a painter, and generators from noise.
class CompareBundles : public ::testing::Test {
 protected:
  CompareBundles() : folder_("compare-bundles"), data_(testing::phantoms(folder_ / "D", 100, 64, 1)) {
    recipe::Painter painter;
    Noise noise, classes;
    classes.classes = true;
    data::Offer offer = data::offer_of(*data_);
    recipe::write_untrained_bundle(folder_ / "painter", painter, "painter", 64, offer);
    recipe::write_untrained_bundle(folder_ / "noise", noise, "noise", 64, offer);
    recipe::write_untrained_bundle(folder_ / "classes", classes, "noise", 64, offer);
  }
  EvaluateOptions quick() {
    EvaluateOptions options;
    options.real = folder_ / "D";
    options.split = "train";
    options.fidelity.extractors = {metrics::random_extractor()};
    options.fidelity.draws = 3;
    options.fidelity.halvings = 1;
    options.fidelity.pairs = 2;
    options.fidelity.swd = false;
    options.cache = folder_ / "cache";
    return options;
  }
  EvaluateResult evaluated(const std::string& bundle, EvaluateOptions options, const std::string& out) {
    generation::EngineOptions opening;
    opening.bundle = folder_ / bundle;
    generation::Engine engine(opening, catalogue());
    options.engine = &engine;
    return evaluate(options, folder_ / out);
  }
  testing::Folder folder_;
  std::shared_ptr<const data::DataSet> data_;
};

TEST_F(CompareBundles, AGeneratorFromNoiseIsMeasuredAgainstTheSplitWithoutControl) {
  EvaluateOptions options = quick();
  options.keep_images = true;
  const EvaluateResult r = evaluated("noise", options, "report");
  EXPECT_FALSE(r.control.has_value());
  EXPECT_EQ(r.fidelity.groups.size(), 1u);  // all: neither condition nor tone was asked for
  EXPECT_EQ(r.fidelity.groups[0].n_synthetic, ImageSet::real(data_, {"train"}).size());
  EXPECT_NE(r.fidelity.groups[0].find("MS-SSIM", "pairs of any condition"), nullptr);
  EXPECT_THAT(read_file(folder_ / "report/report.html"), HasSubstr("heeds the seed and nothing else"));
  const data::DataSet made = data::DataSet::open(folder_ / "report/synthetic");
  EXPECT_EQ(made.records()[0].condition, "unknown");
  EXPECT_FALSE(made.records()[0].extra.contains("requested_skin"));
  EXPECT_FALSE(made.records()[0].skin_rgb.has_value());
  // Each image from its own seed.
  EXPECT_NE(read_file(made.path_of(made.records()[0].file_name)), read_file(made.path_of(made.records()[1].file_name)));
  options.study = true;
  EXPECT_THAT(sentence_of([&] { evaluated("noise", options, "study"); }), HasSubstr("leave --control out"));
}

TEST_F(CompareBundles, RanksShareTheWorkAndFindTheSame) {
  if (!ranks::testing::has_gloo()) GTEST_SKIP() << "this build has no Gloo";
  const EvaluateResult alone = evaluated("painter", quick(), "alone");
  ranks::testing::with_ranks(2, [&](ranks::Group& group) {
    EvaluateOptions options = quick();
    options.cache = folder_ / "cache-of-ranks";
    options.group = &group;
    const EvaluateResult shared = evaluated("painter", options, "shared");
    EXPECT_EQ(shared.fidelity.groups.empty(), !group.leads());
  });
  for (const char* file : {"fidelity.csv", "control.csv"})
    EXPECT_EQ(read_file(folder_ / "shared" / file), read_file(folder_ / "alone" / file)) << file;
  EXPECT_GT(alone.control->samples.size(), 32u);  // more than one rank's part
}

TEST_F(CompareBundles, AGeneratorWithClassesIsMeasuredByCondition) {
  EvaluateOptions options = quick();
  Judges judge;  // sees the brightness: what Noise adds for a class
  judge.classifier = "brightness";
  judge.conditions = data_->conditions();
  judge.classify = [&](const std::vector<image::Image>& images) {
    std::vector<double> first(data_->conditions().size(), 0.0);
    first[0] = 1;
    return std::vector<std::vector<double>>(images.size(), first);
  };
  options.control.judges = judge;
  const EvaluateResult r = evaluated("classes", options, "report");
  EXPECT_FALSE(r.control.has_value());
  ASSERT_TRUE(r.condition.has_value());
  // A judge that always says the first of k conditions is right on 1 / k of them.
  EXPECT_EQ(data_->conditions().size(), 6u);
  EXPECT_NEAR(r.condition->balanced, 1.0 / 6, 1e-9);
  EXPECT_GT(r.fidelity.groups.size(), 1u);
  for (const FigureGroup& g : r.fidelity.groups) EXPECT_NE(g.kind, "tone");
}

TEST_F(CompareBundles, WhatWasMeasuredByTheProtocolIsNotMeasuredAgain) {
  const EvaluateResult first = evaluated("noise", quick(), "earlier");
  CompareOptions options;
  options.sources = {{"", folder_ / "painter"}, {"noise", folder_ / "noise"}};
  options.evaluate = quick();
  const Comparison c = compare(options, catalogue(), folder_ / "out");
  ASSERT_EQ(c.models.size(), 2u);
  EXPECT_TRUE(c.models[0].evaluated_now);
  EXPECT_FALSE(c.models[1].evaluated_now);
  EXPECT_EQ(c.models[1].figures[0].value, first.fidelity.groups[0].figures[0].value);
  EXPECT_EQ(c.models[1].cost.parameters, 6);
  EXPECT_FALSE(c.models[0].samples.empty());
  EXPECT_TRUE(fs::exists(folder_ / "out/evaluations/noise/evaluation.json"));
  // The painter heeds skin, the other does not: a figure that one has and the other has not.
  EXPECT_THAT(c.to_text(), HasSubstr("ITA, rank correlation"));
  // Another seed is another protocol.
  options.evaluate.seed = 3;
  EXPECT_TRUE(compare(options, catalogue(), folder_ / "again").models[1].evaluated_now);
  // An evaluation that is named serves its bundle, whatever the cache holds; then the protocols must agree.
  options.evaluate.cache.clear();
  options.evaluate.seed = 0;
  options.sources.push_back({"", folder_ / "earlier"});
  const Comparison named = compare(options, catalogue(), folder_ / "named");
  ASSERT_EQ(named.models.size(), 2u);
  EXPECT_FALSE(named.models[1].evaluated_now);
  EXPECT_FALSE(fs::exists(folder_ / "named/cache"));
}

}  // namespace
}  // namespace derm::evaluation
