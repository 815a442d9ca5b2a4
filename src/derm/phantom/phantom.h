#pragma once
// Made skin with known truth: colour from a layered reflectance model, a grown lesion of known outline and condition,
// and what usually lies on skin. docs/phantom.md says what is modelled and what is not.
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "derm/image/colour.h"
#include "derm/image/image.h"
#include "derm/phantom/optics.h"
#include "derm/phantom/parameters.h"

namespace derm::phantom {

struct PhantomOptions {
  std::filesystem::path out;
  int64_t count = 64;
  int64_t size_px = 256;
  uint64_t seed = 0;
  double hair = 0.3, ruler = 0.1, ink = 0.1, dark_corners = 0.1;  ///< probabilities
  double bubbles = 0.3;                                           ///< probability, of dermoscopic pictures
  std::string look = "clinical";                                  ///< clinical, dermoscopic or mixed (half and half)
  std::string light = "daylight";                                 ///< daylight (D65, observer) or mixed (and a camera)
  std::vector<std::string> conditions;                            ///< empty: all of condition_names()
  std::vector<std::string> set, sweep;                            ///< as parse_set() and parse_sweep() read them
  void validate() const;                                          ///< throws UsageError naming what is wrong
};

/// What is true of one phantom image.
struct Truth {
  std::string condition;
  /// Colour of the bare skin as photographed, before relief, light and noise, whose middle effect is zero.
  image::Lab skin;
  image::Lab skin_d65;  ///< the same skin in D65 for the standard observer; equal to `skin` in that light
  image::Mask lesion;   ///< extent of what has grown: where the border is half way
  Parameters parameters;
  double melanosome_fraction = 0, blood_fraction = 0;
  bool hair = false, ruler = false, ink = false, dark_corners = false, bubbles = false;
};

struct Phantom {
  image::Image rgb;
  Truth truth;
};

const std::vector<std::string>& condition_names();

/// The colour of skin in D65 (diffuse reflectance).
image::Lab skin_colour(const SkinLayers& skin);
image::Lab skin_colour(double melanosome_fraction, double blood_fraction);

/// Image `index` of the set that `options` describes; the same bytes on every run and thread count.
Phantom make_phantom(const PhantomOptions& options, int64_t index);

/// How processes that make one set together (ranks::Group) speak; by default there is one.
struct Share {
  int rank = 0, world = 1;
  int threads = 0;  ///< of this process; 0: all it may use
  std::function<void(std::vector<double>&)> sum;
  std::function<std::string(const std::string&)> of_first;  ///< what rank 0 says, to all
};

/// Writes images, masks and metadata.csv as a data set, balanced over tone, condition and size. Images are made and
/// written one by one: memory grows by the rows of the table alone. Split 70/15/15 by subject; pictures of one sweep
/// are of one subject, else every image is its own. The bytes do not depend on how many processes share the work.
void write_phantoms(const PhantomOptions& options, const Share& share = {});

}  // namespace derm::phantom
