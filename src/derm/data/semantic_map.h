#pragma once
// What the generator is told, as planes.
#include <string>
#include <vector>

#include "derm/data/request.h"

namespace derm::data {

enum class Encoding {
  planes,  ///< one plane a condition, filled inside its regions; the union of the regions; skin L, a, b as constant
           ///< planes
  rgb      ///< the paper's: ground in the skin colour, regions in a colour that stands for the condition; in [-1, 1]
};
std::string encoding_name(Encoding encoding);
Encoding encoding_from_name(const std::string& name);

struct MapSpec {
  Encoding encoding = Encoding::planes;
  std::vector<std::string> conditions;
  int size_px = 256;
  double edge = 0.012;  ///< softness of the outline: the half width of its ramp, over the side; 0 is a hard edge

  int channels() const { return encoding == Encoding::rgb ? 3 : static_cast<int>(conditions.size()) + 4; }
};

/// Coverage of a region on a size x size raster, 0 to 1, with an edge ramp of half width `edge` (over the side).
std::vector<float> rasterise(const Region& region, int size_px, double edge, uint64_t seed);

/// The map, channels() x size x size, planar. Planes encoding: [conditions..., region, (L - 50)/50, a/50, b/50].
/// The region planes are coverages in [0, 1].
std::vector<float> encode_map(const Request& request, const MapSpec& spec);

/// Union of the regions as a mask (coverage >= 0.5).
image::Mask region_mask(const Request& request, int size_px);

/// The map as a picture for people (the rgb encoding, whatever the model uses).
image::Image map_picture(const Request& request, const std::vector<std::string>& conditions, int size_px);

}  // namespace derm::data
