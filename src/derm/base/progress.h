#pragma once
// Progress on stderr: a bar with rate and ETA on a terminal, a plain line now and then elsewhere.
#include <chrono>
#include <cstdint>
#include <string>

namespace derm {

class Progress {
 public:
  /// @param total  how many units there are; 0 if unknown
  /// @param unit   what one is called, for the rate: "images" gives "12.3 images/s"
  Progress(std::string label, double total, std::string unit);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  /// How far it is now, from any thread. A first call at once sets where the work starts (a resumed run, say), so that
  /// what was done before does not count in the rate.
  void update(double done, const std::string& note = "");
  void finish();
  /// No bar is drawn from here on, in the whole process: of several that share a work one speaks for all.
  static void silence();
  /// Writes a line above the bar (log lines go through this so that they do not tear it).
  static void print_above(const std::string& line);

 private:
  std::string line(bool last) const;
  void draw(bool last);
  std::string label_, unit_, note_;
  double total_, done_ = 0, rate_ = 0, last_done_ = 0, first_done_ = 0;
  double recent_done_ = 0, recent_seconds_ = 0;  // fading sums, whose quotient is the rate
  bool terminal_, finished_ = false, drawn_ = false, updated_ = false;
  std::chrono::steady_clock::time_point start_, last_draw_, last_rate_;
};

/// "1 h 02 min", "3 min 20 s", "12 s".
std::string duration_text(double seconds);
/// "1.4 GB", "312 MB".
std::string bytes_text(double bytes);

}  // namespace derm
