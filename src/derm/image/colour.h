#pragma once
// Colour science: sRGB, CIE Lab (D65, 2 degree), ITA, CIEDE2000, the Monk Skin Tone scale.
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace derm::image {

struct Rgb {
  uint8_t r = 0, g = 0, b = 0;
  bool operator==(const Rgb&) const = default;
};

struct Lab {  ///< L* 0 to 100; a*, b* signed
  double L = 0, a = 0, b = 0;
  bool operator==(const Lab&) const = default;
};

double srgb_to_linear(double v);  ///< both in [0, 1], IEC 61966-2-1
double linear_to_srgb(double v);

Lab lab_of(Rgb colour);
Lab lab_of_linear(double r, double g, double b);  ///< linear sRGB in [0, 1]
Rgb rgb_of(const Lab& lab);                       ///< clipped to the sRGB gamut, rounded
bool in_gamut(const Lab& lab);

/// Individual typology angle in degrees, atan2(L* - 50, b*) 180 / pi, in (-180, 180].
double ita_degrees(const Lab& lab);

/// "very_light" > 55 >= "light" > 41 >= "intermediate" > 28 >= "tan" > 10 >= "brown" > -30 >= "dark".
std::string tone_of(double ita);
const std::array<std::string, 6>& tone_names();  ///< lightest first

/// CIEDE2000 difference, kL = kC = kH = 1 (Sharma, Wu, Dalal 2005, whose test pairs it meets to 1e-4).
double ciede2000(const Lab& a, const Lab& b);

/// Monk Skin Tone 1..10 (Ellis Monk, CC BY 4.0). @throws UsageError outside 1..10.
Rgb monk_tone(int tone);
/// The Monk tone nearest by CIEDE2000.
int nearest_monk_tone(const Lab& lab);

std::string hex_of(Rgb colour);                          ///< "#c68642"
std::optional<Rgb> rgb_from_hex(std::string_view text);  ///< "#c68642", "c68642" or "#abc"

}  // namespace derm::image
