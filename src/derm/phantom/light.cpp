#include "derm/phantom/light.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "derm/base/error.h"

namespace derm::phantom {

namespace {

using Vec = std::array<double, 3>;
using Matrix = std::array<Vec, 3>;

// Mean daylight and its two characteristic vectors, 400 to 700 nm (CIE 015).
constexpr Spectrum kDay0 = {94.8,  104.8, 105.9, 96.8,  113.9, 125.6, 125.5, 121.3, 121.3, 113.5, 113.1,
                            110.8, 106.5, 108.8, 105.3, 104.4, 100.0, 96.0,  95.1,  89.1,  90.5,  90.3,
                            88.4,  84.0,  85.1,  81.9,  82.6,  84.9,  81.3,  71.9,  74.3};
constexpr Spectrum kDay1 = {43.4, 46.3, 43.9,  37.1,  36.7,  35.9,  32.6,  27.9,  24.3, 20.1, 16.2,
                            13.2, 8.6,  6.1,   4.2,   1.9,   0.0,   -1.6,  -3.5,  -3.5, -5.8, -7.2,
                            -8.6, -9.5, -10.9, -10.7, -12.0, -14.0, -13.6, -12.0, -13.3};
constexpr Spectrum kDay2 = {-1.1, -0.5, -0.7, -1.2, -2.6, -2.9, -2.8, -2.6, -2.6, -1.8, -1.5,
                            -1.3, -1.2, -1.0, -0.5, -0.3, 0.0,  0.2,  0.5,  2.1,  3.2,  4.1,
                            4.7,  5.1,  6.7,  7.3,  8.6,  9.8,  10.2, 8.3,  9.6};

constexpr Vec kWhite = {0.95047, 1.0, 1.08883};
constexpr Matrix kToLinear = {
    {{3.2404542, -1.5371385, -0.4985314}, {-0.9692660, 1.8760108, 0.0415560}, {0.0556434, -0.2040259, 1.0572252}}};
constexpr Matrix kBradford = {{{0.8951, 0.2664, -0.1614}, {-0.7502, 1.7135, 0.0367}, {0.0389, -0.0685, 1.0296}}};
constexpr Matrix kBradfordBack = {
    {{0.9869929, -0.1470543, 0.1599627}, {0.4323053, 0.5183603, 0.0492912}, {-0.0085287, 0.0400428, 0.9684867}}};

Vec times(const Matrix& m, const Vec& v) {
  Vec out{};
  for (size_t i = 0; i < 3; ++i) out[i] = m[i][0] * v[0] + m[i][1] * v[1] + m[i][2] * v[2];
  return out;
}

double lobe(double x, double mean, double below, double above) {
  const double t = (x - mean) / (x < mean ? below : above);
  return std::exp(-0.5 * t * t);
}

Vec observer_at(double l) {
  return {1.056 * lobe(l, 599.8, 37.9, 31.0) + 0.362 * lobe(l, 442.0, 16.0, 26.7) - 0.065 * lobe(l, 501.1, 20.4, 26.2),
          0.821 * lobe(l, 568.8, 46.9, 40.5) + 0.286 * lobe(l, 530.9, 16.3, 31.1),
          1.217 * lobe(l, 437.0, 11.8, 36.0) + 0.681 * lobe(l, 459.0, 26.0, 13.8)};
}

// Channels of a common kind of sensor with its colour filters.
Vec channels_at(double l) { return {lobe(l, 600, 32, 36), lobe(l, 535, 38, 40), lobe(l, 455, 28, 30)}; }

Vec sum_over(const Spectrum& light, Vec (*response)(double)) {
  Vec sum{};
  for (int i = 0; i < kBands; ++i) {
    const Vec r = response(wavelength_nm(i));
    for (size_t c = 0; c < 3; ++c) sum[c] += light[static_cast<size_t>(i)] * r[c];
  }
  return sum;
}

SensorWeights observer_weights(const Spectrum& light, double balance) {
  const Vec own = sum_over(light, observer_at);
  // With the sums as they are over these bands, D65's white is made exactly that of sRGB.
  const Vec day = sum_over(illuminant(6504), observer_at);
  Vec white{}, scale{};
  for (size_t c = 0; c < 3; ++c) {
    scale[c] = kWhite[c] / day[c] * day[1] / own[1];
    white[c] = own[c] * scale[c];
  }
  const Vec cone = times(kBradford, white), wanted = times(kBradford, kWhite);
  SensorWeights out{};
  for (int i = 0; i < kBands; ++i) {
    const size_t n = static_cast<size_t>(i);
    Vec xyz = observer_at(wavelength_nm(i));
    for (size_t c = 0; c < 3; ++c) xyz[c] *= light[n] * scale[c];
    Vec adapted = times(kBradford, xyz);
    for (size_t c = 0; c < 3; ++c) adapted[c] *= std::pow(wanted[c] / cone[c], balance);
    const Vec rgb = times(kToLinear, times(kBradfordBack, adapted));
    for (size_t c = 0; c < 3; ++c) out[c][n] = rgb[c];
  }
  return out;
}

// Solves a x = b for a symmetric positive 3 x 3 matrix by Cramer's rule.
Vec solve(const Matrix& a, const Vec& b) {
  const auto determinant = [](const Matrix& m) {
    return m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1]) - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0]) +
           m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0]);
  };
  Vec x{};
  const double whole = determinant(a);
  for (size_t c = 0; c < 3; ++c) {
    Matrix m = a;
    for (size_t r = 0; r < 3; ++r) m[r][c] = b[r];
    x[c] = determinant(m) / whole;
  }
  return x;
}

