#include "derm/skin/skin_colour.h"

#include <algorithm>
#include <cmath>

#include "derm/base/error.h"
#include "derm/image/mask.h"
#include "derm/skin/lesion.h"
#include "derm/skin/planes.h"

namespace derm::skin {
namespace {

/// Centre of a set of colours that ignores its outskirts: the mean of what lies within 2.5 deviations of the median.
image::Lab robust_centre(const Planes& p, const std::vector<size_t>& where) {
  const std::vector<float>* planes[3] = {&p.L, &p.a, &p.b};
  double centre[3], spread[3];
  for (int c = 0; c < 3; ++c) {
    std::vector<float> values;
    values.reserve(where.size());
    for (size_t i : where) values.push_back((*planes[c])[i]);
    centre[c] = median_of(values);
    for (float& v : values) v = std::abs(v - static_cast<float>(centre[c]));
    spread[c] = std::max(1.0, 1.4826 * median_of(std::move(values)));
  }
  double sum[3] = {}, n = 0;
  for (size_t i : where) {
    bool usual = true;
    for (int c = 0; c < 3; ++c) usual &= std::abs((*planes[c])[i] - centre[c]) <= 2.5 * spread[c];
    if (!usual) continue;
    for (int c = 0; c < 3; ++c) sum[c] += (*planes[c])[i];
    ++n;
  }
  if (n == 0) return {centre[0], centre[1], centre[2]};
  return {sum[0] / n, sum[1] / n, sum[2] / n};
}

}  // namespace

SkinColour measure_skin(const image::Image& rgb, const image::Mask& lesion) {
  return measure_skin(rgb, lesion, find_artefacts(rgb));
}

SkinColour measure_skin(const image::Image& rgb, const image::Mask& lesion, const Artefacts& artefacts) {
  if (!lesion.empty() && (lesion.width != rgb.width || lesion.height != rgb.height)) {
    throw UsageError(
        "measure_skin: the lesion's mask is {}x{} px, the picture {}x{}; give a mask of the picture's size",
        lesion.width, lesion.height, rgb.width, rgb.height);
  }
  const image::Mask found = lesion.empty() ? find_lesion(rgb, artefacts).mask : lesion;
  // 256 px hold colour enough, and the margins below are shares of the side.
  const Planes p = lab_planes(reduced(rgb, 256));
  const image::Mask spot = resized_mask(found, p.width, p.height);
  const image::Mask odd = resized_mask(artefacts.any(), p.width, p.height);
  const double side = std::max(p.width, p.height);
  // The rim of a lesion is reddened or shaded skin: stay clear of it, less so where little else is left.
  const bool any_spot = image::mask_area(spot) > 0;
  const auto away = any_spot ? rough_distance(spot.pixels, p.width, p.height) : std::vector<float>(p.size(), 1e9f);
  std::vector<size_t> where;
  for (const double margin : {0.06 * side, 0.03 * side, 0.01 * side, 0.0}) {
    where.clear();
    for (size_t i = 0; i < p.size(); ++i) {
      if (away[i] > margin && odd.pixels[i] == 0) where.push_back(i);
    }
    if (static_cast<double>(where.size()) >= 0.05 * static_cast<double>(p.size())) break;
  }
  SkinColour skin;
  skin.share = static_cast<double>(where.size()) / static_cast<double>(p.size());
  if (where.size() < 16) {
    // Nothing but lesion and artefacts: the figure rests on the whole picture, and `share` says so.
    where.resize(p.size());
    for (size_t i = 0; i < p.size(); ++i) where[i] = i;
  }
  skin.lab = robust_centre(p, where);
  skin.rgb = image::rgb_of(skin.lab);
  skin.ita_deg = image::ita_degrees(skin.lab);
  skin.tone = image::tone_of(skin.ita_deg);
  return skin;
}

}  // namespace derm::skin
