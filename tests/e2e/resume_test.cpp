// A run that is stopped goes on as if it had not been.
#include <signal.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "derm/base/files.h"
#include "program.h"

namespace derm::e2e {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;

constexpr double kHalf = 0.048;  // N = 12 steps of 4 images

class Resume : public testing::Test {
 protected:
  const Workspace& place_ = Shop::get().workspace();

  std::vector<std::string> program(const std::vector<std::string>& words) const {
    return std::vector<std::string>{DERM_PROGRAM} + words;
  }
};

TEST_F(Resume, KilledAndResumedEqualsStraightThroughToTheBit) {
  const Answer straight = place_.dermgan(small_training("D", "straight", 2 * kHalf));
  ASSERT_EQ(straight.code, 0) << straight.err;

  const std::string run = "killed/00000-dermgan-D-64";
  {
    Process process(
        program(small_training("D", "killed", 2 * kHalf) + std::vector<std::string>{"--set", "snapshot_kimg=0.048"}),
        place_.root());
    ASSERT_TRUE(
        wait_until([&] { return fs::is_symlink(place_ / (run + "/latest")) || process.ended(); }, seconds(120)));
    process.send(SIGKILL);
    const Answer killed = process.wait();
    ASSERT_EQ(killed.code, 128 + SIGKILL) << killed.err;
  }
  ASSERT_TRUE(fs::exists(place_ / (run + "/checkpoints/step-000012")));
  ASSERT_FALSE(fs::exists(place_ / (run + "/checkpoints/step-000024")));

  const Answer resumed = place_.dermgan({"train", "--resume", run});
  ASSERT_EQ(resumed.code, 0) << resumed.err;
  for (const char* name : {"generator", "discriminator", "average", "optimiser"}) {
    const std::string file = std::string("/checkpoints/step-000024/") + name + ".safetensors";
    EXPECT_EQ(sha256_file(place_ / (run + file)), sha256_file(place_ / (straight.last_line() + file))) << name;
  }
}

TEST_F(Resume, CtrlCSavesTheWorkSoFar) {
  const std::string run = "stopped/00000-dermgan-D-64";
  Process process(program(small_training("D", "stopped", 1000)), place_.root());
  ASSERT_TRUE(
      wait_until([&] { return fs::exists(place_ / (run + "/fakes000000.png")) || process.ended(); }, seconds(120)));
  process.send(SIGINT);
  const Answer answer = process.wait();
  EXPECT_EQ(answer.code, 130) << answer.err;
  EXPECT_THAT(answer.err, HasSubstr("dermgan train --resume " + run));
}

TEST_F(Resume, OnlyTheLengthOfARunMayChange) {
  const Answer answer = place_.dermgan({"train", "--resume", Shop::get().run(), "--set", "batch=8"});
  EXPECT_EQ(answer.code, 2);
  EXPECT_THAT(answer.err, HasSubstr("batch"));
  const Answer longer = place_.dermgan({"train", "--resume", Shop::get().run(), "--kimg", "0.04"});
  EXPECT_EQ(longer.code, 0) << longer.err;
  EXPECT_TRUE(fs::exists(place_ / (Shop::get().run() + "/checkpoints/step-000010")));
}

}  // namespace
}  // namespace derm::e2e
