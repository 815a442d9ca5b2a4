// The plots of a report, as SVG.
#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include <fmt/format.h>

#include "derm/base/error.h"
#include "derm/report/report.h"

namespace derm::report {
namespace {

// Of the drawing, in its own units; the page scales it.
constexpr double kWidth = 680, kPlotHeight = 320, kRight = 16, kCharacter = 6.6, kLegendLine = 20;
constexpr int kColours = 8;  // classes c0 to c7 of the page's style
constexpr size_t kMostLinePoints = 2000, kMostDots = 3000;

/// Where a value lies along an axis, 0 to 1.
struct Axis {
  double low = 0, high = 1;
  bool log = false;
  double at(double value) const {
    return log ? (std::log10(value) - std::log10(low)) / (std::log10(high) - std::log10(low))
               : (value - low) / (high - low);
  }
  bool holds(double value) const { return std::isfinite(value) && (!log || value > 0); }
};

Axis axis_of(const char* name, const std::vector<double>& values, const std::optional<std::pair<double, double>>& given,
             bool log) {
  Axis axis;
  axis.log = log;
  if (given) {
    std::tie(axis.low, axis.high) = *given;
    if (!axis.holds(axis.low) || !axis.holds(axis.high) || axis.low >= axis.high) {
      throw UsageError("plot: the {} range goes from {} to {}; it must rise{}", name, axis.low, axis.high,
                       log ? " and lie above 0, since the axis is logarithmic" : "");
    }
    return axis;
  }
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (const double v : values) {
    if (!axis.holds(v)) continue;
    low = std::min(low, v);
    high = std::max(high, v);
  }
  if (low > high) {
    axis.low = log ? 1 : 0;
    axis.high = log ? 10 : 1;
  } else if (log) {
    const double room = std::max(0.04 * std::log10(high / low), 0.05);
    axis.low = low * std::pow(10, -room);
    axis.high = high * std::pow(10, room);
  } else {
    // A flat line stands in the middle. Halves, so that the difference of two huge numbers stays finite.
    double room = 0.08 * (high / 2 - low / 2);
    if (room <= 1e-12 * std::max(std::fabs(low), std::fabs(high))) room = high == 0 ? 1 : 0.1 * std::fabs(high);
    axis.low = low - room;
    axis.high = high + room;
    // Quantities that start at 0 are shown from 0.
    if (low >= 0 && axis.low < 0) axis.low = 0;
  }
  // Near the end of what a double holds, there is no room left.
  constexpr double kMost = 1e300;
  axis.low = std::clamp(axis.low, -kMost, kMost);
  axis.high = std::clamp(axis.high, -kMost, kMost);
  if (log) axis.low = std::max(axis.low, 1e-300);
  if (!(axis.low < axis.high)) {
    axis.low = log ? 1 : -1;
    axis.high = log ? 10 : 1;
  }
  return axis;
}

struct Tick {
  double value;
  std::string label;
};

std::vector<Tick> ticks_of(const Axis& axis, int wanted) {
  std::vector<Tick> result;
  if (axis.log) {
    const double decades = std::log10(axis.high / axis.low);
    if (decades >= 1) {
      const int first = static_cast<int>(std::ceil(std::log10(axis.low) - 1e-9));
      const int last = static_cast<int>(std::floor(std::log10(axis.high) + 1e-9));
      const int every = std::max(1, (last - first + wanted) / wanted);
      for (int e = first; e <= last; ++e) {
        if ((e - first) % every == 0)
          result.push_back({std::pow(10.0, e), tick_label(std::pow(10.0, e), std::pow(10.0, e))});
        if (decades > 3) continue;
        for (const int m : {2, 5}) {
          const double v = m * std::pow(10.0, e);
          if (v <= axis.high) result.push_back({v, tick_label(v, std::pow(10.0, e))});
        }
      }
      for (const int m : {2, 5}) {  // below the first whole decade
        const double v = m * std::pow(10.0, first - 1);
        if (decades <= 3 && v >= axis.low) result.push_back({v, tick_label(v, std::pow(10.0, first - 1))});
      }
      return result;
    }
  }
  const auto values = ticks(axis.low, axis.high, wanted);
  const double step = values.size() > 1 ? values[1] - values[0] : std::fabs(axis.high - axis.low);
  for (const double v : values) {
    if (axis.holds(v)) result.push_back({v, tick_label(v, step)});
  }
  return result;
}

struct Point {
  double x, y;
};

/// Indices worth drawing of a long line: of each stretch its lowest and highest, so that no spike is lost.
std::vector<size_t> thinned(const std::vector<double>& y) {
  std::vector<size_t> result;
  const size_t stretch = y.size() <= kMostLinePoints ? 1 : (y.size() + kMostLinePoints / 2 - 1) / (kMostLinePoints / 2);
  for (size_t from = 0; from < y.size(); from += stretch) {
    size_t least = from, most = from;
    const size_t to = std::min(y.size(), from + stretch);
    for (size_t i = from; i < to; ++i) {
      if (!std::isfinite(y[least]) || y[i] < y[least]) least = i;
      if (!std::isfinite(y[most]) || y[i] > y[most]) most = i;
    }
    result.push_back(std::min(least, most));
    if (least != most) result.push_back(std::max(least, most));
  }
  return result;
}

/// A coordinate with at most one decimal. Far outside stays finite and is cut off by the frame.
std::string number(double v) {
  v = std::clamp(v, -1e5, 1e5);
  std::string text = fmt::format("{:.1f}", v);
  if (text.ends_with(".0")) text.resize(text.size() - 2);
  return text == "-0" ? "0" : text;
}

}  // namespace

std::vector<double> ticks(double low, double high, int wanted) {
  std::vector<double> result;
  const double span = high - low;
  if (!(span > 0) || !std::isfinite(span) || wanted < 1) return result;
  const double raw = span / wanted;
  const double power = std::pow(10, std::floor(std::log10(raw)));
  const double lead = raw / power;
  const int mantissa = lead <= 1.4 ? 1 : lead <= 3 ? 2 : lead <= 7 ? 5 : 10;
  const double step = mantissa * power;
  if (!(step > 0)) return result;
  const double first = std::ceil(low / step - 1e-9), last = std::floor(high / step + 1e-9);
  if (!(last - first < 100)) return result;
  for (double i = first; i <= last; ++i) {
    // Powers below 1 divide, so that 3 x 0.1 comes out as 0.3.
    const double value = power < 1 ? i * mantissa / std::round(1 / power) : i * step;
    result.push_back(value == 0 ? 0.0 : value);
  }
  return result;
}

std::string tick_label(double value, double step) {
  step = std::fabs(step);
  if (value == 0 || !std::isfinite(value) || std::fabs(value) < step * 1e-6) return std::isfinite(value) ? "0" : "";
  if (!(step > 0) || !std::isfinite(step)) return fmt::format("{:g}", value);
  const int of_step = static_cast<int>(std::floor(std::log10(step) + 1e-9));
  const int of_value = static_cast<int>(std::floor(std::log10(std::fabs(value)) + 1e-9));
  if (of_value >= 6 || of_step < -4) return fmt::format("{:.{}g}", value, std::clamp(of_value - of_step + 1, 1, 15));
  return fmt::format("{:.{}f}", value, std::max(0, -of_step));
}

std::string svg_of(const Plot& plot) {
  std::vector<double> xs, ys;
  for (const Series& s : plot.series) {
    if (s.x.size() != s.y.size()) {
      throw UsageError("plot '{}': the series '{}' has {} x and {} y; both need one length", plot.title, s.name,
                       s.x.size(), s.y.size());
    }
    for (size_t i = 0; i < s.x.size(); ++i) {
      if (!std::isfinite(s.x[i]) || !std::isfinite(s.y[i]) || (plot.log_y && s.y[i] <= 0)) continue;
      xs.push_back(s.x[i]);
      ys.push_back(s.y[i]);
    }
  }
  const bool nothing = xs.empty();
  if (plot.y_band) {
    ys.push_back(plot.y_band->first);
    ys.push_back(plot.y_band->second);
  }
  const Axis x = axis_of("x", xs, plot.x_range, false);
  const Axis y = axis_of("y", ys, plot.y_range, plot.log_y);
  const auto x_ticks = ticks_of(x, 7), y_ticks = ticks_of(y, 6);

  // The legend: entries side by side, wrapped.
  struct Entry {
    std::string text, swatch;
    double x, y;
  };
  std::vector<Entry> legend;
  size_t widest = 0;
  for (const Tick& t : y_ticks) widest = std::max(widest, t.label.size());
  const double left =
      30 + static_cast<double>(std::max<size_t>(widest, 2)) * kCharacter + (plot.y_label.empty() ? -14 : 4);
  double next_x = left, next_y = 14;
  const auto add_entry = [&](const std::string& text, const std::string& swatch) {
    if (text.empty()) return;
    const double width = 34 + static_cast<double>(text.size()) * kCharacter;
    if (next_x + width > kWidth && next_x > left) {
      next_x = left;
      next_y += kLegendLine;
    }
    legend.push_back({text, swatch, next_x, next_y});
    next_x += width + 12;
  };
  for (size_t i = 0; i < plot.series.size(); ++i) {
    const Series& s = plot.series[i];
    std::string swatch;
    if (s.line || !s.points)
      swatch += fmt::format("<path class=\"line c{0} d{1}\" d=\"M0 0h22\"/>", i % kColours, i / kColours % 3);
    if (s.points)
      swatch += fmt::format("<path class=\"dots c{} {}\" d=\"M11 0h0\"/>", i % kColours, i % 2 ? "square" : "round");
    add_entry(s.name, swatch);
  }
  if (plot.y_band) add_entry(plot.y_band_label, "<path class=\"band\" d=\"M0 -6h22v12h-22z\"/>");
  if (plot.identity) add_entry("equal", "<path class=\"identity\" d=\"M0 0h22\"/>");

  const double top = legend.empty() ? 12 : next_y + 16;
  const double width = kWidth - left - kRight, bottom = top + kPlotHeight;
  const double height = bottom + (plot.x_label.empty() ? 28 : 48);
  const auto px = [&](double v) { return x.at(v) * width; };
  const auto py = [&](double v) { return (1 - y.at(v)) * kPlotHeight; };

  std::string told = plot.title.empty() ? "Plot" : plot.title;
  told += fmt::format(". Across: {} from {:.4g} to {:.4g}. Up: {} from {:.4g} to {:.4g}{}.", plot.x_label, x.low,
                      x.high, plot.y_label, y.low, y.high, plot.log_y ? ", logarithmic" : "");
  for (const Series& s : plot.series)
    told += fmt::format(" {}: {} values.", s.name.empty() ? "Series" : s.name, s.x.size());

  std::string svg = fmt::format("<svg class=\"plot\" role=\"img\" viewBox=\"0 0 {} {}\" aria-label=\"{}\">\n",
                                number(kWidth), number(height), escape(told));
  for (const Entry& e : legend) {
    svg += fmt::format("<g transform=\"translate({} {})\">{}<text x=\"28\" y=\"4\">{}</text></g>\n", number(e.x),
                       number(e.y), e.swatch, escape(e.text));
  }
  // Ticks and their grid.
  for (const Tick& t : x_ticks) {
    const std::string at = number(left + px(t.value));
    svg += fmt::format("<path class=\"grid\" d=\"M{} {}V{}\"/><text class=\"middle\" x=\"{}\" y=\"{}\">{}</text>\n", at,
                       number(top), number(bottom), at, number(bottom + 17), t.label);
  }
  for (const Tick& t : y_ticks) {
    const double at = top + py(t.value);
    svg += fmt::format("<path class=\"grid\" d=\"M{} {}H{}\"/><text class=\"end\" x=\"{}\" y=\"{}\">{}</text>\n",
                       number(left), number(at), number(left + width), number(left - 6), number(at + 4), t.label);
  }
  if (!plot.x_label.empty()) {
    svg += fmt::format("<text class=\"middle label\" x=\"{}\" y=\"{}\">{}</text>\n", number(left + width / 2),
                       number(bottom + 38), escape(plot.x_label));
  }
  if (!plot.y_label.empty()) {
    svg += fmt::format("<text class=\"middle label\" transform=\"translate(14 {}) rotate(-90)\">{}</text>\n",
                       number(top + kPlotHeight / 2), escape(plot.y_label));
  }
  // An inner svg cuts off what leaves the frame.
  svg += fmt::format("<svg x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\">\n", number(left), number(top), number(width),
                     number(kPlotHeight));
  if (plot.y_band && y.holds(plot.y_band->first) && y.holds(plot.y_band->second)) {
    const double high = py(std::max(plot.y_band->first, plot.y_band->second));
    const double low = py(std::min(plot.y_band->first, plot.y_band->second));
    svg += fmt::format("<path class=\"band\" d=\"M0 {}H{}V{}H0z\"/>\n", number(high), number(width), number(low));
  }
  if (plot.identity) {
    // A curve on a logarithmic axis, so in steps; only where both axes hold the value.
    std::string path;
    for (int i = 0; i <= 100; ++i) {
      const double v = x.low + (x.high - x.low) * i / 100;
      if (y.holds(v)) path += fmt::format("{}{} {}", path.empty() ? 'M' : 'L', number(px(v)), number(py(v)));
    }
    if (!path.empty()) svg += fmt::format("<path class=\"identity\" d=\"{}\"/>\n", path);
  }
  for (size_t i = 0; i < plot.series.size(); ++i) {
    const Series& s = plot.series[i];
    const auto drawable = [&](size_t k) { return std::isfinite(s.x[k]) && y.holds(s.y[k]); };
    if (s.line || !s.points) {
      std::string path;
      bool pen_down = false;
      for (const size_t k : thinned(s.y)) {
        if (!drawable(k)) {
          pen_down = false;
          continue;
        }
        path += fmt::format("{}{} {}", pen_down ? 'L' : 'M', number(px(s.x[k])), number(py(s.y[k])));
        // A point between two gaps is a line of no length, which its round cap makes visible.
        if (!pen_down) path += "h0";
        pen_down = true;
      }
      if (!path.empty()) {
        svg += fmt::format("<path class=\"line c{} d{}\" d=\"{}\"/>\n", i % kColours, i / kColours % 3, path);
      }
    }
    if (s.points) {
      std::string path;
      std::set<std::pair<int, int>> taken;  // of very many dots, one a pixel
      for (size_t k = 0; k < s.x.size(); ++k) {
        if (!drawable(k)) continue;
        const double at_x = std::clamp(px(s.x[k]), -1e5, 1e5), at_y = std::clamp(py(s.y[k]), -1e5, 1e5);
        if (s.x.size() > kMostDots && !taken.insert({std::lround(at_x), std::lround(at_y)}).second) continue;
        path += fmt::format("M{} {}h0", number(at_x), number(at_y));
      }
      if (!path.empty()) {
        svg += fmt::format("<path class=\"dots c{} {}\" d=\"{}\"/>\n", i % kColours, i % 2 ? "square" : "round", path);
      }
    }
  }
  svg += "</svg>\n";
  svg += fmt::format("<path class=\"axis\" d=\"M{} {}V{}H{}\"/>\n", number(left), number(top), number(bottom),
                     number(left + width));
  if (nothing) {
    svg += fmt::format("<text class=\"middle\" x=\"{}\" y=\"{}\">no data</text>\n", number(left + width / 2),
                       number(top + kPlotHeight / 2));
  }
  return svg + "</svg>\n";
}

std::string svg_of(const Bars& bars) {
  std::vector<double> values = {0.0};
  for (const Bars::Series& s : bars.series) {
    if (s.value.size() != bars.groups.size() || s.low.size() != bars.groups.size() ||
        s.high.size() != bars.groups.size()) {
      throw UsageError("plot '{}': the series '{}' has {}, {} and {} values for {} groups; give one each", bars.title,
                       s.name, s.value.size(), s.low.size(), s.high.size(), bars.groups.size());
    }
    for (const std::vector<double>* list : {&s.value, &s.low, &s.high}) {
      for (const double v : *list) {
        if (std::isfinite(v)) values.push_back(v);
      }
    }
  }
  const Axis y = axis_of("y", values, {}, false);
  const auto y_ticks = ticks_of(y, 6);
  size_t widest = 2;
  for (const Tick& t : y_ticks) widest = std::max(widest, t.label.size());
  const double left = 30 + static_cast<double>(widest) * kCharacter + (bars.y_label.empty() ? -14 : 4);
  const double width = kWidth - left - kRight;
  std::string legend;
  double next_x = left, next_y = 14;
  for (size_t i = 0; i < bars.series.size(); ++i) {
    const double entry = 34 + static_cast<double>(bars.series[i].name.size()) * kCharacter;
    if (next_x + entry > kWidth && next_x > left) {
      next_x = left;
      next_y += kLegendLine;
    }
    legend += fmt::format(
        "<g transform=\"translate({} {})\"><path class=\"bar c{}\" d=\"M0 -6h22v12h-22z\"/><text x=\"28\" "
        "y=\"4\">{}</text></g>\n",
        number(next_x), number(next_y), i % kColours, escape(bars.series[i].name));
    next_x += entry + 12;
  }
  const double top = next_y + 16, bottom = top + kPlotHeight;
  const auto py = [&](double v) { return top + (1 - y.at(v)) * kPlotHeight; };
  const double slot = width / static_cast<double>(std::max<size_t>(1, bars.groups.size()));
  const double bar = 0.74 * slot / static_cast<double>(std::max<size_t>(1, bars.series.size()));
  // Names of groups that are too long for their slot are broken at spaces and underscores.
  const size_t room = std::max<size_t>(4, static_cast<size_t>(slot / kCharacter));
  std::vector<std::vector<std::string>> names;
  size_t lines = 1;
  for (const std::string& group : bars.groups) {
    std::vector<std::string> broken = {""};
    std::string word;
    const auto end_word = [&] {
      if (!broken.back().empty() && broken.back().size() + word.size() > room) broken.emplace_back();
      broken.back() += word;
      word.clear();
    };
    for (const char c : group) {
      word += c;
      if (c == ' ' || c == '_') end_word();
    }
    end_word();
    lines = std::max(lines, broken.size());
    names.push_back(std::move(broken));
  }
  const double height = bottom + 14 + 14 * static_cast<double>(lines);

  std::string told = bars.title.empty() ? "Bars" : bars.title;
  told += fmt::format(". Up: {} from {:.4g} to {:.4g}.", bars.y_label, y.low, y.high);
  for (const Bars::Series& s : bars.series) {
    told += fmt::format(" {}:", s.name);
    for (size_t g = 0; g < bars.groups.size(); ++g)
      told += std::isfinite(s.value[g]) ? fmt::format(" {} {:.3g};", bars.groups[g], s.value[g])
                                        : fmt::format(" {} none;", bars.groups[g]);
  }
  std::string svg = fmt::format("<svg class=\"plot\" role=\"img\" viewBox=\"0 0 {} {}\" aria-label=\"{}\">\n{}",
                                number(kWidth), number(height), escape(told), legend);
  for (const Tick& t : y_ticks) {
    svg += fmt::format("<path class=\"grid\" d=\"M{} {}H{}\"/><text class=\"end\" x=\"{}\" y=\"{}\">{}</text>\n",
                       number(left), number(py(t.value)), number(left + width), number(left - 6),
                       number(py(t.value) + 4), t.label);
  }
  if (!bars.y_label.empty()) {
    svg += fmt::format("<text class=\"middle label\" transform=\"translate(14 {}) rotate(-90)\">{}</text>\n",
                       number(top + kPlotHeight / 2), escape(bars.y_label));
  }
  const double zero = py(std::clamp(0.0, y.low, y.high));
  for (size_t g = 0; g < bars.groups.size(); ++g) {
    const double start = left + slot * (static_cast<double>(g) + 0.13);
    for (size_t i = 0; i < bars.series.size(); ++i) {
      const Bars::Series& s = bars.series[i];
      const double x = start + bar * static_cast<double>(i);
      if (!std::isfinite(s.value[g])) {
        svg +=
            fmt::format("<text class=\"middle\" x=\"{}\" y=\"{}\">-</text>\n", number(x + bar / 2), number(zero - 5));
        continue;
      }
      const double at = py(s.value[g]);
      svg += fmt::format("<path class=\"bar c{}\" d=\"M{} {}h{}V{}h-{}z\"/>\n", i % kColours, number(x + 1),
                         number(zero), number(bar - 2), number(at), number(bar - 2));
      if (std::isfinite(s.low[g]) && std::isfinite(s.high[g])) {
        svg += fmt::format("<path class=\"whisker\" d=\"M{0} {1}V{2}M{3} {1}h8M{3} {2}h8\"/>\n", number(x + bar / 2),
                           number(py(s.low[g])), number(py(s.high[g])), number(x + bar / 2 - 4));
      }
    }
    for (size_t line = 0; line < names[g].size(); ++line) {
      svg += fmt::format("<text class=\"middle\" x=\"{}\" y=\"{}\">{}</text>\n",
                         number(left + slot * (static_cast<double>(g) + 0.5)),
                         number(bottom + 17 + 14 * static_cast<double>(line)), escape(names[g][line]));
    }
  }
  svg += fmt::format("<path class=\"axis\" d=\"M{} {}V{}M{} {}H{}\"/>\n", number(left), number(top), number(bottom),
                     number(left), number(zero), number(left + width));
  return svg + "</svg>\n";
}

}  // namespace derm::report
