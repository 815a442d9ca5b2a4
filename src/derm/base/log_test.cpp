#include "derm/base/log.h"

#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "derm/base/error.h"
#include "derm/base/files.h"

namespace derm {
namespace {

TEST(Log, WritesToStderrWithoutTimeStamps) {
  testing::internal::CaptureStderr();
  log_debug("hidden");
  log_info("{} images", 3);
  log_warning("disk nearly full");
  log_line(LogLevel::error, "with {} braces");
  set_log_level(LogLevel::debug);
  log_debug("shown");
  set_log_level(LogLevel::error);
  log_warning("hidden");
  set_log_level(LogLevel::info);
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "3 images\nwarning: disk nearly full\nerror: with {} braces\ndebug: shown\n");
}

TEST(LogFile, TakesLinesWithTimeStampsWhileItLives) {
  const fs::path path = fs::path(testing::TempDir()) / "derm_log_test.txt";
  fs::remove(path);
  testing::internal::CaptureStderr();
  set_log_level(LogLevel::error);  // for the terminal alone
  log_info("before");
  for (int i = 0; i < 2; ++i) {
    const LogFile file(path);  // appends the second time
    log_info("during {}", i);
    log_debug("never");
    log_warning("careful");
  }
  log_info("after");
  set_log_level(LogLevel::info);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  const std::string text = read_file(path);
  fs::remove(path);
  const std::string stamp = "[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8}[.][0-9]{3} ";
  EXPECT_THAT(text, testing::MatchesRegex(stamp + "info: during 0\n" + stamp + "warning: careful\n" + stamp +
                                          "info: during 1\n" + stamp + "warning: careful\n"));
}

TEST(LogFile, SaysThatItCannotBeWritten) {
  EXPECT_THAT([] { LogFile file("/dev/null/log.txt"); },
              testing::ThrowsMessage<DataError>(testing::HasSubstr("/dev/null/log.txt: the log cannot be written")));
}

TEST(Log, KeepsLinesWholeBetweenThreads) {
  testing::internal::CaptureStderr();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([] {
      for (int i = 0; i < 50; ++i) log_info("one whole line");
    });
  }
  for (auto& thread : threads) thread.join();
  std::string expected;
  for (int i = 0; i < 200; ++i) expected += "one whole line\n";
  EXPECT_EQ(testing::internal::GetCapturedStderr(), expected);
}

}  // namespace
}  // namespace derm
