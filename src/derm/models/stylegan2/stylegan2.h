#pragma once
#include "derm/recipe/recipe.h"

namespace derm::models {

/// StyleGAN2 (Karras et al. 2020, arXiv:1912.04958) with ADA (arXiv:2006.06676) or DiffAugment (arXiv:2006.10738).
void register_stylegan2(recipe::Catalogue& catalogue);

}  // namespace derm::models
