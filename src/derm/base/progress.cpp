#include "derm/base/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string_view>
#include <vector>

#include <fmt/format.h>

namespace derm {

namespace {

using Clock = std::chrono::steady_clock;

constexpr double kTerminalSeconds = 0.1;  // between two drawings of the bar
constexpr double kPlainSeconds = 10;      // between two plain lines
constexpr double kRateSeconds = 30;       // what is older than this counts little in the rate
constexpr double kStartSeconds = 0.05;    // a first update() this early says where the work starts
constexpr size_t kWideTerminal = 100;     // from here on the bar is 24 wide, else 12

std::recursive_mutex& mutex() {
  static auto& instance = *new std::recursive_mutex;
  return instance;
}

/// Bars that live now; the youngest is the one on the screen.
std::vector<Progress*>& bars() {
  static auto& instance = *new std::vector<Progress*>;
  return instance;
}

bool& silenced() {
  static bool is = false;
  return is;
}

bool& bar_on_screen() {
  static bool on = false;
  return on;
}

void put(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

void wipe_bar() {
  if (!bar_on_screen()) return;
  put("\r\033[K");
  bar_on_screen() = false;
}

double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

bool stderr_is_terminal() {
  const char* kind = std::getenv("TERM");
  return ::isatty(STDERR_FILENO) == 1 && (kind == nullptr || std::string_view(kind) != "dumb");
}

size_t terminal_columns() {
  winsize size{};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

/// At most `columns` characters, counted in code points: a line that wraps could not be wiped again.
std::string cut(std::string_view text, size_t columns) {
  size_t count = 0, end = 0;
  for (; end < text.size(); ++end) {
    const bool starts_character = (static_cast<unsigned char>(text[end]) & 0xC0) != 0x80;
    if (starts_character && count++ == columns) break;
  }
  return std::string(text.substr(0, end));
}

/// Whole numbers as they are, others with as much as is of use.
std::string amount(double value) {
  if (value == std::floor(value) && std::abs(value) < 1e15) return fmt::format("{:.0f}", value);
  return fmt::format("{:.{}f}", value, std::abs(value) < 100 ? 1 : 0);
}

std::string rate_amount(double value) {
  if (value >= 100) return fmt::format("{:.0f}", value);
  if (value >= 1) return fmt::format("{:.1f}", value);
  return fmt::format("{:.2g}", value);
}

}  // namespace

void Progress::silence() {
  const std::lock_guard lock(mutex());
  silenced() = true;
}

Progress::Progress(std::string label, double total, std::string unit)
    : label_(std::move(label)),
      unit_(std::move(unit)),
      total_(std::isfinite(total) && total > 0 ? total : 0),
      terminal_(stderr_is_terminal()),
      start_(Clock::now()),
      last_draw_(start_),
      last_rate_(start_) {
  const std::lock_guard lock(mutex());
  bars().push_back(this);
  if (terminal_) draw(false);
}

Progress::~Progress() {
  const std::lock_guard lock(mutex());
  // Without finish() something went wrong: the bar goes, and no line says that the work is done.
  if (!finished_ && drawn_) wipe_bar();
  std::erase(bars(), this);
  if (terminal_ && !bars().empty()) bars().back()->draw(false);
}

void Progress::update(double done, const std::string& note) {
  const std::lock_guard lock(mutex());
  if (finished_) return;
  const auto now = Clock::now();
  if (!updated_ && seconds_between(start_, now) < kStartSeconds) {
    first_done_ = last_done_ = done;
    start_ = last_rate_ = now;
  }
  updated_ = true;
  done_ = done;
  if (!note.empty()) note_ = note;
  const double passed = seconds_between(last_rate_, now);
  if (passed >= kTerminalSeconds) {
    const double fade = std::exp(-passed / kRateSeconds);
    recent_done_ = recent_done_ * fade + (done_ - last_done_);
    recent_seconds_ = recent_seconds_ * fade + passed;
    rate_ = std::max(0.0, recent_done_ / recent_seconds_);
    last_done_ = done_;
    last_rate_ = now;
  }
  if (bars().empty() || bars().back() != this) return;
  if (seconds_between(last_draw_, now) >= (terminal_ ? kTerminalSeconds : kPlainSeconds)) draw(false);
}

void Progress::finish() {
  const std::lock_guard lock(mutex());
  if (finished_) return;
  draw(true);
  finished_ = true;
}

std::string Progress::line(bool last) const {
  const double seconds = seconds_between(start_, Clock::now());
  std::string text = label_;
  if (total_ > 0) {
    const double part = std::clamp(done_ / total_, 0.0, 1.0);
    if (terminal_) {
      const size_t width = terminal_columns() < kWideTerminal ? 12 : 24;
      const auto filled = static_cast<size_t>(part * static_cast<double>(width));
      text += fmt::format(" [{}{}]", std::string(filled, '#'), std::string(width - filled, '.'));
    }
    text += fmt::format(" {:3.0f}%  {}/{} {}", std::floor(part * 100), amount(done_), amount(total_), unit_);
  } else {
    text += fmt::format("  {} {}", amount(done_), unit_);
  }
  if (last) {
    const double average = seconds > 0 ? (done_ - first_done_) / seconds : 0;
    if (average > 0 && seconds >= kTerminalSeconds) text += fmt::format("  {} {}/s", rate_amount(average), unit_);
    text += "  in " + duration_text(seconds);
  } else if (rate_ > 0) {
    text += fmt::format("  {} {}/s", rate_amount(rate_), unit_);
    if (total_ > done_) text += "  ETA " + duration_text((total_ - done_) / rate_);
  }
  if (!note_.empty()) text += "  " + note_;
  return text;
}

void Progress::draw(bool last) {
  if (silenced()) return;
  last_draw_ = Clock::now();
  if (!terminal_) {
    put(line(last) + "\n");
    return;
  }
  wipe_bar();
  put(cut(line(last), terminal_columns() - 1) + (last ? "\n" : ""));
  bar_on_screen() = !last;
  drawn_ = !last;
}

void Progress::print_above(const std::string& text) {
  const std::lock_guard lock(mutex());
  const bool redraw = bar_on_screen();
  wipe_bar();
  put(text + "\n");
  if (redraw && !bars().empty() && !bars().back()->finished_) bars().back()->draw(false);
}

std::string duration_text(double seconds) {
  if (!(seconds >= 0) || seconds > 1e12) return "unknown";
  const auto whole = static_cast<int64_t>(std::llround(seconds));
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  const int64_t minutes = (whole + 30) / 60;
  if (minutes < 24 * 60) return fmt::format("{} h {:02} min", minutes / 60, minutes % 60);
  const int64_t hours = (whole + 1800) / 3600;
  return fmt::format("{} d {:02} h", hours / 24, hours % 24);
}

std::string bytes_text(double bytes) {
  static constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB", "PB"};
  if (!std::isfinite(bytes)) return "unknown";
  size_t unit = 0;
  // 999.5 would be printed as 1000, so it belongs to the next unit already.
  while (std::abs(bytes) >= 999.5 && unit + 1 < std::size(kUnits)) {
    bytes /= 1000;
    ++unit;
  }
  return fmt::format("{:.{}f} {}", bytes, unit > 0 && std::abs(bytes) < 9.95 ? 1 : 0, kUnits[unit]);
}

}  // namespace derm
