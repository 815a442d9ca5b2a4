#include "derm/image/colour.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include <fmt/format.h>

#include "derm/base/error.h"

namespace derm::image {
namespace {

// Linear sRGB to XYZ (D65). The white is the sum of each row, so that white has a* = b* = 0 to the last digit.
constexpr double kToXyz[3][3] = {
    {0.4124564, 0.3575761, 0.1804375}, {0.2126729, 0.7151522, 0.0721750}, {0.0193339, 0.1191920, 0.9503041}};
constexpr double kFromXyz[3][3] = {
    {3.2404542, -1.5371385, -0.4985314}, {-0.9692660, 1.8760108, 0.0415560}, {0.0556434, -0.2040259, 1.0572252}};
constexpr double white(int i) { return kToXyz[i][0] + kToXyz[i][1] + kToXyz[i][2]; }

constexpr double kDelta = 6.0 / 29;
double lab_f(double t) { return t > kDelta * kDelta * kDelta ? std::cbrt(t) : t / (3 * kDelta * kDelta) + 4.0 / 29; }
double lab_f_inverse(double f) { return f > kDelta ? f * f * f : 3 * kDelta * kDelta * (f - 4.0 / 29); }

std::array<double, 3> linear_of(const Lab& lab) {
  const double fy = (lab.L + 16) / 116;
  const double xyz[3] = {white(0) * lab_f_inverse(fy + lab.a / 500), white(1) * lab_f_inverse(fy),
                         white(2) * lab_f_inverse(fy - lab.b / 200)};
  std::array<double, 3> rgb{};
  for (int i = 0; i < 3; ++i) {
    rgb[i] = kFromXyz[i][0] * xyz[0] + kFromXyz[i][1] * xyz[1] + kFromXyz[i][2] * xyz[2];
  }
  return rgb;
}

double radians(double degrees) { return degrees * std::numbers::pi / 180; }
double degrees(double radian) { return radian * 180 / std::numbers::pi; }

/// Hue angle in [0, 360); 0 for grey.
double hue_of(double a, double b) {
  if (a == 0 && b == 0) return 0;
  const double h = degrees(std::atan2(b, a));
  return h < 0 ? h + 360 : h;
}

}  // namespace

double srgb_to_linear(double v) { return v <= 0.04045 ? v / 12.92 : std::pow((v + 0.055) / 1.055, 2.4); }
double linear_to_srgb(double v) { return v <= 0.0031308 ? v * 12.92 : 1.055 * std::pow(v, 1 / 2.4) - 0.055; }

Lab lab_of_linear(double r, double g, double b) {
  double f[3];
  for (int i = 0; i < 3; ++i) f[i] = lab_f((kToXyz[i][0] * r + kToXyz[i][1] * g + kToXyz[i][2] * b) / white(i));
  return {116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])};
}

Lab lab_of(Rgb colour) {
  static const std::array<double, 256> linear = [] {
    std::array<double, 256> table{};
    for (int i = 0; i < 256; ++i) table[i] = srgb_to_linear(i / 255.0);
    return table;
  }();
  return lab_of_linear(linear[colour.r], linear[colour.g], linear[colour.b]);
}

Rgb rgb_of(const Lab& lab) {
  const auto linear = linear_of(lab);
  uint8_t values[3];
  for (int i = 0; i < 3; ++i) {
    values[i] = static_cast<uint8_t>(std::lround(255 * linear_to_srgb(std::clamp(linear[i], 0.0, 1.0))));
  }
  return {values[0], values[1], values[2]};
}

bool in_gamut(const Lab& lab) {
  // Half a step of 8 bit at the dark end is 1.5e-4; the matrices themselves meet to 1e-7.
  constexpr double kTolerance = 1e-5;
  const auto linear = linear_of(lab);
  return std::all_of(linear.begin(), linear.end(), [](double v) { return v >= -kTolerance && v <= 1 + kTolerance; });
}

double ita_degrees(const Lab& lab) { return degrees(std::atan2(lab.L - 50, lab.b)); }

const std::array<std::string, 6>& tone_names() {
  static const std::array<std::string, 6> names = {"very_light", "light", "intermediate", "tan", "brown", "dark"};
  return names;
}

std::string tone_of(double ita) {
  constexpr double kAbove[5] = {55, 41, 28, 10, -30};
  const auto* end = std::find_if(std::begin(kAbove), std::end(kAbove), [&](double limit) { return ita > limit; });
  return tone_names()[end - std::begin(kAbove)];
}

