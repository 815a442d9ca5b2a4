#pragma once
// Light on the skin, the lens and the sensor: from maps to a picture.
#include <vector>

#include "derm/image/image.h"
#include "derm/phantom/lesion.h"
#include "derm/phantom/optics.h"

namespace derm::phantom {

struct Canvas {
  int size;
  std::vector<Linear> pixels;
  Linear& at(int x, int y) {
    return pixels[static_cast<size_t>(y) * static_cast<size_t>(size) + static_cast<size_t>(x)];
  }
};

inline Linear mix(const Linear& a, const Linear& b, float t) {
  return {a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1]), a[2] + t * (b[2] - a[2])};
}

/// Colour from what the skin is made of, under a lamp from the side: shading of the relief, mirrored light, uneven
/// light. The bare skin (outside the lesion, without freckles) has `skin` in the middle of its colours.
Canvas render(const Maps& maps, const Form& form, const Plane& spots, const SkinTable& table, const Linear& skin,
              const Scene& scene);

/// Blur that grows towards the edges, around the lesion's place.
void defocus(Canvas& canvas, const Form& form, const Scene& scene);

/// The lens' slight softness, the sensor's noise, sRGB.
image::Image expose(const Canvas& canvas, const Scene& scene);

}  // namespace derm::phantom
