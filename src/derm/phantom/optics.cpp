#include "derm/phantom/optics.h"

#include <algorithm>
#include <cmath>

#include "derm/phantom/phantom.h"

namespace derm::phantom {

namespace {

constexpr int kBands = 31;
constexpr double wavelength(int i) { return 400 + 10.0 * i; }

// Molar extinction in 1/cm / (mol/L) at 400, 410, ... 700 nm (S. Prahl, OMLC; Gratzer and Kollias).
constexpr std::array<double, kBands> kOxygenated = {
    266232,  466840,  480360,  246072, 102580, 62816,   44480, 33209.2, 26629.2, 23684.4, 20932.8,
    20035.2, 24202.4, 39956.8, 53236,  43016,  32613.2, 44496, 50104,   14400.8, 3200,    1506,
    942,     610,     442,     368,    319.6,  294,     277.6, 276,     290};
constexpr std::array<double, kBands> kDeoxygenated = {
    223296,  303956,  407560,  528600,  413280,  103292,  23388.8, 16156.4, 14550,   16684,   20862,
    25773.6, 31589.6, 39036.4, 46592,   53412,   53788,   45072,   37020,   28324.4, 14677.2, 9443.6,
    6509.6,  5148.8,  4345.2,  3750.12, 3226.56, 2795.12, 2407.92, 2051.96, 1794.28};
// Relative power of the CIE standard illuminant D65.
constexpr std::array<double, kBands> kD65 = {82.75,  91.49,  93.43,  86.68,  104.86, 117.01, 117.81, 114.86,
                                             115.92, 108.81, 109.35, 107.80, 104.79, 107.69, 104.41, 104.05,
                                             100.00, 96.33,  95.79,  88.69,  90.01,  89.60,  87.70,  83.29,
                                             83.70,  80.03,  80.21,  82.28,  78.28,  69.72,  71.61};

constexpr double kEpidermisCm = 0.006, kDermisCm = 0.2;
constexpr double kSaturation = 0.75;  // of the blood with oxygen, arteries and veins together

// Calibration, so that 1.3-6.3 %, 11-16 % and 18-43 % melanosomes come out as light, moderate and dark skin by ITA:
// the mean path through the epidermis in units of its thickness lies between 1 (collimated) and 2 (diffuse light), and
// the share of diffuse light that the surface throws back inside lies between that of a smooth (0.55) and a rough
// surface.
constexpr double kPathFactor = 1.1;
constexpr double kInnerReflection = 0.45;
constexpr double kOuterReflection = 0.035;  // Fresnel at n = 1.43 with a little gloss

double lobe(double x, double mean, double below, double above) {
  const double t = (x - mean) / (x < mean ? below : above);
  return std::exp(-0.5 * t * t);
}

struct Band {
  double base, melanosome, blood, scatter_epidermis, scatter_dermis, deep;  // 1/cm, but `deep` is a reflectance
  std::array<double, 3> observer;                                           // weights to XYZ
};

double reflectance_of_deep(double absorption, double scattering) {
  const double k = 2 * absorption, s = 0.75 * scattering - 0.25 * absorption, a = (s + k) / s;
  return a - std::sqrt(a * a - 1);
}

struct Layer {
  double reflectance, transmittance;
};

Layer layer(double absorption, double scattering, double thickness_cm) {
  const double k = 2 * absorption, s = std::max(0.75 * scattering - 0.25 * absorption, 1e-3);
  const double a = (s + k) / s, b = std::sqrt(a * a - 1);
  const double x = b * s * thickness_cm;
  const double sinh = std::sinh(x), cosh = std::cosh(x), below = a * sinh + b * cosh;
  return {sinh / below, b / below};
}

const std::array<Band, kBands>& bands() {
  static const std::array<Band, kBands> made = [] {
    std::array<Band, kBands> out{};
    std::array<double, 3> white{};
    for (int i = 0; i < kBands; ++i) {
      const double l = wavelength(i);
      Band& band = out[static_cast<size_t>(i)];
      const size_t n = static_cast<size_t>(i);
      band.base = 0.244 + 85.3 * std::exp(-(l - 154) / 66.2);
      band.melanosome = 6.6e11 * std::pow(l, -3.33);
      band.blood = 2.303 * (kSaturation * kOxygenated[n] + (1 - kSaturation) * kDeoxygenated[n]) * 150 / 64500;
      band.scatter_epidermis = 68.7 * std::pow(l / 500, -1.161);
      band.scatter_dermis = 45.3 * std::pow(l / 500, -1.292);
      band.deep = reflectance_of_deep(-l / 600 + 143.0 / 60, -11 * l / 600 + 1687.0 / 60);
      band.observer = {kD65[n] * (1.056 * lobe(l, 599.8, 37.9, 31.0) + 0.362 * lobe(l, 442.0, 16.0, 26.7) -
                                  0.065 * lobe(l, 501.1, 20.4, 26.2)),
                       kD65[n] * (0.821 * lobe(l, 568.8, 46.9, 40.5) + 0.286 * lobe(l, 530.9, 16.3, 31.1)),
                       kD65[n] * (1.217 * lobe(l, 437.0, 11.8, 36.0) + 0.681 * lobe(l, 459.0, 26.0, 13.8))};
      for (size_t c = 0; c < 3; ++c) white[c] += band.observer[c];
    }
    // A perfect reflector is the white point of sRGB exactly.
    constexpr std::array<double, 3> kWhite = {0.95047, 1.0, 1.08883};
    for (Band& band : out)
      for (size_t c = 0; c < 3; ++c) band.observer[c] *= kWhite[c] / white[c];
    return out;
  }();
  return made;
}

}  // namespace

Linear skin_linear(double melanosome_fraction, double blood_fraction) {
  const double fm = std::max(0.0, melanosome_fraction), fb = std::clamp(blood_fraction, 0.0, 1.0);
  std::array<double, 3> xyz{};
  for (const Band& band : bands()) {
    const double epidermis = fm * band.melanosome + std::max(0.0, 1 - fm) * band.base;
    const double dermis = fb * band.blood + (1 - fb) * band.base;
    const Layer top = layer(epidermis * kPathFactor / 2, band.scatter_epidermis, kEpidermisCm);
    const Layer middle = layer(dermis, band.scatter_dermis, kDermisCm);
    const double below = middle.reflectance +
                         middle.transmittance * middle.transmittance * band.deep / (1 - middle.reflectance * band.deep);
    const double inside =
        top.reflectance + top.transmittance * top.transmittance * below / (1 - top.reflectance * below);
    const double seen =
        kOuterReflection + (1 - kOuterReflection) * (1 - kInnerReflection) * inside / (1 - kInnerReflection * inside);
    for (size_t c = 0; c < 3; ++c) xyz[c] += band.observer[c] * seen;
  }
  const auto& [x, y, z] = xyz;
  const std::array<double, 3> rgb = {3.2404542 * x - 1.5371385 * y - 0.4985314 * z,
                                     -0.9692660 * x + 1.8760108 * y + 0.0415560 * z,
                                     0.0556434 * x - 0.2040259 * y + 1.0572252 * z};
  Linear out;
  for (size_t c = 0; c < 3; ++c) out[c] = static_cast<float>(std::clamp(rgb[c], 0.0, 1.0));
  return out;
}

image::Lab skin_colour(double melanosome_fraction, double blood_fraction) {
  const Linear rgb = skin_linear(melanosome_fraction, blood_fraction);
  return image::lab_of_linear(rgb[0], rgb[1], rgb[2]);
}

namespace {
// Square roots spread the cells where the colour changes fast.
constexpr double kMelaninRoot = 1.7320508075688772, kBloodRoot = 0.5477225575051661;  // of 3 and of 0.3
}  // namespace

const SkinTable& SkinTable::get() {
  static const SkinTable table;
  return table;
}

SkinTable::SkinTable() {
  for (int m = 0; m < kMelanin; ++m)
    for (int b = 0; b < kBlood; ++b) {
      const double u = kMelaninRoot * m / (kMelanin - 1), v = kBloodRoot * b / (kBlood - 1);
      cells_[static_cast<size_t>(m * kBlood + b)] = skin_linear(u * u, v * v);
    }
}

Linear SkinTable::at(float melanosome_fraction, float blood_fraction) const {
  const float u =
      std::clamp(std::sqrt(std::max(melanosome_fraction, 0.0f)) * static_cast<float>((kMelanin - 1) / kMelaninRoot),
                 0.0f, static_cast<float>(kMelanin) - 1.001f);
  const float v = std::clamp(std::sqrt(std::max(blood_fraction, 0.0f)) * static_cast<float>((kBlood - 1) / kBloodRoot),
                             0.0f, static_cast<float>(kBlood) - 1.001f);
  const int m = static_cast<int>(u), b = static_cast<int>(v);
  const float s = u - static_cast<float>(m), t = v - static_cast<float>(b);
  const Linear* cell = &cells_[static_cast<size_t>(m * kBlood + b)];
  Linear out;
  for (size_t c = 0; c < 3; ++c)
    out[c] =
        (1 - s) * ((1 - t) * cell[0][c] + t * cell[1][c]) + s * ((1 - t) * cell[kBlood][c] + t * cell[kBlood + 1][c]);
  return out;
}

double melanosome_fraction_for_ita(double ita_deg, double blood_fraction) {
  double low = 0.001, high = 1.0;  // ITA falls strictly between them
  for (int i = 0; i < 40; ++i) {
    const double middle = std::sqrt(low * high);
    (image::ita_degrees(skin_colour(middle, blood_fraction)) > ita_deg ? low : high) = middle;
  }
  return std::sqrt(low * high);
}

}  // namespace derm::phantom
