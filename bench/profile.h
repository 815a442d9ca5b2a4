#pragma once
// Where the time goes: the seconds that each libtorch operator takes itself, without those it calls.
#include <algorithm>
#include <chrono>
#include <map>
#include <string>
#include <vector>

#include <ATen/record_function.h>
#include <fmt/format.h>

namespace derm::bench {

struct OperatorTime {
  double seconds = 0;
  int64_t calls = 0;
};

/// Runs `work` and notes every operator, those of the way back by the name of their node; one thread at a time calls
/// them.
template <class Work>
std::map<std::string, OperatorTime> operator_times(Work&& work) {
  using Clock = std::chrono::steady_clock;
  struct Open : at::ObserverContext {
    Clock::time_point start;
    double inner = 0;  // seconds in operators that this one called
    Open* outer = nullptr;
    std::string name;
  };
  // Who wanted a copy, beyond the operators that only make one.
  static const auto asked = [](const Open* open) -> std::string {
    while (open && (open->name == "aten::_to_copy" || open->name == "aten::to" || open->name == "aten::clone" ||
                    open->name == "aten::contiguous"))
      open = open->outer;
    return open ? open->name : "us";
  };
  static thread_local Open* innermost = nullptr;
  static std::map<std::string, OperatorTime>* into = nullptr;
  std::map<std::string, OperatorTime> times;
  into = &times;
  const auto handle = at::addGlobalCallback(
      at::RecordFunctionCallback(
          [](const at::RecordFunction& function) -> std::unique_ptr<at::ObserverContext> {
            auto open = std::make_unique<Open>();
            open->outer = innermost;
            open->name = function.name();
            innermost = open.get();
            open->start = Clock::now();
            return open;
          },
          [](const at::RecordFunction&, at::ObserverContext* context) {
            auto* open = static_cast<Open*>(context);
            const double took = std::chrono::duration<double>(Clock::now() - open->start).count();
            innermost = open->outer;
            if (innermost) innermost->inner += took;
            OperatorTime& time =
                (*into)[open->name == "aten::copy_" ? open->name + " for " + asked(open->outer) : open->name];
            time.seconds += took - open->inner;
            ++time.calls;
          })
          .scopes({at::RecordScope::FUNCTION, at::RecordScope::BACKWARD_FUNCTION}));
  work();
  at::removeCallback(handle);
  return times;
}

/// Markdown: the operators that take most, and what is left.
inline std::string profile_table(const std::map<std::string, OperatorTime>& times, double whole_seconds, size_t rows) {
  std::vector<std::pair<std::string, OperatorTime>> sorted(times.begin(), times.end());
  std::sort(sorted.begin(), sorted.end(),
            [](const auto& a, const auto& b) { return a.second.seconds > b.second.seconds; });
  std::string text = "| operator | calls | ms | share |\n|---|---|---|---|\n";
  double shown = 0;
  for (size_t i = 0; i < std::min(rows, sorted.size()); ++i) {
    const auto& [name, time] = sorted[i];
    shown += time.seconds;
    text += fmt::format("| `{}` | {} | {:.1f} | {:.1f} % |\n", name, time.calls, time.seconds * 1e3,
                        100 * time.seconds / whole_seconds);
  }
  text += fmt::format("| everything else | | {:.1f} | {:.1f} % |\n", (whole_seconds - shown) * 1e3,
                      100 * (whole_seconds - shown) / whole_seconds);
  return text;
}

}  // namespace derm::bench
