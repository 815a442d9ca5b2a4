#pragma once
// The colour of layered skin from what is in it.
//
// Model: two-flux theory (Kubelka 1948, J. Opt. Soc. Am. 38, 448) of epidermis (60 um) over dermis (2 mm) over a deep
// hypodermis, 400 to 700 nm by 10 nm, with K = 2 mu_a and S = 3/4 mu_s' - 1/4 mu_a (van Gemert and Star 1987, Lasers
// Life Sci. 1, 287), and the reflections at the surface by Saunderson (1942, J. Opt. Soc. Am. 32, 727). Coefficients:
// S-SYNTH (Kim et al., arXiv 2408.00191); haemoglobin: S. Prahl, OMLC, from data of W. B. Gratzer and N. Kollias.
// Observer: the analytic CIE 1931 fits of Wyman, Sloan and Shirley (2013, JCGT 2(2)); light: D65.
#include <array>

#include "derm/image/colour.h"

namespace derm::phantom {

using Linear = std::array<float, 3>;  ///< linear sRGB

/// Linear sRGB of skin with these volume fractions; a fraction of melanosomes above 1 stands for a thicker pigmented
/// layer.
Linear skin_linear(double melanosome_fraction, double blood_fraction);

/// The same by a table, for a pixel: fractions up to 3 (melanosomes) and 0.3 (blood), clamped.
class SkinTable {
 public:
  static const SkinTable& get();
  Linear at(float melanosome_fraction, float blood_fraction) const;

 private:
  SkinTable();
  static constexpr int kMelanin = 112, kBlood = 48;
  std::array<Linear, kMelanin * kBlood> cells_;
};

/// The melanosome fraction that gives this ITA at this blood fraction, clamped to what the model reaches (0.001 to 1).
double melanosome_fraction_for_ita(double ita_deg, double blood_fraction);

}  // namespace derm::phantom
