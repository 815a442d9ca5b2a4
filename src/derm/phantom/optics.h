#pragma once
// The colour of layered skin from what is in it.
//
// Model: two-flux theory (Kubelka 1948, J. Opt. Soc. Am. 38, 448) of epidermis over papillary dermis over reticular
// dermis over a deep hypodermis, 400 to 700 nm by 10 nm, with K = 2 mu_a and S = 3/4 mu_s' - 1/4 mu_a (van Gemert and
// Star 1987, Lasers Life Sci. 1, 287), and the reflections at the surface by Saunderson (1942, J. Opt. Soc. Am. 32,
// 727). Coefficients: S-SYNTH (Kim et al., arXiv 2408.00191); haemoglobin: S. Prahl, OMLC, from data of W. B. Gratzer
// and N. Kollias.
#include <array>
#include <vector>

#include "derm/image/colour.h"
#include "derm/phantom/light.h"

namespace derm::phantom {

using Linear = std::array<float, 3>;  ///< linear sRGB

struct SkinLayers {
  /// Volume fraction of the epidermis; above 1 it stands for a thicker pigmented layer.
  double melanosome_fraction = 0.05;
  double blood_fraction = 0.01;  ///< of the dermis, 0 to 1
  double oxygenation = 0.75;     ///< share of the haemoglobin with oxygen, arteries and veins together, 0 to 1
  double epidermis_um = 60;      ///< thickness
  double dermis_mm = 2;          ///< thickness
  /// Volume fraction of melanosomes in the upper 0.3 mm of the reticular dermis, under 0.06 mm of clear papillary
  /// dermis: pigment that shows grey to blue.
  double deep_pigment = 0;
};

/// Diffuse reflectance per band, 0 to 1.
Spectrum reflectance(const SkinLayers& skin);

/// Linear sRGB of skin under this light and camera, each channel clamped to 0 to 1.
Linear skin_linear(const SkinLayers& skin, const SensorWeights& sensor);
/// The same under D65 for the standard observer, with the other layers as SkinLayers has them.
Linear skin_linear(double melanosome_fraction, double blood_fraction);

/// The same by a table, for pixels: melanosome fractions up to 3, blood up to 0.3, deep pigment up to 0.3, clamped; the
/// other layers are those of `skin`.
class SkinTable {
 public:
  /// @param with_deep  false: deep pigment is taken as 0, and the table costs a fifth
  SkinTable(const SkinLayers& skin, const SensorWeights& sensor, bool with_deep);
  Linear at(float melanosome_fraction, float blood_fraction, float deep_pigment = 0) const;

 private:
  static constexpr int kMelanin = 72, kBlood = 24, kDeep = 5;
  using Cell = std::array<float, 4>;  // square roots of linear sRGB, between
                                      // which lines err less
  std::vector<Cell> cells_;
};

/// The melanosome fraction at which the D65 colour of `skin` has this ITA, clamped to 0.001 to 1.
double melanosome_fraction_for_ita(double ita_deg, SkinLayers skin);
double melanosome_fraction_for_ita(double ita_deg, double blood_fraction);

}  // namespace derm::phantom
