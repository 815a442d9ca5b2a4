#include "derm/study/analysis.h"

#include <cstdio>
#include <cstdlib>
#include <map>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "derm/base/csv.h"
#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/image/codec.h"
#include "derm/study/study_report.h"
#include "derm/study/testing/shop.h"

namespace derm::study {
namespace {

using Json = nlohmann::ordered_json;
using testing::HasSubstr;

class AnalysisTest : public testing::Test {
 protected:
  AnalysisTest() : folder_("study-analysis") {}
  fs::path out(const char* name) const { return folder_.path() / name; }
  Results results(const fs::path& study) const { return open_results(study, study / "key.json"); }
  testing_shop::Folder folder_;
};

AnalysisOptions quick() {
  AnalysisOptions o;
  o.replicates = 1000;
  return o;
}

/// No number in it is one that JSON has no word for: nlohmann writes NaN as null, so look for values without a reason.
void expect_reasons(const Json& json, const std::string& where) {
  if (json.is_object() && json.contains("value") && json.contains("reason")) {
    if (json.at("value").is_null() || json.at("low").is_null()) {
      EXPECT_TRUE(json.at("reason").is_string()) << where;
    }
    return;
  }
  if (!json.is_structured()) return;
  for (const auto& [name, value] : json.items()) expect_reasons(value, where + "/" + name);
}

TEST_F(AnalysisTest, AgreesWithPythonFromTheTableOfAnswersAlone) {
  if (std::system("/usr/bin/python3 -c 'import numpy' 2>/dev/null") != 0) {
    GTEST_SKIP() << "/usr/bin/python3 has no numpy; install python3-numpy";
  }
  const fs::path study = out("s");
  make_study(testing_shop::small_study(study));
  testing_shop::answer_all(study, 0.7, 5);
  {
    // One answer taken back and given otherwise, one image seen twice.
    Store store(study / "study.db");
    const auto last = store.last_answered(1);
    ASSERT_TRUE(store.withdraw(1, last->id));
    store.note("viewed", 1, last->id);
    Rng rng(1);
    store.accept(1, last->id, testing_shop::made_answer(rng, true, 1, {"nevus"}));
  }
  const Results r = results(study);
  // Python compares a hundred ends of intervals with draws of its own: few draws would put one of them outside by
  // chance.
  AnalysisOptions many;
  many.replicates = 4000;
  write_report(study, r, analyse(r, many), out("report"));
  const std::string command = std::string("/usr/bin/python3 ") + DERM_SOURCE_DIR + "/tools/golden/study_report.py " +
                              out("report").string() + " > " + out("log").string() + " 2>&1";
  EXPECT_EQ(std::system(command.c_str()), 0) << read_file(out("log"));
  // It can fail: one verdict changed in the table.
  std::string table = read_file(out("report") / "answers.csv");
  const size_t at =
      table.rfind(",synthetic,1,") != std::string::npos ? table.rfind(",synthetic,1,") : table.rfind(",synthetic,0,");
  ASSERT_NE(at, std::string::npos);
  table.replace(at, 11, ",real,");
  write_file(out("report") / "answers.csv", table);
  EXPECT_NE(std::system(command.c_str()), 0);
}

TEST_F(AnalysisTest, ReadersWhoKnowAndReadersWhoGuess) {
  make_study(testing_shop::small_study(out("knows")));
  testing_shop::answer_all(out("knows"), 1, 1);
  const Json knows = analyse(results(out("knows")), quick());
  EXPECT_EQ(knows.at("overall").at("accuracy").at("value"), 1.0);
  EXPECT_EQ(knows.at("overall").at("tpr").at("value"), 1.0);
  EXPECT_EQ(knows.at("overall").at("fpr").at("value"), 0.0);
  EXPECT_EQ(knows.at("overall").at("auc").at("value"), 1.0);
  EXPECT_EQ(knows.at("agreement").at("alpha_verdict").at("value"), 1.0);
  EXPECT_EQ(knows.at("agreement").at("fleiss_anchors").at("value"), 1.0);
  EXPECT_EQ(knows.at("overall").at("self_agreement").at("value"), 1.0);
  expect_reasons(knows, "knows");
  make_study(testing_shop::small_study(out("guesses")));
  testing_shop::answer_all(out("guesses"), 0.5, 2);
  const Json guesses = analyse(results(out("guesses")), quick());
  EXPECT_LT(guesses.at("overall").at("accuracy").at("low").get<double>(), 0.5);
  EXPECT_GT(guesses.at("overall").at("accuracy").at("high").get<double>(), 0.5);
  expect_reasons(guesses, "guesses");
}

TEST_F(AnalysisTest, OneReaderWithoutRepeatsAnchorsOrRatingsGetsDashesWithReasons) {
  NewStudy wish = testing_shop::small_study(out("s"));
  wish.design.groups = {{"alone", 1}};
  wish.design.blocks = 1;
  wish.design.anchor_share = 0;
  wish.design.repeats = 0;
  wish.design.practice = 0;
  make_study(wish);
  // One answer only, and it is right.
  testing_shop::answer_all(out("s"), 1, 1, 1);
  const Results r = results(out("s"));
  const Json json = analyse(r, quick());
  expect_reasons(json, "");
  EXPECT_EQ(json.at("agreement").at("alpha_verdict").at("reason"), "no image was answered by two readers");
  EXPECT_EQ(json.at("overall").at("self_agreement").at("reason"), "no image was answered twice");
  EXPECT_TRUE(json.at("agreement").at("fleiss_anchors").at("value").is_null());
  EXPECT_FALSE(json.at("finished").get<bool>());
  write_report(out("s"), r, json, out("report"));
  const std::string page = read_file(out("report") / "report.html");
  EXPECT_EQ(page.find("nan"), std::string::npos);
  EXPECT_EQ(page.find(">inf"), std::string::npos);
  EXPECT_THAT(page, HasSubstr("One reader: the intervals say"));
  EXPECT_THAT(page, HasSubstr("has a reason"));
}

TEST_F(AnalysisTest, WithoutAnyAnswerItSaysSo) {
  make_study(testing_shop::small_study(out("s")));
  EXPECT_THROW(analyse(results(out("s")), quick()), UsageError);
  AnalysisOptions o;
  o.replicates = 10;
  EXPECT_THROW(o.validate(), UsageError);
}

TEST_F(AnalysisTest, AnswersAfterTheKeyWasOpenedCountForNothing) {
  make_study(testing_shop::small_study(out("s")));
  testing_shop::answer_all(out("s"), 0.6, 1, 10);
  const Json before = analyse(results(out("s")), quick());
  std::this_thread::sleep_for(std::chrono::milliseconds(3));
  testing_shop::answer_all(out("s"), 1, 1, 4);
  const Json after = analyse(results(out("s")), quick());
  EXPECT_EQ(after.at("counts").at("after_unsealing"), 12);
  EXPECT_EQ(after.at("counts").at("scored"), before.at("counts").at("scored"));
  EXPECT_EQ(after.at("overall").at("accuracy"), before.at("overall").at("accuracy"));
}

TEST_F(AnalysisTest, TextsOfReadersStartNoFormulaAndNoMarkup) {
  make_study(testing_shop::small_study(out("s")));
  testing_shop::answer_all(out("s"), 0.7, 1);
  {
    Store store(out("s") / "study.db");
    const auto last = store.last_answered(1);
    store.withdraw(1, last->id);
    Answer a;
    a.id = "hostile-1";
    a.verdict = "real";
    a.confidence = 1;
    a.remark = "=HYPERLINK(\"http://evil\",\"x\"),\"\n-1<script>alert(1)</script>";
    store.accept(1, last->id, a);
  }
  const Results r = results(out("s"));
  write_report(out("s"), r, analyse(r, quick()), out("report"));
  const CsvTable table = CsvTable::read(out("report") / "answers.csv");
  bool found = false;
  for (size_t i = 0; i < table.size(); ++i) {
    const std::string& remark = table.get(i, "remark");
    if (remark.empty()) continue;
    found = true;
    EXPECT_EQ(remark, "'=HYPERLINK(\"http://evil\",\"x\"),\"\n-1<script>alert(1)</script>");
  }
  EXPECT_TRUE(found);
  EXPECT_EQ(read_file(out("report") / "report.html").find("<script"), std::string::npos);
}

TEST(GuardFormula, PutsAnApostropheBeforeWhatASpreadsheetWouldCompute) {
  for (const char* text : {"=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1"}) {
    EXPECT_EQ(guard_formula(text), std::string("'") + text);
  }
  for (const char* text : {"", "a = b", "'quoted", "1-2", "nevus"}) EXPECT_EQ(guard_formula(text), text);
}

TEST_F(AnalysisTest, FeedbackIsADataSetOfWhatReadersMarked) {
  make_study(testing_shop::small_study(out("s")));
  testing_shop::answer_all(out("s"), 0.9, 3);
  const Results r = results(out("s"));
  const Feedback made = export_feedback(out("s"), r, out("feedback"));
  int64_t marks = 0;
  for (const Row& row : r.rows) marks += static_cast<int64_t>(nlohmann::json::parse(row.answer.marks).size());
  EXPECT_GT(marks, 10);
  EXPECT_EQ(made.marks, marks);
  const CsvTable table = CsvTable::read(out("feedback") / "metadata.csv");
  EXPECT_EQ(static_cast<int64_t>(table.size()), marks);
  for (size_t i = 0; i < table.size(); ++i) {
    if (table.get(i, "source") == "real") {
      EXPECT_EQ(table.get(i, "file_name"), "") << "no photograph of a patient goes out";
    } else {
      EXPECT_EQ(image::read_image(out("feedback") / table.get(i, "file_name")).width, 64);
    }
    if (table.get(i, "reason") == "texture") {
      EXPECT_EQ(table.get(i, "box_x"), "16");
      EXPECT_EQ(table.get(i, "box_y"), "32");
      EXPECT_EQ(table.get(i, "box_w"), "16");
    } else {
      EXPECT_EQ(table.get(i, "box_x"), "");
    }
  }
  EXPECT_THAT(read_file(out("feedback") / "feedback.jsonl"), HasSubstr("\"verdict\":\"synthetic\""));
}

}  // namespace
}  // namespace derm::study
