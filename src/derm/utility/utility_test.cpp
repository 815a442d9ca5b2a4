// Whole experiments on made images: planted truths are found, leaks are refused, a stopped one goes on.
#include "derm/utility/utility.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "derm/base/csv.h"
#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/base/random.h"
#include "derm/base/system.h"
#include "derm/data/dataset.h"
#include "derm/evaluation/testing/sets.h"
#include "derm/image/codec.h"
#include "derm/models/catalogue.h"
#include "derm/recipe/bundle.h"
#include "derm/training/train.h"
#include "derm/utility/compare.h"
#include "derm/utility/provenance.h"
#include "derm/utility/results.h"

namespace derm::utility {
namespace {

using evaluation::testing::Folder;
using testing::HasSubstr;

/// 32 px: stripes across ("across") or down ("down") under noise and a tint that says nothing.
image::Image stripes(bool down, double noise, Rng& rng) {
  image::Image picture(32, 32, 3);
  const double tint[] = {rng.uniform(-30, 30), rng.uniform(-30, 30), rng.uniform(-30, 30)};
  for (int y = 0; y < 32; ++y)
    for (int x = 0; x < 32; ++x)
      for (int c = 0; c < 3; ++c) {
        const double wave = (down ? x : y) % 4 < 2 ? 20 : -20;
        const double v = 128 + tint[c] + wave + noise * rng.normal();
        picture.at(x, y)[c] = static_cast<uint8_t>(std::clamp(v, 0.0, 255.0));
      }
  return picture;
}

constexpr const char* kConditions[] = {"across", "down"};

struct Made {
  image::Image picture;
  data::Record record;
};

Made made(size_t condition, const std::string& split, const std::string& subject, double noise, Rng& rng) {
  Made one{.picture = stripes(condition == 1, noise, rng), .record = {}};
  one.record.condition = kConditions[condition];
  one.record.split = split;
  one.record.subject_id = subject;
  one.record.source = "made";
  one.record.tone = rng.chance(0.5) ? "light" : "tan";
  return one;
}

data::DataSet written(const fs::path& root, std::vector<Made> images, const nlohmann::json& facts = {}) {
  fs::create_directories(root / "images");
  std::vector<data::Record> records;
  for (size_t i = 0; i < images.size(); ++i) {
    images[i].record.file_name = fmt::format("images/{:04}.png", i);
    image::write_png(root / images[i].record.file_name, images[i].picture);
    records.push_back(images[i].record);
  }
  data::write_data_set(root, records, facts);
  return data::DataSet::open(root);
}

/// Photographs: few to learn from, many to be asked.
data::DataSet photographs(const fs::path& root, int train, int test, double noise, uint64_t seed = 1) {
  Rng rng(seed);
  std::vector<Made> images;
  int subject = 0;
  const auto add = [&](const char* split, int count) {
    for (int i = 0; i < count; ++i)
      images.push_back(made(static_cast<size_t>(i) % 2, split, fmt::format("s{}-{}", seed, subject++), noise, rng));
  };
  add("train", train);
  add("validation", 12);
  add("test", test);
  return written(root, std::move(images));
}

/// As a generator that learned from `learned` would have left it.
nlohmann::json facts_of_generator(const std::string& fingerprint) {
  return {{"image_manipulation", "synthetic"},
          {"generator", {{"heeds", {"condition", "seed"}}, {"learned_from", {{"data_fingerprint", fingerprint}}}}}};
}

/// New images; of a share of them the label is drawn at random.
void synthetic(const fs::path& root, int count, double noise, double shuffled, const std::string& fingerprint) {
  Rng rng(99);
  std::vector<Made> images;
  for (int i = 0; i < count; ++i) {
    Made one = made(static_cast<size_t>(i) % 2, "train", "", noise, rng);
    if (rng.chance(shuffled)) one.record.condition = kConditions[rng.integer(0, 1)];
    images.push_back(std::move(one));
  }
  written(root, std::move(images), facts_of_generator(fingerprint));
}

Design small_design(int ratio) {
  Design design;
  design.arms = {"real", fmt::format("real+duplicates={}", ratio), fmt::format("real+synthetic={}", ratio)};
  design.size_px = 32;
  design.folds = 1;
  design.seeds = 5;
  design.bootstrap = 300;
  design.classifier.network = "small";
  design.classifier.steps = 60;
  design.classifier.batch = 16;
  design.classifier.validate_every = 20;
  design.classifier.lr = 5e-3;
  design.classifier.dropout = 0;
  design.classifier.precision = "fp32";
  return design;
}

/// Threads that wait for each other take longest on a busy machine.
UtilityOptions on_one_thread() {
  UtilityOptions options;
  options.threads = 1;
  return options;
}

/// What a design comes to (R) with photographs (D) and synthetic images (S) that stand in one folder.
UtilityOutcome outcome_of(const Folder& folder, const Design& design) {
  UtilityOptions options = on_one_thread();
  options.design = design;
  options.real = folder / "D";
  options.synthetic = (folder / "S").string();
  return run_utility(options, models::catalogue(), folder / "R");
}

nlohmann::json primary(const nlohmann::json& results, const std::string& arm, const std::string& control) {
  for (const auto& row : results.at("contrasts"))
    if (row.at("primary").get<bool>() && row.at("arm") == arm && row.at("control") == control) return row;
  return nullptr;
}

std::string complaint(const UtilityOptions& options, const fs::path& out) {
  try {
    run_utility(options, models::catalogue(), out);
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

TEST(Utility, FindsThatImagesWithRealInformationHelp) {
  const Folder folder("utility-help");
  const auto real = photographs(folder / "D", 8, 160, 220);
  synthetic(folder / "S", 240, 220, 0, real.fingerprint());
  const auto outcome = outcome_of(folder, small_design(10));
  ASSERT_TRUE(outcome.complete);
  EXPECT_EQ(outcome.cells, 15u);
  for (const char* control : {"real", "real+duplicates=10"}) {
    const auto row = primary(outcome.results, "real+synthetic=10", control);
    EXPECT_GT(row.at("low").get<double>(), 0.0) << row;
    EXPECT_LT(row.at("p_holm").get<double>(), 0.01) << row;
    EXPECT_GT(row.at("smallest_effect").get<double>(), 0.0) << row;
    EXPECT_GT(row.at("smallest_effect_corrected").get<double>(), row.at("smallest_effect").get<double>());
  }
  // Whatever a later program reads is there, and every file carries the design's hash.
  const std::string hash = sha256_file(folder / "R" / "registration.json");
  EXPECT_EQ(outcome.results.at("registration_sha256"), hash);
  EXPECT_EQ(nlohmann::json::parse(read_file(folder / "R" / "results.json")), outcome.results);
  EXPECT_THAT(read_file(folder / "R" / "report.html"),
              testing::AllOf(HasSubstr(hash), HasSubstr("2 show a gain: real+synthetic=10 against real")));
  const CsvTable figures = CsvTable::read(folder / "R" / "figures.csv"),
                 contrasts = CsvTable::read(folder / "R" / "contrasts.csv");
  // Test and two tones; 4 + 3 x 2 figures; 3 arms or 2 contrasts.
  EXPECT_EQ(figures.size(), 3u * 10 * 3);
  EXPECT_EQ(contrasts.size(), 3u * 10 * 2);
  EXPECT_EQ(outcome.results.at("marks").size(), 0u);
}

TEST(Utility, FindsNoGainInCopiesOfTheTrainingImages) {
  const Folder folder("utility-copies");
  const auto real = photographs(folder / "D", 24, 160, 60);
  std::vector<Made> copies;
  for (int times = 0; times < 3; ++times)
    for (const size_t row : real.of_split("train")) {
      const data::Record& record = real.records()[row];
      Made copy{.picture = image::read_image(real.path_of(record.file_name)), .record = {}};
      copy.record.condition = record.condition;
      copies.push_back(std::move(copy));
    }
  written(folder / "S", std::move(copies), facts_of_generator(real.fingerprint()));
  const auto outcome = outcome_of(folder, small_design(3));
  const auto row = primary(outcome.results, "real+synthetic=3", "real+duplicates=3");
  EXPECT_LE(row.at("low").get<double>(), 0.0) << row;
  EXPECT_GE(row.at("high").get<double>(), 0.0) << row;
  EXPECT_EQ(row.at("p_holm").get<double>() < 0.05, false) << row;
  EXPECT_LT(std::abs(row.at("value").get<double>()), 0.1) << row;
}

TEST(Utility, FindsThatShuffledLabelsHarm) {
  const Folder folder("utility-harm");
  const auto real = photographs(folder / "D", 48, 160, 40);
  synthetic(folder / "S", 400, 40, 1.0, real.fingerprint());
  const auto outcome = outcome_of(folder, small_design(6));
  const auto row = primary(outcome.results, "real+synthetic=6", "real+duplicates=6");
  EXPECT_LT(row.at("high").get<double>(), 0.0) << row;
  EXPECT_THAT(summary_text(outcome.results), HasSubstr("worse"));
}

TEST(Utility, GoesOnWhereItWasAndRefusesAnotherDesign) {
  const Folder folder("utility-resume");
  photographs(folder / "D", 12, 40, 15);
  photographs(folder / "E", 12, 40, 15, 2);
  synthetic(folder / "S", 40, 15, 0, "");
  UtilityOptions options = on_one_thread();
  options.allow_unknown = true;
  options.design = small_design(1);
  options.design.arms = {"real", "real+synthetic=1", "real+synthetic=1+filtered"};
  options.design.seeds = 2;
  options.design.classifier.steps = options.design.classifier.validate_every = 20;
  options.real = folder / "D";
  options.external = folder / "E";
  options.synthetic = (folder / "S").string();
  options.design.regimes = {"all", "down=4"};
  options.parts = 2;
  EXPECT_FALSE(run_utility(options, models::catalogue(), folder / "R").complete);
  options.part = 2;
  const auto first = run_utility(options, models::catalogue(), folder / "R");
  ASSERT_TRUE(first.complete);
  EXPECT_EQ(first.cells, 12u);
  // One file is lost: the same classifier is trained again, the others are left alone.
  const fs::path lost = folder / "R/cells/all.fold0.real+synthetic=1+filtered.seed1.json";
  const fs::path kept = folder / "R/cells/all.fold0.real.seed0.json";
  const auto untouched = fs::last_write_time(kept);
  const auto before = nlohmann::json::parse(read_file(lost));
  fs::remove(lost);
  options.part = options.parts = 1;
  const auto second = run_utility(options, models::catalogue(), folder / "R");
  EXPECT_EQ(nlohmann::json::parse(read_file(lost)).at("test"), before.at("test"));
  EXPECT_EQ(fs::last_write_time(kept), untouched);
  EXPECT_EQ(second.results.at("contrasts"), first.results.at("contrasts"));
  // The second data set: 64 images, no patient of the first.
  bool external = false;
  for (const auto& row : first.results.at("figures"))
    if (row.at("slice") == "external") external = row.at("images") == 64 && row.at("value").is_number();
  EXPECT_TRUE(external);

  // Two experiments of one footing stand in one table; others are refused, or marked.
  const auto compared =
      compare_experiments({{"one", folder / "R"}, {"again", folder / "R/results.json"}}, false, folder / "C");
  EXPECT_EQ(compared.at("figures").size(), 2u * 3 * 2);    // regimes, arms, experiments
  EXPECT_EQ(compared.at("contrasts").size(), 2u * 2 * 2);  // two arms against one control
  EXPECT_THAT(comparison_text(compared), HasSubstr("regime down=4: real+synthetic=1 against real\n  one "));
  EXPECT_TRUE(fs::exists(folder / "C/report.html"));
  UtilityOptions wider = options;
  wider.design.classifier.steps = 21;
  run_utility(wider, models::catalogue(), folder / "R2");
  EXPECT_THROW(compare_experiments({{"", folder / "R"}, {"", folder / "R2"}}, false, folder / "C2"), UsageError);
  const auto marked = compare_experiments({{"", folder / "R"}, {"", folder / "R2"}}, true, folder / "C2");
  EXPECT_THAT(marked.at("marks").dump(), HasSubstr("R and R2 differ in classifier"));

  options.design.seeds = 3;
  EXPECT_THAT(complaint(options, folder / "R"), HasSubstr("/design/seeds is 2 there and 3 now"));
  fs::create_directories(folder / "elsewhere");
  write_file(folder / "elsewhere/notes.txt", "mine");
  EXPECT_THAT(complaint(options, folder / "elsewhere"), HasSubstr("holds no experiment"));
}

TEST(Utility, RefusesLeaks) {
  const Folder folder("utility-leaks");
  const auto real = photographs(folder / "D", 24, 24, 40);
  UtilityOptions options = on_one_thread();
  options.design = small_design(1);
  options.real = folder / "D";
  options.synthetic = (folder / "S").string();

  // A generator that has seen the test patients: it learned from all folds' photographs.
  synthetic(folder / "S", 60, 40, 0, real.fingerprint());
  options.design.folds = 3;
  EXPECT_THAT(complaint(options, folder / "R"), HasSubstr("of fold 0's test photographs"));
  // One that learned from more than the regime leaves.
  options.design.folds = 1;
  options.design.regimes = {"4"};
  EXPECT_THAT(complaint(options, folder / "R"), HasSubstr("that the regime 4 leaves out"));
  options.design.regimes = {"all"};

  // One that learned from another set, in which a test patient stands by the same name.
  Rng rng(5);
  std::vector<Made> mixed = {made(0, "train", "z1", 40, rng), made(1, "train", "s1-40", 40, rng)};
  const auto other = written(folder / "E", std::move(mixed));
  synthetic(folder / "S2", 60, 40, 0, other.fingerprint());
  options.synthetic = (folder / "S2").string();
  EXPECT_THAT(complaint(options, folder / "R"), HasSubstr("no data set that is at hand has it"));
  options.trained_on = {folder / "E"};
  EXPECT_THAT(complaint(options, folder / "R"), HasSubstr("the same subject"));

  // A set without provenance, and the flag that marks the report.
  synthetic(folder / "S3", 60, 40, 0, "");
  options.synthetic = (folder / "S3").string();
  EXPECT_THAT(complaint(options, folder / "R"), HasSubstr("does not say which data it learned from"));
  EXPECT_FALSE(fs::exists(folder / "R"));  // nothing was begun
  options.allow_unknown = true;
  options.design.classifier.steps = options.design.classifier.validate_every = 2;
  const auto outcome = run_utility(options, models::catalogue(), folder / "R");
  EXPECT_THAT(outcome.results.at("marks").dump(), HasSubstr("a gain proves nothing"));
  EXPECT_THAT(read_file(folder / "R" / "report.html"), HasSubstr("a gain proves nothing"));

  // Test photographs among the synthetic images, under another name.
  std::vector<Made> stolen;
  for (size_t i = 0; i < 60; ++i) {
    const data::Record& record = real.records()[real.of_split("test")[i % 24]];
    Made copy{.picture = image::read_image(real.path_of(record.file_name)), .record = {}};
    copy.record.condition = record.condition;
    stolen.push_back(std::move(copy));
  }
  written(folder / "S4", std::move(stolen), facts_of_generator(real.fingerprint()));
  options.synthetic = (folder / "S4").string();
  EXPECT_THAT(complaint(options, folder / "R4"), HasSubstr("pixel by pixel"));

  // A second data set with photographs of the first.
  options.synthetic = (folder / "S").string();
  options.external = folder / "F";
  Rng again(1);
  std::vector<Made> same = {made(0, "train", "s1-0", 40, again), made(1, "train", "", 40, rng)};
  written(folder / "F", std::move(same));
  EXPECT_THAT(complaint(options, folder / "R5"), HasSubstr("of the second data set"));
}

TEST(Utility, OfPhotographsAloneIsABaseline) {
  const Folder folder("utility-baseline");
  photographs(folder / "D", 24, 24, 20);
  UtilityOptions options = on_one_thread();
  options.design = small_design(1);
  options.design.arms = {"real"};
  options.real = folder / "D";
  const auto outcome = run_utility(options, models::catalogue(), folder / "R");
  EXPECT_TRUE(outcome.results.at("contrasts").empty());
  EXPECT_THAT(summary_text(outcome.results), HasSubstr("auc of down, regime all: real 1.000"));
  EXPECT_THAT(read_file(folder / "R/report.html"), HasSubstr("a baseline"));
  options.synthetic = "S";
  EXPECT_THAT(complaint(options, folder / "R2"), HasSubstr("no arm has synthetic images"));
}

TEST(Utility, RefusesAPatientOnBothSidesAndWhatIsMissing) {
  const Folder folder("utility-sides");
  Rng rng(1);
  std::vector<Made> images;
  for (size_t i = 0; i < 12; ++i)
    images.push_back(made(i % 2, i < 4 ? "train" : i < 8 ? "validation" : "test", fmt::format("s{}", i % 11), 40, rng));
  written(folder / "D", std::move(images));
  UtilityOptions options = on_one_thread();
  options.design = small_design(1);
  options.real = folder / "D";
  EXPECT_THAT(complaint(options, folder / "R"), HasSubstr("subject s0 is on both sides"));
  const auto real = photographs(folder / "E", 12, 12, 40);
  options.real = folder / "E";
  EXPECT_THAT(complaint(options, folder / "R"), HasSubstr("the arms need synthetic images"));
  synthetic(folder / "S", 6, 40, 0, real.fingerprint());
  options.synthetic = (folder / "S").string();
  EXPECT_THAT(complaint(options, folder / "R"), HasSubstr("it has 3 images of across, and 6 are needed"));
}

TEST(Experiments, AreDesignsWhoseGeneratorsExist) {
  for (const char* name : {"imbalance", "rare-malignant"}) {
    Design design;
    Options o;
    design.bind(o);
    o.read_toml_file(fs::path(DERM_SOURCE_DIR) / "experiments" / (std::string(name) + ".toml"));
    design.validate();
    EXPECT_EQ(design.folds, 5) << name;
    const auto recipe = models::catalogue().make(design.generator.recipe);
    training::TrainOptions train;
    Options all;
    train.bind(all);
    all.section("model", *recipe);
    for (const std::string& assignment : design.generator.set) all.set(assignment);
  }
}

TEST(Provenance, FollowsAModelToTheOneItStartedFrom) {
  const Folder folder("utility-chain");
  const auto first = photographs(folder / "D", 4, 4, 40), second = photographs(folder / "E", 4, 4, 40, 2);
  const nlohmann::json facts = {{"data_fingerprint", first.fingerprint()}, {"init_from", (folder / "gone").string()}};
  EXPECT_THAT(provenance_of(facts, "G", {&first}).missing, HasSubstr("started from"));
  const Provenance known = provenance_of({{"data_fingerprint", first.fingerprint()}}, "G", {&second, &first});
  EXPECT_TRUE(known.known);
  EXPECT_EQ(known.learned.size(), 1u);
  check_unseen(known, "G", first, first.of_split("test"), "the test", "");
  EXPECT_THROW(check_unseen(known, "G", first, first.of_split("validation"), "validation", ""), DataError);
}

TEST(Provenance, KnowsALesionByItsNumberOnlyWithinAPatient) {
  const Folder folder("utility-lesions");
  const auto set = photographs(folder / "D", 4, 4, 40);
  data::Record a = set.records()[0], b = set.records()[1];
  a.lesion_id = b.lesion_id = "285";
  const auto share = [&] {
    const auto of_a = marks_of(set, a), of_b = marks_of(set, b);
    return std::any_of(of_a.begin(), of_a.end(), [&](const std::string& mark) {
      return std::find(of_b.begin(), of_b.end(), mark) != of_b.end();
    });
  };
  EXPECT_FALSE(share()) << "two patients may each have a lesion of that number";
  a.subject_id = b.subject_id = "";
  EXPECT_TRUE(share());
}

TEST(Utility, TrainsAGeneratorOfItsOwnForEachFold) {
  const Folder folder("utility-generators");
  evaluation::testing::phantoms(folder / "D", 48, 64, 3);
  UtilityOptions options = on_one_thread();
  options.design = small_design(1);
  options.design.arms = {"real", "real+fill=synthetic", "synthetic=0.5"};
  options.design.size_px = 64;
  options.design.folds = 2;
  options.design.seeds = 1;
  options.design.conditions = {"melanoma", "nevus"};
  options.design.classifier.steps = options.design.classifier.validate_every = 2;
  options.design.generator.recipe = "dermgan";
  options.design.generator.kimg = 0.004;
  options.design.generator.set = {"batch=2",
                                  "model.width=4",
                                  "model.discriminator_width=4",
                                  "snapshot_minutes=0",
                                  "metrics.extractor=random",
                                  "metrics.diversity_threshold=0"};
  options.real = folder / "D";
  const auto outcome = run_utility(options, models::catalogue(), folder / "R");
  ASSERT_TRUE(outcome.complete);
  EXPECT_EQ(outcome.cells, 6u);
  EXPECT_EQ(outcome.results.at("generator_learned_from").size(), 2u);
  // What a fold's generator learned from has no patient of that fold's test, and its bundle says so.
  for (int f = 0; f < 2; ++f) {
    const fs::path group = folder / fmt::format("R/generators/all.fold{}", f);
    const auto set = data::DataSet::open(group / "data");
    EXPECT_TRUE(set.of_split("test").empty());
    const auto cell = nlohmann::json::parse(read_file(folder / fmt::format("R/cells/all.fold{}.real.seed0.json", f)));
    for (const auto& file : cell.at("test").at("files"))
      for (const auto& record : set.records()) EXPECT_NE(record.file_name, file.get<std::string>());
    const std::string run = nlohmann::json::parse(read_file(group / "trained.json")).at("run");
    EXPECT_EQ(recipe::read_bundle_config(recipe::find_bundle(group / "runs" / run)).training.at("data_fingerprint"),
              set.fingerprint());
    const auto facts = data::DataSet::open(group / "synthetic").facts();
    EXPECT_EQ(facts.at("generator").at("learned_from").at("data_fingerprint"), set.fingerprint());
  }
  // Again: nothing is trained.
  const auto trained = fs::last_write_time(folder / "R/generators/all.fold0/trained.json");
  fs::remove(folder / "R/cells/all.fold0.synthetic=0.5.seed0.json");
  const auto again = run_utility(options, models::catalogue(), folder / "R");
  EXPECT_EQ(fs::last_write_time(folder / "R/generators/all.fold0/trained.json"), trained);
  EXPECT_EQ(again.results.at("contrasts"), outcome.results.at("contrasts"));
}

}  // namespace
}  // namespace derm::utility
