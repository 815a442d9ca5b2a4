#include "derm/skin/lesion.h"

#include <algorithm>
#include <cmath>

#include "derm/base/error.h"
#include "derm/image/mask.h"
#include "derm/skin/candidates.h"

namespace derm::skin {
namespace {

/// A smooth plane read between its pixels and cut at one half.
image::Mask cut(const Candidate& c, int width, int height) {
  image::Mask mask(width, height, 1);
  const auto place = [](int i, int from, int to, int& first, float& part) {
    const float at = std::clamp((i + 0.5f) * from / to - 0.5f, 0.0f, static_cast<float>(from - 1));
    first = std::min(static_cast<int>(at), std::max(0, from - 2));
    part = at - static_cast<float>(first);
  };
  const int step_x = c.width > 1 ? 1 : 0, step_y = c.height > 1 ? c.width : 0;
  for (int y = 0; y < height; ++y) {
    int y0;
    float fy;
    place(y, c.height, height, y0, fy);
    for (int x = 0; x < width; ++x) {
      int x0;
      float fx;
      place(x, c.width, width, x0, fx);
      const float* p = c.soft.data() + static_cast<size_t>(y0) * c.width + x0;
      const float top = p[0] + fx * (p[step_x] - p[0]), low = p[step_y] + fx * (p[step_y + step_x] - p[step_y]);
      if (top + fy * (low - top) >= 0.5f) *mask.at(x, y) = 255;
    }
  }
  return mask;
}

}  // namespace

Lesion find_lesion(const image::Image& rgb) { return find_lesion(rgb, find_artefacts(rgb)); }

Lesion find_lesion(const image::Image& rgb, const Artefacts& artefacts) {
  if (rgb.width < 32 || rgb.height < 32) {
    throw UsageError("find_lesion: the picture is {}x{} px, it needs 32x32 at least; give a larger one", rgb.width,
                     rgb.height);
  }
  Lesion lesion;
  lesion.mask = image::Mask(rgb.width, rgb.height, 1);
  const auto candidates = lesion_candidates(rgb, artefacts);
  const Candidate* best = nullptr;
  double most = 0;
  for (const Candidate& c : candidates) {
    const double value = preference(c.features);
    if (best != nullptr && value <= most) continue;
    best = &c;
    most = value;
  }
  if (best == nullptr) return lesion;
  // Under 0.4 nothing is found that counts, at 0.95 a person would hardly draw it otherwise.
  lesion.quality = std::clamp((expected_overlap(best->features) - 0.4) / 0.55, 0.0, 1.0);
  lesion.mask = cut(*best, rgb.width, rgb.height);
  // Reading between pixels may cut a thread: keep the one region.
  const auto parts = image::connected_components(lesion.mask);
  for (size_t i = 0; i < lesion.mask.pixels.size(); ++i) {
    if (parts.labels[i] > 1) lesion.mask.pixels[i] = 0;
  }
  lesion.box = image::mask_box(lesion.mask);
  if (lesion.box.w <= 0) lesion.quality = 0;
  return lesion;
}

}  // namespace derm::skin