double ciede2000(const Lab& x, const Lab& y) {
  constexpr double k25To7 = 6103515625.0;
  const auto seventh = [](double v) { return v * v * v * v * v * v * v; };
  // Stretch a* so that greys come out evenly.
  const double chroma7 = seventh((std::hypot(x.a, x.b) + std::hypot(y.a, y.b)) / 2);
  const double stretch = 1 + 0.5 * (1 - std::sqrt(chroma7 / (chroma7 + k25To7)));
  const double a1 = stretch * x.a, a2 = stretch * y.a;
  const double c1 = std::hypot(a1, x.b), c2 = std::hypot(a2, y.b);
  const double h1 = hue_of(a1, x.b), h2 = hue_of(a2, y.b);
  const bool grey = c1 * c2 == 0;

  const double delta_l = y.L - x.L, delta_c = c2 - c1;
  double delta_h = 0;
  if (!grey) {
    delta_h = h2 - h1;
    if (delta_h > 180) delta_h -= 360;
    if (delta_h < -180) delta_h += 360;
  }
  const double delta_hue = 2 * std::sqrt(c1 * c2) * std::sin(radians(delta_h / 2));

  const double l = (x.L + y.L) / 2, c = (c1 + c2) / 2;
  double h = h1 + h2;
  if (!grey) {
    if (std::fabs(h1 - h2) > 180) h += h < 360 ? 360 : -360;
    h /= 2;
  }
  const double t = 1 - 0.17 * std::cos(radians(h - 30)) + 0.24 * std::cos(radians(2 * h)) +
                   0.32 * std::cos(radians(3 * h + 6)) - 0.20 * std::cos(radians(4 * h - 63));
  const double l50 = (l - 50) * (l - 50);
  const double s_l = 1 + 0.015 * l50 / std::sqrt(20 + l50);
  const double s_c = 1 + 0.045 * c;
  const double s_h = 1 + 0.015 * c * t;
  const double theta = 30 * std::exp(-((h - 275) / 25) * ((h - 275) / 25));
  const double c7 = seventh(c);
  const double rotation = -std::sin(radians(2 * theta)) * 2 * std::sqrt(c7 / (c7 + k25To7));
  const double dl = delta_l / s_l, dc = delta_c / s_c, dh = delta_hue / s_h;
  return std::sqrt(std::max(0.0, dl * dl + dc * dc + dh * dh + rotation * dc * dh));
}

Rgb monk_tone(int tone) {
  // Ellis Monk, Monk Skin Tone Scale, CC BY 4.0.
  static constexpr Rgb kTones[10] = {{0xf6, 0xed, 0xe4}, {0xf3, 0xe7, 0xdb}, {0xf7, 0xea, 0xd0}, {0xea, 0xda, 0xba},
                                     {0xd7, 0xbd, 0x96}, {0xa0, 0x7e, 0x56}, {0x82, 0x5c, 0x43}, {0x60, 0x41, 0x34},
                                     {0x3a, 0x31, 0x2a}, {0x29, 0x24, 0x20}};
  if (tone < 1 || tone > 10)
    throw UsageError("Monk tone {}: the scale has the tones 1 (lightest) to 10 (darkest)", tone);
  return kTones[tone - 1];
}

int nearest_monk_tone(const Lab& lab) {
  int best = 1;
  double least = std::numeric_limits<double>::infinity();
  for (int tone = 1; tone <= 10; ++tone) {
    const double difference = ciede2000(lab, lab_of(monk_tone(tone)));
    if (difference < least) {
      least = difference;
      best = tone;
    }
  }
  return best;
}

std::string hex_of(Rgb colour) { return fmt::format("#{:02x}{:02x}{:02x}", colour.r, colour.g, colour.b); }

std::optional<Rgb> rgb_from_hex(std::string_view text) {
  if (text.starts_with('#')) text.remove_prefix(1);
  if (text.size() != 3 && text.size() != 6) return std::nullopt;
  int digits[6];
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c >= '0' && c <= '9') {
      digits[i] = c - '0';
    } else if (c >= 'a' && c <= 'f') {
      digits[i] = c - 'a' + 10;
    } else if (c >= 'A' && c <= 'F') {
      digits[i] = c - 'A' + 10;
    } else {
      return std::nullopt;
    }
  }
  const auto pair = [](int high, int low) { return static_cast<uint8_t>(high * 16 + low); };
  if (text.size() == 3) return Rgb{pair(digits[0], digits[0]), pair(digits[1], digits[1]), pair(digits[2], digits[2])};
  return Rgb{pair(digits[0], digits[1]), pair(digits[2], digits[3]), pair(digits[4], digits[5])};
}

}  // namespace derm::image
