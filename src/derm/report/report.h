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

/// Bars side by side in groups, each with its interval: a figure per condition or tone, say.
struct Bars {
  struct Series {
    std::string name;
    std::vector<double> value, low, high;  ///< one a group; not finite: no bar ("-"), or no whisker
  };
  std::string title;  ///< also the text for readers who cannot see it
  std::string y_label;
  std::vector<std::string> groups;  ///< below the axis, in this order
  std::vector<Series> series;
  std::string caption;
};

/// One picture of a gallery, shown small; a long caption wraps below it.
struct Thumbnail {
  image::Image image;
  std::string caption, alt;
};

/// Round positions for an axis, 1, 2 or 5 times a power of ten apart, inside [low, high]; about `wanted` of them.
std::vector<double> ticks(double low, double high, int wanted = 6);
/// The number as short as the spacing of its ticks allows: 0.25, 1200, 1e-05.
std::string tick_label(double value, double step);
/// Text as it stands in HTML: & < > " ' replaced, control characters and bytes that are not UTF-8 made visible.
std::string escape(const std::string& text);
/// The plot as an <svg> element. @throws UsageError if a series has x and y of another length.
std::string svg_of(const Plot& plot);
/// @throws UsageError if a series has another number of values than there are groups.
std::string svg_of(const Bars& bars);

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
  /// The picture goes into the file itself, as PNG, or as JPEG (quality 88) where that takes less than half as much: a
  /// page is to be looked at, exact pixels stand in the files beside it. `alt` says what it shows to readers who cannot
  /// see it.
  Page& figure(const image::Image& image, const std::string& caption, const std::string& alt);
  /// Pictures side by side, as many in a row as the screen takes, each at most `width_px` wide: larger ones are reduced
  /// to twice that (for screens of fine pitch) before they go into the file.
  Page& gallery(const std::vector<Thumbnail>& pictures, int width_px, const std::string& caption = "");
  Page& plot(const Plot& plot);
  Page& plot(const Bars& bars);

  std::string html() const;
  void write(const std::filesystem::path& path) const;  ///< appears whole or not at all

 private:
  std::string title_, subtitle_, body_;
  std::vector<std::pair<std::string, std::string>> sections_;  ///< id, text
};

}  // namespace derm::report
