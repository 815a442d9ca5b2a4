#pragma once
// How a lesion grows: the stochastic automaton of S-SYNTH (Kim et al., arXiv 2408.00191) on a coarse grid.
#include <vector>

#include "derm/base/random.h"

namespace derm::phantom {

/// Each step every grown cell reaches its 26 neighbours and the 6 cells two steps along an axis, each with the
/// probability of that direction; the probabilities of a step are multiplied by 1 + 0.3 N(0, 1). A reached cell goes on
/// at once with probability 0.001, three levels deep, which makes knobs.
///
/// What differs from the paper: steps are taken with a third of its probabilities in the plane, and those to farther
/// cells less often by their distance squared, because on a grid as coarse as this growth would be drawn out along its
/// axes; and the tissue may be unevenly willing (`patchiness`), which makes notches and lobes.
struct GrowthRules {
  int steps = 28;          ///< 12 to 40
  double spread = 0.35;    ///< in the plane of the skin, the paper's measure
  double inward = 0.10;    ///< towards the dermis
  double outward = 0.001;  ///< out of the skin
  double aspect = 1;       ///< short over long extent that the directions aim at
  double angle = 0;        ///< of the long extent, radians
  double patchiness = 0;   ///< deviation of the logarithm of local willingness to be grown into
  double patch_cells = 8;  ///< grain of that, in cells
  double smoothing = 0;    ///< of the outline afterwards: deviation of a Gaussian in cells
};

/// What has grown, seen from above, on a square grid.
struct Growth {
  int side = 0;                        ///< of the grid
  std::vector<float> inside;           ///< signed distance to the outline in cells, positive inside
  std::vector<float> arrival;          ///< step at which the column was reached; `steps` where it was not
  std::vector<float> depth;            ///< cells grown inward
  std::vector<float> raised;           ///< cells grown out of the skin
  int steps = 0;                       ///< taken: fewer than asked if the grid's edge was reached
  int x0 = 0, y0 = 0, x1 = 0, y1 = 0;  ///< box of what has grown, ends included
};
Growth grow(const GrowthRules& rules, Rng& rng);

}  // namespace derm::phantom
