#pragma once
#include "derm/recipe/recipe.h"

namespace derm::models {

void register_segmenter(recipe::Catalogue& catalogue);

}  // namespace derm::models
