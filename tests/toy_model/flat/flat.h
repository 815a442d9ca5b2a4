#pragma once
#include "derm/recipe/recipe.h"

namespace derm::models {

/// Every pixel is a linear function of the semantic map there: learns mean colours, and no texture.
void register_flat(recipe::Catalogue& catalogue);

}  // namespace derm::models
