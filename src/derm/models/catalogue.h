#pragma once
#include "derm/recipe/recipe.h"

namespace derm::models {

/// The recipes of the folders in src/derm/models and of DERM_EXTRA_MODELS.
const recipe::Catalogue& catalogue();

}  // namespace derm::models
