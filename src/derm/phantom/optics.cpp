#include "derm/phantom/optics.h"

#include <algorithm>
#include <cmath>

#include "derm/phantom/phantom.h"

namespace derm::phantom {

namespace {

// Molar extinction in 1/cm / (mol/L) at 400, 410, ... 700 nm (S. Prahl, OMLC; Gratzer and Kollias).
constexpr Spectrum kOxygenated = {266232,  466840,  480360,  246072,  102580,  62816,   44480, 33209.2,
                                  26629.2, 23684.4, 20932.8, 20035.2, 24202.4, 39956.8, 53236, 43016,
                                  32613.2, 44496,   50104,   14400.8, 3200,    1506,    942,   610,
                                  442,     368,     319.6,   294,     277.6,   276,     290};
constexpr Spectrum kDeoxygenated = {223296, 303956,  407560,  528600,  413280,  103292,  23388.8, 16156.4,
                                    14550,  16684,   20862,   25773.6, 31589.6, 39036.4, 46592,   53412,
                                    53788,  45072,   37020,   28324.4, 14677.2, 9443.6,  6509.6,  5148.8,
                                    4345.2, 3750.12, 3226.56, 2795.12, 2407.92, 2051.96, 1794.28};

constexpr double kPapillaryCm = 0.006, kPigmentedCm = 0.03, kPapillaryBlood = 0.002;

// Calibration, so that 1.3-6.3 %, 11-16 % and 18-43 % melanosomes come out as light, moderate and dark skin by ITA: the
// mean path through the epidermis in units of its thickness lies between 1 (collimated) and 2 (diffuse light), and the
// share of diffuse light that the surface throws back inside lies between that of a smooth (0.55) and a rough surface.
constexpr double kPathFactor = 1.1;
constexpr double kInnerReflection = 0.45;
constexpr double kOuterReflection = 0.035;  // Fresnel at n = 1.43 with a little gloss

struct Band {
  double base, melanosome, oxygenated, deoxygenated, scatter_epidermis, scatter_dermis, deep;  // 1/cm, `deep` a share
};

double reflectance_of_deep(double absorption, double scattering) {
  const double k = 2 * absorption, s = 0.75 * scattering - 0.25 * absorption, a = (s + k) / s;
  return a - std::sqrt(a * a - 1);
}

struct Layer {
  double reflectance, transmittance;
  double over(double below) const {
    return reflectance + transmittance * transmittance * below / (1 - reflectance * below);
  }
};

Layer layer(double absorption, double scattering, double thickness_cm) {
  const double k = 2 * absorption, s = std::max(0.75 * scattering - 0.25 * absorption, 1e-3);
  const double a = (s + k) / s, b = std::sqrt(a * a - 1);
  const double x = b * s * thickness_cm;
  if (x > 300) return {1 / (a + b), 0};  // nothing comes through, and cosh would overflow
  const double sinh = std::sinh(x), cosh = std::cosh(x), below = a * sinh + b * cosh;
  return {sinh / below, b / below};
}

const std::array<Band, kBands>& bands() {
  static const std::array<Band, kBands> made = [] {
    std::array<Band, kBands> out{};
    for (int i = 0; i < kBands; ++i) {
      const double l = wavelength_nm(i);
      const size_t n = static_cast<size_t>(i);
      Band& band = out[n];
      band.base = 0.244 + 85.3 * std::exp(-(l - 154) / 66.2);
      band.melanosome = 6.6e11 * std::pow(l, -3.33);
      band.oxygenated = 2.303 * kOxygenated[n] * 150 / 64500;
      band.deoxygenated = 2.303 * kDeoxygenated[n] * 150 / 64500;
      band.scatter_epidermis = 68.7 * std::pow(l / 500, -1.161);
      band.scatter_dermis = 45.3 * std::pow(l / 500, -1.292);
      band.deep = reflectance_of_deep(-l / 600 + 143.0 / 60, -11 * l / 600 + 1687.0 / 60);
    }
    return out;
  }();
  return made;
}

Layer epidermis(const Band& band, double melanosomes, double epidermis_um) {
  const double absorption = melanosomes * band.melanosome + std::max(0.0, 1 - melanosomes) * band.base;
  return layer(absorption * kPathFactor / 2, band.scatter_epidermis, epidermis_um * 1e-4);
}

// All that lies under the epidermis.
double under(const Band& band, const SkinLayers& skin, double blood, double deep_pigment) {
  const double whole = skin.oxygenation * band.oxygenated + (1 - skin.oxygenation) * band.deoxygenated;
  const double absorption = blood * whole + (1 - blood) * band.base;
  const double dermis_cm = skin.dermis_mm * 0.1;
  if (deep_pigment <= 0) return layer(absorption, band.scatter_dermis, dermis_cm).over(band.deep);
  // Clear of the vessels that lie deeper, or what is blue in the light would never come back.
  const double clear = std::min(blood, kPapillaryBlood);
  const Layer papillary = layer(clear * whole + (1 - clear) * band.base, band.scatter_dermis, kPapillaryCm);
  const Layer pigmented = layer(absorption + deep_pigment * band.melanosome, band.scatter_dermis, kPigmentedCm);
  const Layer rest = layer(absorption, band.scatter_dermis, std::max(dermis_cm - kPapillaryCm - kPigmentedCm, 1e-4));
  return papillary.over(pigmented.over(rest.over(band.deep)));
}

double at_surface(double inside) {
  return kOuterReflection + (1 - kOuterReflection) * (1 - kInnerReflection) * inside / (1 - kInnerReflection * inside);
}

}  // namespace

Spectrum reflectance(const SkinLayers& skin) {
  const double melanosomes = std::max(0.0, skin.melanosome_fraction), blood = std::clamp(skin.blood_fraction, 0.0, 1.0);
  Spectrum out{};
  for (size_t n = 0; n < kBands; ++n) {
    const Band& band = bands()[n];
    out[n] =
        at_surface(epidermis(band, melanosomes, skin.epidermis_um).over(under(band, skin, blood, skin.deep_pigment)));
  }
  return out;
}

Linear skin_linear(const SkinLayers& skin, const SensorWeights& sensor) {
  const Spectrum seen = reflectance(skin);
  Linear out{};
  for (size_t c = 0; c < 3; ++c) {
    double sum = 0;
    for (size_t n = 0; n < kBands; ++n) sum += sensor[c][n] * seen[n];
    out[c] = static_cast<float>(std::clamp(sum, 0.0, 1.0));
  }
  return out;
}

namespace {
const SensorWeights& day_observer() {
  static const SensorWeights weights = sensor_weights({});
  return weights;
}
}  // namespace

Linear skin_linear(double melanosome_fraction, double blood_fraction) {
  SkinLayers skin;
  skin.melanosome_fraction = melanosome_fraction;
  skin.blood_fraction = blood_fraction;
  return skin_linear(skin, day_observer());
}

image::Lab skin_colour(const SkinLayers& skin) {
  const Linear rgb = skin_linear(skin, day_observer());
  return image::lab_of_linear(rgb[0], rgb[1], rgb[2]);
}

image::Lab skin_colour(double melanosome_fraction, double blood_fraction) {
  SkinLayers skin;
  skin.melanosome_fraction = melanosome_fraction;
  skin.blood_fraction = blood_fraction;
  return skin_colour(skin);
}

namespace {
// Square roots spread the cells where the colour changes fast.
constexpr double kMelaninRoot = 1.7320508075688772,
                 kBloodRoot = 0.5477225575051661;  // of 3 and of 0.3
constexpr double kDeepRoot = kBloodRoot;
}  // namespace

SkinTable::SkinTable(const SkinLayers& skin, const SensorWeights& sensor, bool with_deep) {
  const int deep_nodes = with_deep ? kDeep : 1;
  cells_.resize(static_cast<size_t>(deep_nodes * kMelanin * kBlood));
  // Padded to a whole number of vector registers.
  constexpr size_t kLanes = 32;
  using Lanes = std::array<float, kLanes>;
  struct Top {
    Lanes reflectance{}, transmittance2{};
  };
  std::vector<Top> tops(kMelanin);
  for (int m = 0; m < kMelanin; ++m) {
    const double u = kMelaninRoot * m / (kMelanin - 1);
    for (size_t n = 0; n < kBands; ++n) {
      const Layer top = epidermis(bands()[n], u * u, skin.epidermis_um);
      tops[static_cast<size_t>(m)].reflectance[n] = static_cast<float>(top.reflectance);
      tops[static_cast<size_t>(m)].transmittance2[n] = static_cast<float>(top.transmittance * top.transmittance);
    }
  }
  std::array<Lanes, 3> weights{};
  for (size_t c = 0; c < 3; ++c)
    for (size_t n = 0; n < kBands; ++n) weights[c][n] = static_cast<float>(sensor[c][n]);
  constexpr float kIn = static_cast<float>(kInnerReflection), kOut = static_cast<float>(kOuterReflection);
  for (int d = 0; d < deep_nodes; ++d)
    for (int b = 0; b < kBlood; ++b) {
      const double v = kBloodRoot * b / (kBlood - 1), w = kDeepRoot * d / (kDeep - 1);
      Lanes below{}, seen{};
      for (size_t n = 0; n < kBands; ++n) below[n] = static_cast<float>(under(bands()[n], skin, v * v, w * w));
      for (int m = 0; m < kMelanin; ++m) {
        const Top& top = tops[static_cast<size_t>(m)];
        for (size_t n = 0; n < kLanes; ++n) {
          const float inside =
              top.reflectance[n] + top.transmittance2[n] * below[n] / (1 - top.reflectance[n] * below[n]);
          seen[n] = kOut + (1 - kOut) * (1 - kIn) * inside / (1 - kIn * inside);
        }
        Cell& cell = cells_[static_cast<size_t>((d * kMelanin + m) * kBlood + b)];
        for (size_t c = 0; c < 3; ++c) {
          std::array<float, 4> part{};
          for (size_t n = 0; n < kLanes; n += 4)
            for (size_t k = 0; k < 4; ++k) part[k] += weights[c][n + k] * seen[n + k];
          cell[c] = std::sqrt(std::clamp(part[0] + part[1] + part[2] + part[3], 0.0f, 1.0f));
        }
      }
    }
}

Linear SkinTable::at(float melanosome_fraction, float blood_fraction, float deep_pigment) const {
  const float u =
      std::clamp(std::sqrt(std::max(melanosome_fraction, 0.0f)) * static_cast<float>((kMelanin - 1) / kMelaninRoot),
                 0.0f, static_cast<float>(kMelanin) - 1.001f);
  const float v = std::clamp(std::sqrt(std::max(blood_fraction, 0.0f)) * static_cast<float>((kBlood - 1) / kBloodRoot),
                             0.0f, static_cast<float>(kBlood) - 1.001f);
  const int m = static_cast<int>(u), b = static_cast<int>(v);
  const float s = u - static_cast<float>(m), t = v - static_cast<float>(b);
  const auto slice = [&](const Cell* cell, Linear& out) {
    for (size_t c = 0; c < 3; ++c)
      out[c] =
          (1 - s) * ((1 - t) * cell[0][c] + t * cell[1][c]) + s * ((1 - t) * cell[kBlood][c] + t * cell[kBlood + 1][c]);
  };
  const Cell* cell = cells_.data() + m * kBlood + b;
  Linear out;
  slice(cell, out);
  constexpr size_t kSlice = static_cast<size_t>(kMelanin) * kBlood;
  if (deep_pigment > 0 && cells_.size() > kSlice) {
    const float w = std::min(std::sqrt(deep_pigment) * static_cast<float>((kDeep - 1) / kDeepRoot),
                             static_cast<float>(kDeep) - 1.001f);
    const size_t d = static_cast<size_t>(w);
    const float r = w - static_cast<float>(d);
    Linear upper;
    slice(cell + (d + 1) * kSlice, upper);
    if (d > 0) slice(cell + d * kSlice, out);
    for (size_t c = 0; c < 3; ++c) out[c] += r * (upper[c] - out[c]);
  }
  for (float& c : out) c *= c;
  return out;
}

double melanosome_fraction_for_ita(double ita_deg, SkinLayers skin) {
  double low = 0.001, high = 1.0;  // ITA falls strictly between them
  for (int i = 0; i < 32; ++i) {
    skin.melanosome_fraction = std::sqrt(low * high);
    (image::ita_degrees(skin_colour(skin)) > ita_deg ? low : high) = skin.melanosome_fraction;
  }
  return std::sqrt(low * high);
}

double melanosome_fraction_for_ita(double ita_deg, double blood_fraction) {
  SkinLayers skin;
  skin.blood_fraction = blood_fraction;
  return melanosome_fraction_for_ita(ita_deg, skin);
}

}  // namespace derm::phantom
