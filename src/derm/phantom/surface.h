#pragma once
// The bare skin: uneven pigment and blood, freckles, fine vessels, the relief of lines and pores.
#include "derm/phantom/lesion.h"

namespace derm::phantom {

/// Fills the maps; `spots` marks freckles, which are not the skin's own colour.
void make_skin(Maps& maps, Plane& spots, const Scene& scene);

}  // namespace derm::phantom
