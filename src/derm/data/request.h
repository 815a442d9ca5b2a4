#pragma once
// A person's wish for one image: the one type from command line, API, plan file and data set to the network.
#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "derm/image/colour.h"
#include "derm/image/image.h"

namespace derm::data {

enum class Shape {
  box,      ///< filled rectangle
  ellipse,  ///< the ellipse inscribed in the box
  blob,     ///< an irregular outline drawn from the request's seed, inscribed in the box
  mask      ///< `mask` itself
};
std::string shape_name(Shape shape);
Shape shape_from_name(const std::string& name);  ///< throws UsageError with the known names

/// One lesion. Lengths are fractions of the image's side, so that a request means the same at every resolution.
struct Region {
  std::string condition;
  Shape shape = Shape::blob;
  double x = 0.5, y = 0.5;  ///< centre of the box, from the left upper corner
  double w = 0.4, h = 0.4;  ///< box sides
  image::Mask mask;         ///< Shape::mask only: whole image, any square size
  double size() const { return w > h ? w : h; }
};

struct Request {
  std::vector<Region> regions;  ///< at least one
  image::Lab skin;              ///< wanted skin colour
  std::string skin_text;        ///< as it was asked for ("ita:25"), for the record
  bool extrapolated = false;    ///< the skin colour lies outside what the model has seen
  uint64_t seed = 0;
  std::vector<double> directions;  ///< strengths along the model's latent directions, in its own deviations; those that
                                   ///< are left out are 0

  const std::string& condition() const { return regions.front().condition; }
};

/// @throws UsageError: no region, unknown condition (nearest known one offered), size outside (0, 1], a box that leaves
/// the
///         image (its numbers and how far it may go are named), non-finite numbers, a mask that is empty or not square.
void validate(const Request& request, const std::vector<std::string>& conditions);

/// Without mask pixels; masks are written as run lengths under "mask_rle" ([size, run of 0, run of 255, ...]).
nlohmann::json to_json(const Request& request);
Request request_from_json(const nlohmann::json& json);

}  // namespace derm::data
