#pragma once
#include "derm/recipe/recipe.h"

namespace derm::models {

/// Progressive growing (Karras et al. 2018, arXiv:1710.10196), as Baur et al. used it for skin lesions
/// (arXiv:1809.01410): from 4 px to the full size, WGAN-GP.
void register_pgan(recipe::Catalogue& catalogue);

}  // namespace derm::models
