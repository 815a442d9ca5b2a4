#pragma once
// Made skin with known truth. This is its beginning: colour from a layered reflectance model, a lesion of known outline
// and condition, and what usually lies on skin.
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "derm/image/colour.h"
#include "derm/image/image.h"

namespace derm::phantom {

struct PhantomOptions {
  std::filesystem::path out;
  int64_t count = 64;
  int64_t size_px = 256;
  uint64_t seed = 0;
  double hair = 0.3, ruler = 0.1, ink = 0.1, dark_corners = 0.1;  ///< probabilities
  std::vector<std::string> conditions;                            ///< empty: all of condition_names()
  void validate() const;
};

/// What is true of one phantom image.
struct Truth {
  std::string condition;
  image::Lab skin;  ///< colour of the bare skin before relief, light and noise, whose mean effect is zero
  image::Mask lesion;
  double melanosome_fraction = 0, blood_fraction = 0;
  bool hair = false, ruler = false, ink = false, dark_corners = false;
};

struct Phantom {
  image::Image rgb;
  Truth truth;
};

const std::vector<std::string>& condition_names();

/// The colour of skin with these fractions under D65 (diffuse reflectance of epidermis over dermis).
image::Lab skin_colour(double melanosome_fraction, double blood_fraction);

/// Image `index` of the set that `options` describes; the same bytes on every run and thread count.
Phantom make_phantom(const PhantomOptions& options, int64_t index);

/// Writes images, masks and metadata.csv as a data set, balanced over tone, condition and size. Memory does not grow
/// with count. Split 70/15/15, every image its own subject.
void write_phantoms(const PhantomOptions& options);

}  // namespace derm::phantom
