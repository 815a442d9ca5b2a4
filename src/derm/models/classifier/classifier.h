#pragma once
#include "derm/recipe/recipe.h"

namespace derm::models {

void register_classifier(recipe::Catalogue& catalogue);

}  // namespace derm::models
