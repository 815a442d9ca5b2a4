#pragma once
// Reports as one HTML file: no scripts, nothing from outside, readable in light and dark and on a narrow screen.
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "derm/image/image.h"

namespace derm::report {

/// One named line or set of points. Values that are not finite (and, on a log axis, not above 0) leave a gap.
struct Series {
  std::string name;
  std::vector<double> x, y;  ///< of one length
  bool line = true;          ///< joined by a line
  bool points = false;       ///< each marked by a dot
};

struct Plot {
  std::string title;  ///< also the text for readers who cannot see it
  std::string x_label, y_label;
  std::vector<Series> series;
  bool identity = false;                            ///< a dashed line y = x
  bool log_y = false;                               ///< decades as ticks; values up to 0 leave gaps
  std::optional<std::pair<double, double>> y_band;  ///< shaded range of y, "within this is good"
  std::string y_band_label;
  std::optional<std::pair<double, double>> x_range, y_range;  ///< as given; else from the data
  std::string caption;
};

/// Round positions for an axis, 1, 2 or 5 times a power of ten apart, inside [low, high]; about `wanted` of them.
std::vector<double> ticks(double low, double high, int wanted = 6);
/// The number as short as the spacing of its ticks allows: 0.25, 1200, 1e-05.
std::string tick_label(double value, double step);
/// Text as it stands in HTML: & < > " ' replaced, control characters and bytes that are not UTF-8 made visible.
std::string escape(const std::string& text);
/// The plot as an <svg> element. @throws UsageError if a series has x and y of another length.
std::string svg_of(const Plot& plot);

class Page {
 public:
  explicit Page(std::string title, std::string subtitle = "");
  Page& heading(const std::string& text);  ///< a section, listed at the top of the page
  Page& subheading(const std::string& text);
  Page& paragraph(const std::string& text);
  Page& note(const std::string& text);  ///< set apart: a warning or a limit of what is shown
  Page& code(const std::string& text);  ///< as typed, spaces and lines kept
  Page& list(const std::vector<std::string>& items);
  /// The first column names the row. Cells that are numbers stand on the right. @throws UsageError on a row of another
  /// length.
  Page& table(const std::vector<std::string>& header, const std::vector<std::vector<std::string>>& rows,
              const std::string& caption = "");
  /// The picture goes into the file itself (PNG). `alt` says what it shows to readers who cannot see it.
  Page& figure(const image::Image& image, const std::string& caption, const std::string& alt);
  Page& plot(const Plot& plot);

  std::string html() const;
  void write(const std::filesystem::path& path) const;  ///< appears whole or not at all

 private:
  std::string title_, subtitle_, body_;
  std::vector<std::pair<std::string, std::string>> sections_;  ///< id, text
};

}  // namespace derm::report
