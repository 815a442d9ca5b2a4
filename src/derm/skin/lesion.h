#pragma once
// Where the lesion is, by its colour distance from the surrounding skin.
#include "derm/image/image.h"
#include "derm/skin/artefacts.h"

namespace derm::skin {

struct Lesion {
  image::Mask mask;    ///< of the image's size; empty region if nothing was found
  image::Box box;      ///< tight box of the mask, pixels
  double quality = 0;  ///< 0 (a guess) to 1 (clear contrast, one piece, away from the border)
};

/// Finds the one lesion that the photograph is of: CIE Lab distance from the local skin colour, weighted towards the
/// centre, thresholded, artefacts removed, one connected region with filled holes and a smoothed outline.
Lesion find_lesion(const image::Image& rgb);
Lesion find_lesion(const image::Image& rgb, const Artefacts& artefacts);

}  // namespace derm::skin
