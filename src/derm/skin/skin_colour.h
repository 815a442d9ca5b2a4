#pragma once
// The colour of the skin around a lesion.
#include <string>

#include "derm/image/colour.h"
#include "derm/image/image.h"
#include "derm/skin/artefacts.h"

namespace derm::skin {

struct SkinColour {
  image::Lab lab;  ///< robust centre of the skin pixels
  image::Rgb rgb;  ///< the same, rounded
  double ita_deg = 0;
  std::string tone;  ///< one of image::tone_names()
  double share = 0;  ///< skin pixels over all pixels; under 0.05 the figure rests on little
};

/// Measures on skin alone: the lesion (grown by a margin), hair, ink, ruler, dark corners and reflections are left out.
/// @param lesion  mask of the image's size; pass an empty Mask() to have it found
SkinColour measure_skin(const image::Image& rgb, const image::Mask& lesion);
SkinColour measure_skin(const image::Image& rgb, const image::Mask& lesion, const Artefacts& artefacts);

}  // namespace derm::skin
