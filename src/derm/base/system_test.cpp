#include "derm/base/system.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "derm/base/error.h"

namespace derm {
namespace {

namespace fs = std::filesystem;

/// Runs `body` in a child process, whose flags and signals are its own; gives waitpid's status.
template <class Body>
int in_a_child(Body body) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(body());
  int status = 0;
  ::waitpid(child, &status, 0);
  return status;
}

struct Cgroup : testing::Test {
  fs::path mount = fs::path(testing::TempDir()) / ("derm_cgroup_" + std::to_string(::getpid()));
  void put(const fs::path& file, const std::string& text) {
    fs::create_directories((mount / file).parent_path());
    std::ofstream(mount / file) << text;
  }
  ~Cgroup() override { fs::remove_all(mount); }
};

TEST_F(Cgroup, ReadsTheSecondVersionWithItsParents) {
  put("a/b/cpu.max", "max 100000\n");
  put("a/cpu.max", "150000 100000\n");
  put("cpu.max", "400000 100000\n");
  put("a/b/memory.max", "max\n");
  put("a/memory.max", "1073741824\n");
  EXPECT_EQ(cgroup_cpu_limit("0::/a/b\n", mount), 1.5);
  EXPECT_EQ(cgroup_cpu_limit("0::/\n", mount), 4.0);
  EXPECT_EQ(cgroup_cpu_limit("0::/seen/only/outside\n", mount), 4.0);
  EXPECT_EQ(cgroup_memory_limit("0::/a/b\n", mount), 1073741824u);
  EXPECT_EQ(cgroup_memory_limit("0::/\n", mount), std::nullopt);
}

TEST_F(Cgroup, ReadsTheFirstVersion) {
  put("cpu,cpuacct/docker/x/cpu.cfs_quota_us", "-1\n");
  put("cpu,cpuacct/docker/x/cpu.cfs_period_us", "100000\n");
  put("cpu,cpuacct/docker/cpu.cfs_quota_us", "50000\n");
  put("cpu,cpuacct/docker/cpu.cfs_period_us", "100000\n");
  put("memory/docker/x/memory.limit_in_bytes", "536870912\n");
  const char* membership = "5:memory:/docker/x\n4:cpu,cpuacct:/docker/x\n1:name=systemd:/docker/x\n";
  EXPECT_EQ(cgroup_cpu_limit(membership, mount), 0.5);
  EXPECT_EQ(cgroup_memory_limit(membership, mount), 536870912u);
}

TEST_F(Cgroup, MeansNoLimitWhenNothingIsThere) {
  EXPECT_EQ(cgroup_cpu_limit("", mount), std::nullopt);
  EXPECT_EQ(cgroup_cpu_limit("0::/a\nrubbish\n", mount), std::nullopt);
  put("cpu.max", "rubbish");
  EXPECT_EQ(cgroup_cpu_limit("0::/\n", mount), std::nullopt);
}

TEST(System, CountsAtMostTheProcessorsOfTheAffinityMask) {
  EXPECT_GE(usable_cpus(), 1);
  EXPECT_EQ(WEXITSTATUS(in_a_child([] {
              cpu_set_t set;
              CPU_ZERO(&set);
              ::sched_getaffinity(0, sizeof set, &set);
              int first = 0;
              while (!CPU_ISSET(first, &set)) ++first;
              CPU_ZERO(&set);
              CPU_SET(first, &set);
              ::sched_setaffinity(0, sizeof set, &set);
              return usable_cpus();
            })),
            1);
}

TEST(System, KnowsItsVersionAndMemory) {
  EXPECT_THAT(version(), testing::ContainsRegex("^[0-9]+\\.[0-9]+\\.[0-9]+$"));
  EXPECT_GT(resident_memory_bytes(), 1u << 20);
  EXPECT_LT(resident_memory_bytes(), total_memory_bytes());
  const nlohmann::json facts = system_facts();
  for (const char* key : {"version", "processor", "threads", "memory_bytes", "operating_system", "kernel"}) {
    EXPECT_TRUE(facts.contains(key)) << key;
  }
  EXPECT_FALSE(facts["processor"].get<std::string>().empty());
  EXPECT_EQ(facts["threads"], usable_cpus());
}

TEST(Interrupt, SetsAFlagTheFirstTimeAndEndsTheProcessTheSecond) {
  const int status = in_a_child([] {
    catch_interrupts();
    if (interrupt_requested()) return 1;
    throw_if_interrupted();
    ::raise(SIGINT);
    if (!interrupt_requested()) return 2;
    try {
      throw_if_interrupted();
      return 3;
    } catch (const Interrupted&) {
    }
    ::raise(SIGINT);
    return 4;
  });
  ASSERT_TRUE(WIFSIGNALED(status)) << WEXITSTATUS(status);
  EXPECT_EQ(WTERMSIG(status), SIGINT);
}

TEST(ParallelFor, DoesEachPieceOnce) {
  for (const int threads : {0, 1, 3, 100}) {
    std::vector<std::atomic<int>> done(1000);
    parallel_for(
        done.size(), [&](size_t i) { ++done[i]; }, threads);
    for (const auto& count : done) ASSERT_EQ(count, 1);
  }
  parallel_for(0, [](size_t) { FAIL(); });
}

TEST(ParallelFor, UsesTheThreadsThatItMay) {
  std::atomic<int> met{0};
  parallel_for(
      2,
      [&](size_t) {
        ++met;
        while (met < 2) std::this_thread::yield();  // would hang on one thread
      },
      2);
  EXPECT_EQ(met, 2);
}

TEST(ParallelFor, RethrowsTheFirstExceptionAndSkipsTheRest) {
  for (const int threads : {1, 4}) {
    std::atomic<int> begun{0};
    EXPECT_THAT(
        [&] {
          parallel_for(
              100000,
              [&](size_t i) {
                ++begun;
                if (i == 10) throw DataError("piece {}", i);
              },
              threads);
        },
        testing::ThrowsMessage<DataError>("piece 10"));
    EXPECT_LT(begun, 100000);
  }
}

TEST(ParallelFor, StopsWhenInterrupted) {
  EXPECT_EQ(WEXITSTATUS(in_a_child([] {
              std::atomic<int> begun{0};
              try {
                parallel_for(
                    1000,
                    [&](size_t i) {
                      ++begun;
                      if (i == 5) request_interrupt();
                    },
                    1);
              } catch (const Interrupted&) {
                return begun == 6 ? 42 : 2;
              }
              return 3;
            })),
            42);
  // The last piece was done when it came: nothing is lost.
  EXPECT_EQ(WEXITSTATUS(in_a_child([] {
              parallel_for(
                  3,
                  [](size_t i) {
                    if (i == 2) request_interrupt();
                  },
                  1);
              return 43;
            })),
            43);
}

}  // namespace
}  // namespace derm
