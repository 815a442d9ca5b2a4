#pragma once
// What people lay on skin and draw on it.
#include <string>
#include <vector>

#include "derm/phantom/photograph.h"

namespace derm::phantom {

/// A number on a ruler, to be written into the finished picture.
struct Label {
  int x, y;
  std::string text;
};

/// A scale true to the picture's own, along the side that is farthest from the lesion: a strip of paper or bare ticks;
/// through a dermoscope the line that is engraved in its glass. Returns where its numbers go.
std::vector<Label> add_ruler(Canvas& canvas, const Form& form, const Scene& scene);

/// Surgical pen: part of a ring round the lesion, or dashes beside it.
void add_ink(Canvas& canvas, const Form& form, const Scene& scene);

}  // namespace derm::phantom
