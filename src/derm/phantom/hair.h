#pragma once
#include "derm/phantom/photograph.h"

namespace derm::phantom {

/// Hairs of the asked colour, density, length and curl, with their shadows.
void add_hair(Canvas& canvas, const Scene& scene);

}  // namespace derm::phantom
