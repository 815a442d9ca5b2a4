#include "derm/data/skin_locus.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "derm/base/csv.h"
#include "derm/base/error.h"
#include "derm/image/codec.h"
#include "derm/skin/skin_colour.h"

namespace derm::data {

namespace {

constexpr size_t kFewest = 8;  // colours that a locus needs
constexpr int kKnots = 16;
constexpr double kBlend = 15;  // degrees over which the data's locus passes into the phantom's
constexpr double kSteepest =
    75;  // beyond it L* stays and b* falls, since L* = 50 + b* tan(ITA) would leave every gamut

struct Point {
  double ita, a, b;
};

// Skin of the phantom's layered model (phantom::skin_colour) at 1 % blood; a test there holds the two together.
constexpr std::array<Point, 11> kPhantom = {{{-75, 8.5, 6.5},
                                             {-60, 9.3, 12.0},
                                             {-45, 9.3, 16.7},
                                             {-30, 9.6, 19.4},
                                             {-15, 9.6, 20.9},
                                             {0, 9.2, 21.3},
                                             {15, 8.5, 20.8},
                                             {30, 7.8, 19.2},
                                             {45, 6.9, 16.6},
                                             {60, 6.1, 12.9},
                                             {75, 5.0, 8.0}}};

template <class Points>
std::pair<double, double> interpolate(const Points& points, double ita) {
  if (ita <= points.front().ita) return {points.front().a, points.front().b};
  for (size_t i = 1; i < points.size(); ++i) {
    if (ita > points[i].ita) continue;
    const double t = (ita - points[i - 1].ita) / (points[i].ita - points[i - 1].ita);
    return {points[i - 1].a + t * (points[i].a - points[i - 1].a),
            points[i - 1].b + t * (points[i].b - points[i - 1].b)};
  }
  return {points.back().a, points.back().b};
}

double percentile(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  const double position = share * static_cast<double>(values.size() - 1);
  const size_t i = static_cast<size_t>(position);
  const double t = position - static_cast<double>(i);
  return i + 1 < values.size() ? values[i] + t * (values[i + 1] - values[i]) : values[i];
}

// The Lab colour with this a*, b* and ITA.
image::Lab lab_at(double ita, double a, double b) {
  const double degree = std::numbers::pi / 180;
  const double steep = std::clamp(ita, -kSteepest, kSteepest);
  image::Lab lab{50 + b * std::tan(steep * degree), a, b};
  if (ita != steep) {
    lab.b = std::abs(ita) >= 90 ? 0 : (lab.L - 50) / std::tan(ita * degree);
    lab.a = b > 0 ? a * lab.b / b : 0;
  }
  if (image::in_gamut(lab)) return lab;
  // Towards the middle grey the ITA stays the same.
  double inside = 0, outside = 1;
  const auto shrunk = [&](double t) { return image::Lab{50 + (lab.L - 50) * t, lab.a * t, lab.b * t}; };
  for (int i = 0; i < 40; ++i) {
    const double middle = (inside + outside) / 2;
    (image::in_gamut(shrunk(middle)) ? inside : outside) = middle;
  }
  return shrunk(inside);
}

}  // namespace

SkinLocus SkinLocus::fit(const std::vector<image::Lab>& colours) {
  SkinLocus locus;
  std::vector<Point> points;
  for (const image::Lab& lab : colours) {
    const double ita = image::ita_degrees(lab);
    // A blue or grey "skin" has no place on the locus.
    if (std::isfinite(ita) && lab.b > 0.5 && std::abs(ita) < 89) points.push_back({ita, lab.a, lab.b});
  }
  if (points.size() < kFewest) return locus;
  std::sort(points.begin(), points.end(), [](const Point& x, const Point& y) { return x.ita < y.ita; });
  std::vector<double> itas;
  for (const Point& p : points) itas.push_back(p.ita);
  locus.low_ = percentile(itas, 0.05);
  locus.high_ = percentile(itas, 0.95);
  const double range = locus.high_ - locus.low_;
  const int count = range < 1 ? 1 : kKnots;

  // Robust local lines (Cleveland's lowess): tricube weights by ITA, bisquare weights by the residual.
  const auto smooth = [&](double at, double Point::*value) {
    std::vector<double> distance(points.size()), robust(points.size(), 1.0);
    for (size_t i = 0; i < points.size(); ++i) distance[i] = std::abs(points[i].ita - at);
    const size_t near = std::min(points.size() - 1, std::max<size_t>(kFewest, points.size() / 4));
    std::vector<double> sorted = distance;
    std::nth_element(sorted.begin(), sorted.begin() + static_cast<ptrdiff_t>(near), sorted.end());
    const double width = std::max({sorted[near] * 1.001, range / 8, 1.0});
    double result = 0;
    for (int pass = 0; pass < 4; ++pass) {
      double s = 0, sx = 0, sy = 0, sxx = 0, sxy = 0;
      for (size_t i = 0; i < points.size(); ++i) {
        if (distance[i] >= width) continue;
        const double t = distance[i] / width, w = std::pow(1 - t * t * t, 3) * robust[i];
        const double x = points[i].ita - at, y = points[i].*value;
        s += w, sx += w * x, sy += w * y, sxx += w * x * x, sxy += w * x * y;
      }
      if (s <= 0) break;
      const double spread = sxx / s - sx / s * (sx / s);
      const double slope = spread > 1e-6 ? (sxy / s - sx / s * (sy / s)) / (spread + 1) : 0;  // + 1: steadies thin data
      result = sy / s - slope * sx / s;
      std::vector<double> residual;
      for (size_t i = 0; i < points.size(); ++i)
        if (distance[i] < width) residual.push_back(std::abs(points[i].*value - result - slope * (points[i].ita - at)));
      const double scale = 6 * std::max(percentile(residual, 0.5), 1e-3);
      for (size_t i = 0; i < points.size(); ++i) {
        const double u = std::min(1.0, std::abs(points[i].*value - result - slope * (points[i].ita - at)) / scale);
        robust[i] = (1 - u * u) * (1 - u * u);
      }
    }
    return result;
  };
  for (int k = 0; k < count; ++k) {
    const double ita = count == 1 ? (locus.low_ + locus.high_) / 2 : locus.low_ + range * k / (count - 1);
    locus.knots_.push_back({ita, smooth(ita, &Point::a), std::max(0.5, smooth(ita, &Point::b))});
  }
  std::vector<double> away;
  for (const image::Lab& lab : colours) {
    const double ita = image::ita_degrees(lab);
    if (std::isfinite(ita) && lab.b > 0.5 && std::abs(ita) < 89) away.push_back(image::ciede2000(lab, locus.at(ita)));
  }
  locus.reach_ = std::max(1.0, percentile(away, 0.95));  // below 1 lies the rounding of 8-bit colours
  return locus;
}

image::Lab SkinLocus::at(double ita_deg) const {
  if (!(ita_deg >= -90 && ita_deg <= 90)) throw UsageError("skin: an ITA of {} degrees is not from -90 to 90", ita_deg);
  auto [a, b] = interpolate(kPhantom, ita_deg);
  if (known()) {
    if (ita_deg >= low_ && ita_deg <= high_) {
      std::tie(a, b) = interpolate(knots_, ita_deg);
    } else {
      // The difference between data and phantom at the end of the data fades out.
      const double end = ita_deg < low_ ? low_ : high_;
      const double t = std::min(1.0, std::abs(ita_deg - end) / kBlend);
      const double weight = 1 - t * t * (3 - 2 * t);
      const auto [data_a, data_b] = interpolate(knots_, end);
      const auto [phantom_a, phantom_b] = interpolate(kPhantom, end);
      a += weight * (data_a - phantom_a);
      b = std::max(0.5, b + weight * (data_b - phantom_b));
    }
  }
  return lab_at(ita_deg, a, b);
}

bool SkinLocus::extrapolated(const image::Lab& lab) const {
  if (!known()) return true;
  constexpr double kRounding = 1e-6;
  const double ita = image::ita_degrees(lab);
  if (!(ita >= low_ - kRounding && ita <= high_ + kRounding)) return true;
  return image::ciede2000(lab, at(std::clamp(ita, -90.0, 90.0))) > reach_;
}

nlohmann::json SkinLocus::to_json() const {
  if (!known()) return {{"knots", nlohmann::json::array()}};
  nlohmann::json knots = nlohmann::json::array();
  for (const Knot& k : knots_) knots.push_back({k.ita, k.a, k.b});
  return {{"low_ita_deg", low_}, {"high_ita_deg", high_}, {"reach_ciede2000", reach_}, {"knots", knots}};
}

SkinLocus SkinLocus::from_json(const nlohmann::json& json) {
  SkinLocus locus;
  try {
    for (const nlohmann::json& k : json.at("knots"))
      locus.knots_.push_back({k.at(0).get<double>(), k.at(1).get<double>(), k.at(2).get<double>()});
    if (locus.knots_.empty()) return locus;
    locus.low_ = json.at("low_ita_deg").get<double>();
    locus.high_ = json.at("high_ita_deg").get<double>();
    locus.reach_ = json.at("reach_ciede2000").get<double>();
  } catch (const nlohmann::json::exception& error) {
    throw DataError("skin locus: {}; it holds low_ita_deg, high_ita_deg, reach_ciede2000 and knots [ita, a, b]",
                    error.what());
  }
  for (size_t i = 1; i < locus.knots_.size(); ++i)
    if (!(locus.knots_[i].ita > locus.knots_[i - 1].ita)) throw DataError("skin locus: its knots do not rise in ITA");
  return locus;
}

image::Lab parse_skin(const std::string& text, const SkinLocus& locus) {
  const auto forms = [&](const std::string& what) {
    return UsageError("skin: '{}' {}; it is #rrggbb, ita:DEGREES (-90 to 90), monk:1 to monk:10, or like:PHOTO.jpg",
                      text, what);
  };
  const auto number = [&](const std::string& digits) {
    try {
      return parse_number(digits, "skin");
    } catch (const DataError&) {
      throw forms("holds no number");
    }
  };
  if (text.rfind("ita:", 0) == 0) {
    const double ita = number(text.substr(4));
    if (!(ita >= -90 && ita <= 90)) throw forms("lies outside the angles that there are");
    return locus.at(ita);
  }
  if (text.rfind("monk:", 0) == 0) {
    const double tone = number(text.substr(5));
    if (tone != std::floor(tone) || tone < 1 || tone > 10) throw forms("is not a tone of the scale");
    return image::lab_of(image::monk_tone(static_cast<int>(tone)));
  }
  if (text.rfind("like:", 0) == 0) {
    const std::string file = text.substr(5);
    if (file.empty()) throw forms("names no photograph");
    const skin::SkinColour measured = skin::measure_skin(image::read_image(file), image::Mask());
    if (!(measured.share > 0))
      throw DataError("{}: no skin was found on it; give another photograph or a colour", file);
    return measured.lab;
  }
  if (const auto rgb = image::rgb_from_hex(text)) return image::lab_of(*rgb);
  throw forms("is not understood");
}

}  // namespace derm::data
