// The verb `study` from outside: what it prints, what it refuses, and a server that is killed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "derm/base/files.h"
#include "program.h"

namespace derm::e2e {
namespace {

using testing::HasSubstr;

/// Two sets of made skin, made once, or a reason to skip.
class StudyVerb : public testing::Test {
 protected:
  static const Workspace& place() {
    static const Workspace workspace("study-verb");
    return workspace;
  }
  void SetUp() override {
    if (place().dermgan({"study", "new", "--help"}).out.find("--synthetic") == std::string::npos) {
      GTEST_SKIP() << "this build has no reader studies (libsqlite3-dev, libboost-dev)";
    }
    for (const char* name : {"real", "made"}) {
      if (fs::exists(place() / name)) continue;
      const Answer a = place().dermgan({"phantom", "--count", "40", "--size", "32", "--condition", "nevus", "--seed",
                                        std::string(name) == "real" ? "1" : "2", "--out", name});
      ASSERT_EQ(a.code, 0) << a.err;
    }
  }
  std::vector<std::string> make(const std::string& out) const {
    return {"study",     "new", "--real",   "real", "--synthetic", "phantom=made", "--split",    "all",
            "--readers", "2",   "--images", "8",    "--strata",    "none",         "--practice", "0",
            "--repeats", "0",   "--out",    out};
  }
};

TEST_F(StudyVerb, NewShowsTheCalculationTheSealAndTheCodes) {
  const Answer a = place().dermgan(make("S"));
  ASSERT_EQ(a.code, 0) << a.err;
  EXPECT_THAT(a.out, HasSubstr("power"));
  EXPECT_THAT(a.out, HasSubstr(sha256_file(place() / "S/key.json")));
  EXPECT_THAT(a.out, testing::ContainsRegex("reader-02 .*[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}"));
  EXPECT_EQ(place().dermgan(make("S")).code, 2) << "it exists already";
}

TEST_F(StudyVerb, RefusesWithASentenceThatHelps) {
  EXPECT_THAT(place().dermgan({"study", "new", "--out", "U"}).err, HasSubstr("--real is missing"));
  EXPECT_THAT(place().dermgan(make("U") + std::vector<std::string>{"--readrs", "3"}).err, HasSubstr("--readers"));
  EXPECT_THAT(place().dermgan(make("U") + std::vector<std::string>{"--ask", "conditions"}).err,
              HasSubstr("did you mean \"condition\""));
  EXPECT_THAT(place().dermgan({"study", "serve", "nowhere"}).err, HasSubstr("there is no study.json"));
  EXPECT_THAT(place().dermgan({"study", "servee", "S"}).err, HasSubstr("did you mean \"serve\""));
  EXPECT_THAT(place().dermgan({"study"}).err, HasSubstr("new, serve, report or export"));
  EXPECT_EQ(place().dermgan({"study"}).code, 2);
}

TEST_F(StudyVerb, ReportDoesNotOpenTheKeyByAccident) {
  ASSERT_EQ(place().dermgan(make("T")).code, 0);
  const Answer a = place().dermgan({"study", "report", "T", "--out", "R"});
  EXPECT_EQ(a.code, 2);
  EXPECT_THAT(a.err, HasSubstr("no answer yet"));
  EXPECT_THAT(place().dermgan({"study", "report", "T", "--early", "--out", "R"}).err, HasSubstr("no answer yet"));
  EXPECT_FALSE(fs::exists(place() / "R"));
  EXPECT_THAT(place().dermgan({"study", "export", "T", "--out", "F"}).err, HasSubstr("--feedback"));
}

}  // namespace
}  // namespace derm::e2e
