// Several processes that train one model together.
#include <signal.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <memory>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "derm/base/files.h"
#include "derm/ranks/testing/port.h"
#include "program.h"

namespace derm::e2e {
namespace {

using ranks::testing::free_port;
using std::chrono::seconds;
using testing::HasSubstr;

/// fp32 tensors of a safetensors file.
std::map<std::string, std::vector<float>> tensors_of(const fs::path& file) {
  const std::string bytes = read_file(file);
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof(length));
  std::map<std::string, std::vector<float>> tensors;
  const auto header = nlohmann::json::parse(bytes.substr(8, length));
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__" || entry.at("dtype") != "F32") continue;
    const size_t begin = entry.at("data_offsets")[0], end = entry.at("data_offsets")[1];
    std::vector<float> values((end - begin) / sizeof(float));
    std::memcpy(values.data(), bytes.data() + 8 + length + begin, end - begin);
    tensors[name] = values;
  }
  return tensors;
}

/// Norm of the difference of all tensors whose names contain `part`, over the norm of the first.
double relative_difference(const fs::path& a, const fs::path& b, const std::string& part) {
  const auto first = tensors_of(a), second = tensors_of(b);
  double difference = 0, size = 0;
  for (const auto& [name, values] : first) {
    if (name.find(part) == std::string::npos) continue;
    for (size_t i = 0; i < values.size(); ++i) {
      difference += std::pow(values[i] - second.at(name).at(i), 2);
      size += std::pow(values[i], 2);
    }
  }
  return size > 0 ? std::sqrt(difference / size) : INFINITY;
}

class Ranks : public testing::Test {
 protected:
  const Workspace& place_ = Shop::get().workspace();

  /// The words of one rank of two, as torchrun would start it.
  std::vector<std::string> rank(int number, int port, const std::vector<std::string>& words) const {
    return std::vector<std::string>{"env",
                                    "RANK=" + std::to_string(number),
                                    "WORLD_SIZE=2",
                                    "LOCAL_RANK=" + std::to_string(number),
                                    "LOCAL_WORLD_SIZE=2",
                                    "MASTER_ADDR=127.0.0.1",
                                    "MASTER_PORT=" + std::to_string(port),
                                    DERM_PROGRAM} +
           words;
  }
  /// Both, to their end. Skips where the build has no Gloo.
  std::vector<Answer> both(const std::vector<std::string>& words) const {
    const int port = free_port();
    Process one(rank(0, port, words), place_.root()), other(rank(1, port, words), place_.root());
    return {one.wait(), other.wait()};
  }
  /// One process and two write the same folder, to the byte.
  void expect_same_files(const std::vector<std::string>& words_alone, const fs::path& by_one,
                         const std::vector<std::string>& words_of_two, const fs::path& by_two) const {
    const Answer alone = place_.dermgan(words_alone);
    ASSERT_EQ(alone.code, 0) << alone.err;
    const std::vector<Answer> two = both(words_of_two);
    if (has_no_gloo(two[0])) GTEST_SKIP() << "this build has no Gloo";
    ASSERT_EQ(two[0].code, 0) << two[0].err;
    ASSERT_EQ(two[1].code, 0) << two[1].err;
    EXPECT_EQ(two[1].out, "") << "one speaks for all";
    for (const auto& entry : fs::recursive_directory_iterator(place_ / by_one)) {
      if (!entry.is_regular_file()) continue;
      const fs::path other = place_ / by_two / fs::relative(entry.path(), place_ / by_one);
      ASSERT_TRUE(fs::exists(other)) << other;
      EXPECT_EQ(sha256_file(entry.path()), sha256_file(other)) << other;
    }
  }
  static bool has_no_gloo(const Answer& answer) { return answer.err.find("has no Gloo") != std::string::npos; }
};

TEST_F(Ranks, TwoWithHalfOfTheBatchEqualOneWithAllOfIt) {
  for (const std::string precision : {"fp32", "bf16"}) {
    SCOPED_TRACE(precision);
    const auto words = [&](const std::string& out) {
      return std::vector<std::string>{"train",
                                      "--recipe",
                                      "melano-dcgan",
                                      "--data",
                                      "D",
                                      "--out",
                                      out + precision,
                                      "--kimg",
                                      "0.008",
                                      "--batch",
                                      "8",
                                      "--size",
                                      "64",
                                      "--set",
                                      "model.width=8",
                                      "--set",
                                      "metrics.extractor=random",
                                      "--set",
                                      "compute.threads=1",
                                      "--set",
                                      "compute.precision=" + precision};
    };
    const Answer alone = place_.dermgan(words("alone-"));
    ASSERT_EQ(alone.code, 0) << alone.err;
    const std::vector<Answer> two = both(words("two-"));
    if (has_no_gloo(two[0])) GTEST_SKIP() << "this build has no Gloo";
    ASSERT_EQ(two[0].code, 0) << two[0].err;
    ASSERT_EQ(two[1].code, 0) << two[1].err;
    EXPECT_EQ(two[1].out, "") << "one speaks for all";
    const std::string step = "/checkpoints/step-000001/";
    const fs::path a = place_ / (alone.last_line() + step), b = place_ / (two[0].last_line() + step);
    // After one step the first moments are the gradients, times a constant.
    const double rounding = precision == "fp32" ? 1e-4 : 0.03;
    EXPECT_LT(relative_difference(a / "optimiser.safetensors", b / "optimiser.safetensors", "discriminator/"),
              rounding);
    EXPECT_LT(relative_difference(a / "optimiser.safetensors", b / "optimiser.safetensors", "generator/"),
              10 * rounding);
    EXPECT_LT(relative_difference(a / "generator.safetensors", b / "generator.safetensors", "running_"), rounding);
  }
}

