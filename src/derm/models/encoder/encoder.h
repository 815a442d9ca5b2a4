#pragma once
#include "derm/recipe/recipe.h"

namespace derm::models {

void register_encoder(recipe::Catalogue& catalogue);

}  // namespace derm::models
