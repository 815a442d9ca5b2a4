#pragma once
// One phantom from its scene.
#include "derm/phantom/phantom.h"
#include "derm/phantom/plan.h"

namespace derm::phantom {

Phantom make_phantom(const Scene& scene);

}  // namespace derm::phantom
