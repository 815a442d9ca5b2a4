#include "derm/base/options.h"

#include <cmath>
#include <fstream>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "derm/base/error.h"
#include "derm/base/random.h"

namespace derm {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::ThrowsMessage;
using namespace std::string_view_literals;

struct Inner {
  double weight = 10;
  bool enabled = true;
  void bind(Options& o) {
    o.add("weight", weight, "how much it counts");
    o.add("enabled", enabled, "on or off");
  }
};

struct Outer {
  int64_t batch_size = 16;
  double lr = 2e-4;
  std::string name = "run";
  std::vector<int64_t> sizes = {64, 128};
  std::vector<std::string> conditions;
  Inner l1, feature;
  void bind(Options& o) {
    o.section("l1", l1);
    o.add("batch_size", batch_size, "images a step");
    o.add("lr", lr, "Adam step size");
    o.add("name", name, "what it is called");
    o.add("sizes", sizes, "in pixels");
    o.add("conditions", conditions, "those to keep;\nall when empty");
    o.section("loss", feature);
  }
};

struct Fixture : testing::Test {
  Outer outer;
  Options options;
  Fixture() { outer.bind(options); }
  void expect_refusal(const std::string& toml, const std::string& part) {
    EXPECT_THAT([&] { options.read_toml(toml, "run.toml"); }, ThrowsMessage<UsageError>(HasSubstr(part))) << toml;
  }
};
using OptionsToml = Fixture;
using OptionsSet = Fixture;
using OptionsJson = Fixture;

TEST_F(OptionsToml, TakesValuesOfEveryType) {
  options.read_toml(
      "batch_size = 8\nlr = 1\nname = \"a \\\"b\\\"\"\nsizes = [1, 2, 3]\nconditions = ['x', 'y']\n"
      "l1.weight = 2.5\n[loss]\nenabled = false\n",
      "run.toml");
  EXPECT_EQ(outer.batch_size, 8);
  EXPECT_EQ(outer.lr, 1.0);  // a whole number will do for a number
  EXPECT_EQ(outer.name, "a \"b\"");
  EXPECT_THAT(outer.sizes, ElementsAre(1, 2, 3));
  EXPECT_THAT(outer.conditions, ElementsAre("x", "y"));
  EXPECT_EQ(outer.l1.weight, 2.5);
  EXPECT_FALSE(outer.feature.enabled);
  EXPECT_TRUE(outer.l1.enabled);
}

TEST_F(OptionsToml, RefusesAnUnknownKeyAndOffersTheNearest) {
  EXPECT_THAT([&] { options.read_toml("batch_szie = 1", "run.toml"); },
              ThrowsMessage<UsageError>("run.toml: \"batch_szie\" is not an option; did you mean \"batch_size\"?"));
  expect_refusal("[l1]\nwieght = 1", "\"l1.wieght\" is not an option; did you mean \"l1.weight\"?");
  expect_refusal("weight = 1", "did you mean \"l1.weight\"?");  // its section is missing
  expect_refusal("[zzz]\nqqqqq = 1", "\"zzz\" is not an option; known: l1.weight");
  expect_refusal("\"l1.weight\" = 1", "\"l1.weight\" is not an option");  // one key with a dot in it, no section
  expect_refusal("\"\" = 1", "is not an option");
}

TEST_F(OptionsToml, RefusesWrongTypes) {
  expect_refusal("batch_size = 2.0", "run.toml: \"batch_size\" is 2.0, a whole number is expected (now: 16)");
  expect_refusal("batch_size = \"8\"", "is \"8\", a whole number is expected");
  expect_refusal("batch_size = true", "is true");
  expect_refusal("batch_size = 9223372036854775808", "line 1");
  expect_refusal("lr = nan", "is nan, a number is expected");
  expect_refusal("lr = -inf", "is -inf, a number is expected");
  expect_refusal("lr = '1'", "a number is expected");
  expect_refusal("name = 5", "is 5, a text is expected");
  expect_refusal("name = 2020-01-01", "date");
  expect_refusal("l1.enabled = 1", "true or false is expected");
  expect_refusal("sizes = [1, 2.5]", "a list of whole numbers is expected (now: [64, 128])");
  expect_refusal("sizes = 4", "a list of whole numbers is expected");
  expect_refusal("conditions = ['a', 1]", "a list of texts is expected");
  expect_refusal("conditions = [['a']]", "a list of texts is expected");
  expect_refusal("l1 = 3", "it is a section");
  expect_refusal("[batch_size]\nx = 1", "is a table, a whole number is expected");
  EXPECT_EQ(outer.batch_size, 16);
}

TEST_F(OptionsToml, SaysWhereTheTextIsNoToml) {
  expect_refusal("lr = 1\nbatch_size = = 2", "run.toml: line 2, column ");
  expect_refusal("lr = 1\nlr = 2", "line 2");
  expect_refusal("name = \"\xFF\"", "line 1");
}

TEST_F(OptionsToml, ChangesNothingWhenOneValueIsWrong) {
  EXPECT_THROW(options.read_toml("batch_size = 8\nlr = 'x'", "run.toml"), UsageError);
  EXPECT_EQ(outer.batch_size, 16);
}

TEST_F(OptionsToml, ReadsBackWhatItWrites) {
  outer.batch_size = std::numeric_limits<int64_t>::min();
  outer.lr = 0.1 + 0.2;
  outer.name = "tab\t \"quote\" back\\slash \n \x01 \x7F n\xC3\xA6vus # no comment";
  outer.sizes = {};
  outer.conditions = {"", "a, b", "]"};
  outer.l1.weight = 1e300;
  outer.feature.weight = -5e-324;
  const std::string text = options.to_toml();
  Outer other;
  Options again;
  other.bind(again);
  again.read_toml(text, "written");
  EXPECT_EQ(other.batch_size, outer.batch_size);
  EXPECT_EQ(other.lr, outer.lr);
  EXPECT_EQ(other.name, outer.name);
  EXPECT_THAT(other.sizes, IsEmpty());
  EXPECT_EQ(other.conditions, outer.conditions);
  EXPECT_EQ(other.l1.weight, 1e300);
  EXPECT_EQ(other.feature.weight, -5e-324);
  EXPECT_EQ(again.to_toml(), text);

  Rng rng(3);
  for (int i = 0; i < 500; ++i) {
    outer.lr = std::ldexp(rng.uniform(-1, 1), static_cast<int>(rng.integer(-1000, 1000)));
    again.read_toml(options.to_toml(), "written");
    ASSERT_EQ(other.lr, outer.lr);
  }
}

TEST_F(OptionsToml, WritesSectionsAndHelp) {
  const std::string text = options.to_toml();
  EXPECT_THAT(text, testing::StartsWith("batch_size = 16  # images a step\nlr = 0.0002  # Adam step size\n"));
  EXPECT_THAT(
      text,
      HasSubstr("conditions = []  # those to keep; all when empty\n\n[l1]\nweight = 10.0  # how much it counts\n"));
  EXPECT_THAT(text, HasSubstr("\n[loss]\n"));
}

TEST_F(OptionsToml, RefusesToWriteWhatCannotBeReadBack) {
  outer.lr = std::numeric_limits<double>::infinity();
  EXPECT_THAT([&] { options.to_toml(); }, ThrowsMessage<UsageError>("\"lr\" is inf, a finite number is expected"));
  EXPECT_THROW(options.to_json(), UsageError);
  outer.lr = 1;
  outer.name = "\xFF";
  EXPECT_THROW(options.to_toml(), UsageError);
}

TEST_F(OptionsToml, ReadsAFile) {
  const std::string file = testing::TempDir() + "derm_options_test.toml";
  std::ofstream(file) << "batch_size = 3\n";
  options.read_toml_file(file);
  std::remove(file.c_str());
  EXPECT_EQ(outer.batch_size, 3);
  EXPECT_THROW(options.read_toml_file(file), UsageError);
}

TEST_F(OptionsToml, SurvivesDeepNesting) {
  std::string chain = "a", arrays = "sizes = ";
  for (int i = 0; i < 200000; ++i) chain += ".a";
  arrays += std::string(200000, '[');
  expect_refusal(chain + " = 1", "over 32 parts");
  expect_refusal("[" + chain + "]", "over 32 parts");
  expect_refusal("x = {" + chain + " = 1}", "over 32 parts");
  expect_refusal("x = [\"\"\"a\"\"\"\", {" + chain + " = 1}]",
                 "over 32 parts");  // four closing marks: one belongs to the text
  expect_refusal(arrays, "line 1");
  std::string tables = "x = ";
  for (int i = 0; i < 200000; ++i) tables += "{a = ";
  expect_refusal(tables, "line 1");
  // Dots in a text or a comment are no keys.
  options.read_toml("# " + chain + "\nname = \"" + chain + "\"\nconditions = [\"\"\"" + chain + "\"\"\"]\n",
                    "run.toml");
}

TEST_F(OptionsToml, ThrowsOnlyItsOwnErrorsWhateverTheBytes) {
  Rng rng(4);
  const std::string base =
      options.to_toml() + "x = [{a = 1, b.c = 0x1F}, 1979-05-27T07:32:00Z, '''q''', \"\\u00e9\"]\n";
  const auto alphabet =
      "=[]{}\"'#.,\\\n\r\t 0e+-_:\xC3\xA9\xFF\x00"
      "a"sv;
  for (int round = 0; round < 20000; ++round) {
    std::string text = base;
    for (int64_t n = rng.integer(1, 6); n > 0; --n) {
      const auto at = static_cast<size_t>(rng.integer(0, static_cast<int64_t>(text.size()) - 1));
      const char c = alphabet[static_cast<size_t>(rng.integer(0, static_cast<int64_t>(alphabet.size()) - 1))];
      switch (rng.integer(0, 3)) {
        case 0: text[at] = c; break;
        case 1: text.insert(at, 1, c); break;
        case 2: text.erase(at, static_cast<size_t>(rng.integer(1, 30))); break;
        default: text.insert(at, text.substr(static_cast<size_t>(rng.integer(0, static_cast<int64_t>(at))), 20));
      }
      if (text.empty()) text = "=";
    }
    try {
      options.read_toml(text, "run.toml");
    } catch (const UsageError&) {
    }
  }
}

TEST_F(OptionsSet, TakesTomlOrABareWord) {
  options.set("batch_size=4");
  options.set(" lr = 1e-3 ");
  options.set("l1.enabled=false");
  options.set("sizes=[32, 48]");
  EXPECT_EQ(outer.batch_size, 4);
  EXPECT_EQ(outer.lr, 1e-3);
  EXPECT_FALSE(outer.l1.enabled);
  EXPECT_THAT(outer.sizes, ElementsAre(32, 48));
  options.set("sizes=64,96");
  EXPECT_THAT(outer.sizes, ElementsAre(64, 96));
  options.set("conditions=nevus, melanoma");
  EXPECT_THAT(outer.conditions, ElementsAre("nevus", "melanoma"));
  options.set("conditions=[\"a, b\"]");
  EXPECT_THAT(outer.conditions, ElementsAre("a, b"));
  options.set("conditions=");
  EXPECT_THAT(outer.conditions, IsEmpty());
}

TEST_F(OptionsSet, LetsATextBeAnything) {
  for (const char* text :
       {"word", "two words", "5", "1.5", "true", "2020-01-01", "[1, 2]", "/data/a=b", "", "\"half", "a#b"}) {
    options.set(std::string("name=") + text);
    EXPECT_EQ(outer.name, text);
  }
  options.set("name=\"in quotes\\n\"");
  EXPECT_EQ(outer.name, "in quotes\n");
}

TEST_F(OptionsSet, RefusesWhatDoesNotFit) {
  const auto refused = [&](const std::string& assignment, const std::string& part) {
    EXPECT_THAT([&] { options.set(assignment); }, ThrowsMessage<UsageError>(HasSubstr(part))) << assignment;
  };
  refused("batch_szie=4", "\"batch_szie\" is not an option; did you mean \"batch_size\"?");
  refused("batch_size=4.0", "--set batch_size=4.0: \"batch_size\" is 4.0, a whole number is expected");
  refused("batch_size=many", "is \"many\", a whole number is expected");
  refused("batch_size=4\nlr=1", "a whole number is expected");
  refused("batch_size=", "a whole number is expected");
  refused("lr=nan", "a number is expected");
  refused("sizes=1,x", "a list of whole numbers is expected");
  refused("batch_size", "an option's name and its value are expected");
  refused("=4", "an option's name and its value are expected");
  refused("l1=4", "is a section");
  refused("name=\xFF", "a text is expected");
  EXPECT_EQ(outer.batch_size, 16);
}

TEST_F(OptionsJson, GoesThereAndBack) {
  outer.lr = 0.3;
  outer.conditions = {"x"};
  outer.feature.weight = 7;
  const nlohmann::json json = nlohmann::json::parse(options.to_json().dump());
  EXPECT_EQ(json["loss"]["weight"], 7.0);
  EXPECT_EQ(json["batch_size"], 16);
  Outer other;
  Options again;
  other.bind(again);
  again.read_json(json, "config.json");
  EXPECT_EQ(other.lr, 0.3);
  EXPECT_THAT(other.conditions, ElementsAre("x"));
  EXPECT_EQ(other.feature.weight, 7.0);
}

TEST_F(OptionsJson, IsAsStrictAsToml) {
  const auto refused = [&](const char* text, const std::string& part) {
    EXPECT_THAT([&] { options.read_json(nlohmann::json::parse(text), "config.json"); },
                ThrowsMessage<UsageError>(HasSubstr(part)))
        << text;
  };
  refused(R"({"batch_szie": 1})", "config.json: \"batch_szie\" is not an option; did you mean \"batch_size\"?");
  refused(R"({"batch_size": 1.0})", "a whole number is expected");
  refused(R"({"batch_size": 18446744073709551615})", "is 18446744073709551615, a whole number is expected");
  refused(R"({"batch_size": null})", "is null");
  refused(R"({"l1.weight": 1})", "is not an option");
  refused(R"({"l1": 1})", "it is a section");
  refused(R"([1])", "an object with options is expected");
}

TEST(Options, RefusesToBindANameTwice) {
  int64_t a = 0, b = 0;
  Options options;
  options.add("a", a, "");
  EXPECT_THROW(options.add("a", b, ""), std::logic_error);
  EXPECT_THROW(options.add("a.b", b, ""), std::logic_error);
  EXPECT_THAT(options.names(), ElementsAre("a"));
  EXPECT_TRUE(options.has("a"));
  EXPECT_FALSE(options.has("b"));
}

}  // namespace
}  // namespace derm