TEST_F(Ranks, OneThatIsKilledIsNamedAndTheOtherEnds) {
  const int port = free_port();
  const auto words = small_training("D", "ranks", 1000) + std::vector<std::string>{"--set", "snapshot_kimg=0.04"};
  Process one(rank(0, port, words), place_.root()), other(rank(1, port, words), place_.root());
  const std::string run = "ranks/00000-dermgan-D-64";
  if (!wait_until([&] { return fs::is_symlink(place_ / (run + "/latest")) || one.ended(); }, seconds(120)) ||
      one.ended()) {
    const Answer answer = one.wait();
    if (has_no_gloo(answer)) GTEST_SKIP() << "this build has no Gloo";
    FAIL() << answer.err;
  }
  other.send(SIGKILL);
  ASSERT_TRUE(wait_until([&] { return one.ended(); }, seconds(60))) << "within a minute";
  const Answer answer = one.wait();
  EXPECT_EQ(answer.code, 1) << answer.err;
  EXPECT_THAT(answer.err, HasSubstr("rank 1 of 2 (process "));
  EXPECT_THAT(answer.err, HasSubstr("no sign of life"));

  // What stands on disk goes on, on one rank as on two.
  const Answer resumed = place_.dermgan({"train", "--resume", run, "--kimg", "0.02"});
  EXPECT_EQ(resumed.code, 0) << resumed.err;
}

TEST_F(Ranks, MakeTheSameImagesTogether) {
  const auto words = [&](const std::string& out) {
    return std::vector<std::string>{"generate", "--bundle", Shop::get().run(), "--count", "7", "--balance", "condition",
                                    "--out",    out,        "--threads",       "1"};
  };
  expect_same_files(words("made-alone"), "made-alone", words("made-by-two"), "made-by-two");
}

TEST_F(Ranks, MakeTheSamePhantomsTogether) {
  const auto words = [&](const std::string& out) {
    return std::vector<std::string>{"phantom", "--count", "261", "--size", "32", "--seed", "4", "--out", out};
  };
  expect_same_files(words("phantoms-alone"), "phantoms-alone", words("phantoms-by-two"), "phantoms-by-two");
}

TEST_F(Ranks, MeasureTheSameTogether) {
  const Answer made = place_.dermgan(
      {"generate", "--bundle", Shop::get().run(), "--count", "40", "--balance", "condition", "--out", "asked"});
  ASSERT_EQ(made.code, 0) << made.err;
  const auto words = [&](const std::string& out) {
    return std::vector<std::string>{"evaluate", "--control", "--synthetic", "asked", "--threads", "1", "--out", out};
  };
  const Answer alone = place_.dermgan(words("report-alone"));
  ASSERT_EQ(alone.code, 0) << alone.err;
  const std::vector<Answer> two = both(words("report-by-two"));
  if (has_no_gloo(two[0])) GTEST_SKIP() << "this build has no Gloo";
  ASSERT_EQ(two[0].code, 0) << two[0].err;
  ASSERT_EQ(two[1].code, 0) << two[1].err;
  EXPECT_EQ(two[1].out, "") << "one speaks for all";
  for (const char* file : {"control.csv", "control.json"})
    EXPECT_EQ(read_file(place_ / "report-by-two" / file), read_file(place_ / "report-alone" / file)) << file;
}

TEST_F(Ranks, ShareTheBatchEvenly) {
  auto words = small_training("D", "odd", 0.016);
  *(std::find(words.begin(), words.end(), "--batch") + 1) = "3";
  const std::vector<Answer> two = both(words);
  if (has_no_gloo(two[0])) GTEST_SKIP() << "this build has no Gloo";
  EXPECT_EQ(two[0].code, 2) << two[0].err;
  EXPECT_THAT(two[0].err, HasSubstr("multiple of the 2 ranks"));
}

}  // namespace
}  // namespace derm::e2e
