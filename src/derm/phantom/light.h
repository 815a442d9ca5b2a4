#pragma once
// Light and camera: from a spectrum of reflectance to linear sRGB.
#include <array>

namespace derm::phantom {

inline constexpr int kBands = 31;  ///< 400 to 700 nm by 10 nm
using Spectrum = std::array<double, kBands>;
constexpr double wavelength_nm(int band) { return 400 + 10.0 * band; }

/// Relative spectral power, 100 at 560 nm. From 4000 K on the daylight of that correlated colour temperature (CIE 015:
/// mean and two characteristic vectors of Judd, MacAdam and Wyszecki 1964, J. Opt. Soc. Am. 54, 1031; 6504 K is D65),
/// below it a black body (2856 K is illuminant A).
/// @param kelvin  2000 to 25000; throws UsageError outside
Spectrum illuminant(double kelvin);

struct Photometry {
  double illuminant_k = 6504;  ///< 2000 to 25000
  /// 1: the light's own white comes out neutral; 0: it is taken for D65, and keeps its cast. Von Kries in Bradford's
  /// primaries (observer) or in the sensor's own channels (camera).
  double white_balance = 1;
  /// 0: the CIE 1931 observer (analytic fits of Wyman, Sloan and Shirley 2013, JCGT 2(2)). 1: a sensor with three
  /// Gaussian channels and a colour matrix fitted to smooth reflectances under D65, which errs as cameras do. Between:
  /// a mixture of both.
  double camera = 0;
};

/// Linear sRGB = sum over bands of weight times reflectance; a perfect reflector in balanced light is (1, 1, 1).
using SensorWeights = std::array<Spectrum, 3>;
SensorWeights sensor_weights(const Photometry& photometry);

}  // namespace derm::phantom