// The colour matrix of the sensor: least squares to the observer over smooth reflectances in D65, white kept.
const Matrix& colour_matrix() {
  static const Matrix matrix = [] {
    const Spectrum day = illuminant(6504);
    const SensorWeights exact = observer_weights(day, 1);
    const Vec white = sum_over(day, channels_at);
    Matrix normal{};
    std::array<Vec, 3> right{};
    const auto learn = [&](auto&& reflectance, double weight) {
      Vec seen{}, wanted{};
      for (int i = 0; i < kBands; ++i) {
        const size_t n = static_cast<size_t>(i);
        const Vec r = channels_at(wavelength_nm(i));
        for (size_t c = 0; c < 3; ++c) {
          seen[c] += day[n] * r[c] / white[c] * reflectance(wavelength_nm(i));
          wanted[c] += exact[c][n] * reflectance(wavelength_nm(i));
        }
      }
      for (size_t a = 0; a < 3; ++a)
        for (size_t b = 0; b < 3; ++b) {
          normal[a][b] += weight * seen[a] * seen[b];
          right[b][a] += weight * seen[a] * wanted[b];
        }
    };
    for (double centre = 400; centre <= 700; centre += 25)
      for (const double width : {40.0, 90.0}) {
        learn([&](double l) { return 0.08 + 0.6 * lobe(l, centre, width, width); }, 1);
        learn([&](double l) { return 0.70 - 0.6 * lobe(l, centre, width, width); }, 1);
      }
    learn([](double) { return 1.0; }, 1e4);
    Matrix out{};
    for (size_t c = 0; c < 3; ++c) out[c] = solve(normal, right[c]);
    return out;
  }();
  return matrix;
}

SensorWeights camera_weights(const Spectrum& light, double balance) {
  const Vec own = sum_over(light, channels_at), day = sum_over(illuminant(6504), channels_at);
  SensorWeights out{};
  for (int i = 0; i < kBands; ++i) {
    const size_t n = static_cast<size_t>(i);
    Vec seen = channels_at(wavelength_nm(i));
    // Exposed so that white has the same green in any light.
    for (size_t c = 0; c < 3; ++c)
      seen[c] *= light[n] / (own[c] * std::pow(day[c] / own[c] * own[1] / day[1], 1 - balance));
    const Vec rgb = times(colour_matrix(), seen);
    for (size_t c = 0; c < 3; ++c) out[c][n] = rgb[c];
  }
  return out;
}

}  // namespace

Spectrum illuminant(double kelvin) {
  if (!(kelvin >= 2000 && kelvin <= 25000))
    throw UsageError("illuminant_k: {} is not a colour temperature from 2000 to 25000 K", kelvin);
  Spectrum out{};
  if (kelvin < 4000) {
    // The standard writes illuminant A as Planck's law at 2848 K with the older constant 1.435e7 nm K.
    const double t = kelvin * 2848.0 / 2856.0;
    const double at_560 = std::exp(1.435e7 / (t * 560)) - 1;
    for (int i = 0; i < kBands; ++i) {
      const double l = wavelength_nm(i);
      out[static_cast<size_t>(i)] = 100 * std::pow(560 / l, 5) * at_560 / (std::exp(1.435e7 / (t * l)) - 1);
    }
    return out;
  }
  const double r = 1000 / kelvin;
  const double x = kelvin <= 7000 ? -4.6070 * r * r * r + 2.9678 * r * r + 0.09911 * r + 0.244063
                                  : -2.0064 * r * r * r + 1.9018 * r * r + 0.24748 * r + 0.237040;
  const double y = -3.000 * x * x + 2.870 * x - 0.275;
  const double m = 0.0241 + 0.2562 * x - 0.7341 * y;
  const double m1 = (-1.3515 - 1.7703 * x + 5.9114 * y) / m, m2 = (0.0300 - 31.4424 * x + 30.0717 * y) / m;
  for (size_t n = 0; n < kBands; ++n) out[n] = kDay0[n] + m1 * kDay1[n] + m2 * kDay2[n];
  return out;
}

SensorWeights sensor_weights(const Photometry& photometry) {
  const Spectrum light = illuminant(photometry.illuminant_k);
  SensorWeights out = observer_weights(light, photometry.white_balance);
  if (photometry.camera <= 0) return out;
  const SensorWeights other = camera_weights(light, photometry.white_balance);
  for (size_t c = 0; c < 3; ++c)
    for (size_t n = 0; n < kBands; ++n) out[c][n] += photometry.camera * (other[c][n] - out[c][n]);
  return out;
}

}  // namespace derm::phantom
