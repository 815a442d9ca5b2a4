#pragma once
// What a dermoscope adds to the picture.
#include "derm/phantom/photograph.h"

namespace derm::phantom {

/// Bubbles in the immersion fluid, most of them away from the lesion.
void add_bubbles(Canvas& canvas, const Form& form, const Scene& scene);

/// The round aperture: corners that are all but black.
void add_dark_corners(Canvas& canvas, const Scene& scene);

}  // namespace derm::phantom
