#include "derm/base/progress.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <functional>
#include <limits>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "derm/base/log.h"

namespace derm {
namespace {

using testing::HasSubstr;
using testing::Not;

/// What `body` writes to stderr when that is a terminal; "" if the system gives none.
std::string on_a_terminal(const std::function<void()>& body) {
  const int master = ::posix_openpt(O_RDWR | O_NOCTTY);
  if (master < 0 || ::grantpt(master) != 0 || ::unlockpt(master) != 0) return "";
  const int slave = ::open(::ptsname(master), O_RDWR | O_NOCTTY);
  if (slave < 0) return "";
  ::setenv("TERM", "xterm", 1);
  std::string text;
  std::thread reader([&] {
    char buffer[4096];
    for (ssize_t got; (got = ::read(master, buffer, sizeof buffer)) > 0;) text.append(buffer, static_cast<size_t>(got));
  });
  const int saved = ::dup(STDERR_FILENO);
  ::dup2(slave, STDERR_FILENO);
  body();
  ::dup2(saved, STDERR_FILENO);
  ::close(saved);
  ::close(slave);  // the last one: the reader sees the end
  reader.join();
  ::close(master);
  return text;
}

TEST(Progress, WritesPlainLinesElsewhere) {
  testing::internal::CaptureStderr();
  {
    Progress progress("reading", 20, "images");
    for (int i = 0; i <= 20; ++i) progress.update(i);
    progress.finish();
    progress.finish();
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "reading 100%  20/20 images  in 0 s\n");
}

TEST(Progress, SaysNothingOfWorkThatFailed) {
  testing::internal::CaptureStderr();
  { Progress progress("reading", 20, "images"); }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST(Progress, DrawsABarAndPutsLogLinesAboveIt) {
  const std::string text = on_a_terminal([] {
    Progress progress("training", 40, "images");
    progress.update(10);  // where a resumed run stands
    std::this_thread::sleep_for(std::chrono::milliseconds(250));
    progress.update(20, "loss 0.5");
    log_info("a line");
    progress.update(40);
    progress.finish();
  });
  if (text.empty()) GTEST_SKIP() << "no pseudo terminal to be had";
  EXPECT_THAT(text, HasSubstr("training [............]   0%  0/40 images"));
  // Ten images in a quarter of a second are 40 a second, at most: the ten before the start do not count.
  EXPECT_THAT(
      text, testing::ContainsRegex(
                "\\[######\\.+\\]  50%  20/40 images  (40\\.0|[123][0-9]\\.[0-9]) images/s  ETA [0-9]+ s  loss 0\\.5"));
  // The bar is wiped, the line written, the bar drawn anew.
  EXPECT_THAT(text, testing::ContainsRegex("\\[Ka line\r?\ntraining \\[####"));
  EXPECT_THAT(text, HasSubstr("[############] 100%  40/40 images"));
  EXPECT_EQ(text.back(), '\n');
}

TEST(Progress, NestsAndCutsLongLines) {
  const std::string text = on_a_terminal([] {
    Progress outer("outer", 2, "sets");
    {
      Progress inner(std::string(500, 'i'), 0, "images");
      outer.update(1);  // not on the screen now
      inner.update(3);
      Progress::print_above("above");
    }
    outer.update(2);
  });
  if (text.empty()) GTEST_SKIP() << "no pseudo terminal to be had";
  EXPECT_THAT(text, HasSubstr("\r\033[K" + std::string(79, 'i') + "\r\033[Kabove\r\n"));
  EXPECT_THAT(text, Not(HasSubstr(std::string(80, 'i'))));
  EXPECT_THAT(text, testing::EndsWith("\r\033[K"));  // given up: nothing stays on the screen
}

TEST(DurationText, IsWhatPeopleSay) {
  EXPECT_EQ(duration_text(0), "0 s");
  EXPECT_EQ(duration_text(12.4), "12 s");
  EXPECT_EQ(duration_text(59.6), "1 min 00 s");
  EXPECT_EQ(duration_text(200), "3 min 20 s");
  EXPECT_EQ(duration_text(3599.7), "1 h 00 min");
  EXPECT_EQ(duration_text(3720), "1 h 02 min");
  EXPECT_EQ(duration_text(86400 + 3 * 3600), "1 d 03 h");
  EXPECT_EQ(duration_text(-1), "unknown");
  EXPECT_EQ(duration_text(std::numeric_limits<double>::infinity()), "unknown");
}

TEST(BytesText, IsWhatPeopleSay) {
  EXPECT_EQ(bytes_text(0), "0 B");
  EXPECT_EQ(bytes_text(999), "999 B");
  EXPECT_EQ(bytes_text(1400), "1.4 kB");
  EXPECT_EQ(bytes_text(312e6), "312 MB");
  EXPECT_EQ(bytes_text(999.7e6), "1.0 GB");
  EXPECT_EQ(bytes_text(1.44e9), "1.4 GB");
  EXPECT_EQ(bytes_text(9.97e9), "10 GB");
}

}  // namespace
}  // namespace derm
