#include "derm/skin/artefacts.h"

#include <algorithm>
#include <cmath>

#include "derm/base/error.h"
#include "derm/image/mask.h"
#include "derm/skin/planes.h"

namespace derm::skin {
namespace {

using image::Mask;

constexpr int kLongest = 256;  ///< hair of a photograph of this size is still a pixel wide

Mask mask_like(const Planes& p) { return Mask(p.width, p.height, 1); }

void unite(Mask& into, const Mask& other) {
  for (size_t i = 0; i < into.pixels.size(); ++i) into.pixels[i] |= other.pixels[i];
}

Mask grown(const Mask& mask, double radius) {
  if (image::mask_area(mask) == 0) return mask;
  const auto away = rough_distance(mask.pixels, mask.width, mask.height);
  Mask result = mask;
  for (size_t i = 0; i < away.size(); ++i) result.pixels[i] = away[i] <= radius ? 255 : 0;
  return result;
}

Mask shrunk(const Mask& mask, double radius) {
  Mask inverse = mask;
  for (uint8_t& v : inverse.pixels) v = static_cast<uint8_t>(255 - v);
  inverse = grown(inverse, radius);
  for (uint8_t& v : inverse.pixels) v = static_cast<uint8_t>(255 - v);
  return inverse;
}

/// The usual colour of the brighter part, which skin nearly always is: lesions, hair and frames are darker.
image::Lab bright_reference(const Planes& p) {
  // One pixel in five settles a median, at a fifth of its cost.
  const size_t step = p.size() > 20000 ? 5 : 1;
  std::vector<float> lit;
  for (size_t i = 0; i < p.size(); i += step) {
    if (p.L[i] > 15) lit.push_back(p.L[i]);
  }
  if (lit.size() < p.size() / step / 20 + 1) lit = p.L;
  const double low = percentile_of(lit, 0.35), high = percentile_of(lit, 0.95);
  std::vector<float> l, a, b;
  for (size_t i = 0; i < p.size(); i += step) {
    if (p.L[i] < low || p.L[i] > high) continue;
    l.push_back(p.L[i]);
    a.push_back(p.a[i]);
    b.push_back(p.b[i]);
  }
  return {median_of(std::move(l)), median_of(std::move(a)), median_of(std::move(b))};
}

/// Smallest (or largest) value along a line of 2 r + 1 steps through each pixel; the line ends at the picture's edge.
std::vector<uint8_t> along(const std::vector<uint8_t>& plane, int w, int h, int dx, int dy, int r, bool largest) {
  std::vector<uint8_t> result = plane;
  for (int k = -r; k <= r; ++k) {
    if (k == 0) continue;
    const int sx = k * dx, sy = k * dy;
    const int x0 = std::max(0, -sx), x1 = std::min(w, w - sx);
    for (int y = std::max(0, -sy); y < std::min(h, h - sy); ++y) {
      const uint8_t* from = plane.data() + static_cast<size_t>(y + sy) * w + sx;
      uint8_t* to = result.data() + static_cast<size_t>(y) * w;
      if (largest) {
        for (int x = x0; x < x1; ++x) to[x] = std::max(to[x], from[x]);
      } else {
        for (int x = x0; x < x1; ++x) to[x] = std::min(to[x], from[x]);
      }
    }
  }
  return result;
}

/// How far each pixel lies below (dark) or above (light) what a line through it would close or open: thin things
/// answer.
std::vector<uint8_t> hat(const std::vector<uint8_t>& light, int w, int h, int r, bool dark) {
  constexpr int kDirections[4][2] = {{1, 0}, {0, 1}, {1, 1}, {1, -1}};
  std::vector<uint8_t> result(light.size(), 0);
  for (const auto& d : kDirections) {
    // A diagonal step is longer, so fewer of them.
    const int steps = d[0] != 0 && d[1] != 0 ? std::max(1, static_cast<int>(std::lround(r / std::sqrt(2.0)))) : r;
    const auto filled = along(along(light, w, h, d[0], d[1], steps, dark), w, h, d[0], d[1], steps, !dark);
    for (size_t i = 0; i < light.size(); ++i) {
      const int depth = dark ? filled[i] - light[i] : light[i] - filled[i];
      result[i] = static_cast<uint8_t>(std::max<int>(result[i], depth));
    }
  }
  return result;
}

struct Axis {
  double length = 0, width = 0;  ///< four standard deviations along and across
};

std::vector<Axis> principal_axes(const image::Components& parts, int w) {
  std::vector<double> xx(parts.items.size()), yy(parts.items.size()), xy(parts.items.size());
  for (size_t i = 0; i < parts.labels.size(); ++i) {
    const int label = parts.labels[i];
    if (label == 0) continue;
    const auto& item = parts.items[label - 1];
    const double dx = static_cast<double>(i % w) - item.cx, dy = static_cast<double>(i / w) - item.cy;
    xx[label - 1] += dx * dx;
    yy[label - 1] += dy * dy;
    xy[label - 1] += dx * dy;
  }
  std::vector<Axis> axes;
  for (size_t k = 0; k < parts.items.size(); ++k) {
    const double n = static_cast<double>(parts.items[k].area);
    const double mean = (xx[k] + yy[k]) / (2 * n), half = std::hypot((xx[k] - yy[k]) / (2 * n), xy[k] / n);
    axes.push_back({4 * std::sqrt(std::max(0.0, mean + half)), 4 * std::sqrt(std::max(0.0, mean - half))});
  }
  return axes;
}

/// Thin things: dark and light lines, told apart into hair (bent) and ruler (long and straight).
void find_lines(const Planes& p, const Mask& border, Artefacts& found) {
  const int w = p.width, h = p.height;
  const double side = std::max(w, h);
  std::vector<uint8_t> light(p.size());
  for (size_t i = 0; i < light.size(); ++i)
    light[i] = static_cast<uint8_t>(std::clamp(p.L[i] * 2.55f + 0.5f, 0.0f, 255.0f));
  const int r = std::max(2, static_cast<int>(std::lround(side * 4.5 / 256)));
  for (const bool dark : {true, false}) {
    const auto depth = hat(light, w, h, r, dark);
    std::vector<float> sample;
    for (size_t i = 0; i < depth.size(); i += 7) sample.push_back(depth[i]);
    // Skin has texture of its own: a line must stand out from what is usual in this picture.
    const double usual = median_of(std::move(sample));
    const double limit = dark ? std::max(16.0, 3.0 * usual) : std::max(28.0, 4.0 * usual);
    Mask lines = mask_like(p);
    for (size_t i = 0; i < depth.size(); ++i) lines.pixels[i] = depth[i] > limit && border.pixels[i] == 0 ? 255 : 0;
    const auto parts = image::connected_components(lines);
    const auto axes = principal_axes(parts, w);
    std::vector<uint8_t> kind(parts.items.size() + 1, 0);  // 1 hair, 2 ruler
    for (size_t k = 0; k < parts.items.size(); ++k) {
      const auto& item = parts.items[k];
      const double diagonal = std::hypot(item.box.w, item.box.h);
      if (diagonal < 0.06 * side || diagonal * diagonal < 6.0 * static_cast<double>(item.area)) continue;
      const bool straight = axes[k].length > 0.22 * side &&
                            axes[k].width<0.14 * axes[k].length&& static_cast<double>(item.area)> 2.2 * axes[k].length;
      kind[k + 1] = dark && straight ? 2 : 1;
    }
    for (size_t i = 0; i < lines.pixels.size(); ++i) {
      const uint8_t what = kind[parts.labels[i]];
      if (what == 1) found.hair.pixels[i] = 255;
      if (what == 2) found.ruler.pixels[i] = 255;
    }
  }
  const double grow = side / 256;
  found.hair = grown(found.hair, grow);
  found.ruler = grown(found.ruler, 2 * grow);
}

/// Dark corners and frames: what is dark, reaches a corner and leaves the middle alone.
Mask find_border(const Planes& p, const image::Lab& skin) {
  const int w = p.width, h = p.height;
  const double side = std::max(w, h), half = std::min(w, h) / 2.0;
  const double limit = std::max(10.0, std::min(30.0, 0.45 * skin.L));
  Mask dark = mask_like(p);
  for (size_t i = 0; i < p.size(); ++i) dark.pixels[i] = p.L[i] < limit ? 255 : 0;
  dark = grown(shrunk(dark, 1), 1);
  const auto parts = image::connected_components(dark);
  std::vector<size_t> corner(parts.items.size() + 1), middle(parts.items.size() + 1);
  const int reach = std::max(2, static_cast<int>(0.03 * side));
  for (int y = 0; y < h; ++y) {
    for (int x = 0; x < w; ++x) {
      const int label = parts.labels[static_cast<size_t>(y) * w + x];
      if (label == 0) continue;
      if (std::min(x, w - 1 - x) < reach && std::min(y, h - 1 - y) < reach) ++corner[label];
      if (std::hypot(x + 0.5 - w / 2.0, y + 0.5 - h / 2.0) < 0.45 * half) ++middle[label];
    }
  }
  Mask core = mask_like(p);
  for (size_t i = 0; i < p.size(); ++i) {
    const int label = parts.labels[i];
    if (label > 0 && corner[label] > 0 && static_cast<double>(middle[label]) < 0.03 * half * half) core.pixels[i] = 255;
  }
  if (image::mask_area(core) == 0) return core;
  // The fall-off beside it is dimmed skin: left out as far as it is clearly darker.
  const auto near = rough_distance(core.pixels, w, h);
  Mask result = core;
  for (size_t i = 0; i < p.size(); ++i) {
    if (near[i] <= 0.025 * side || (near[i] <= 0.08 * side && p.L[i] < 0.72 * skin.L)) result.pixels[i] = 255;
  }
  return result;
}

bool touches_edge(const image::Component& c, int w, int h) {
  return c.box.x <= 0 || c.box.y <= 0 || c.box.x + c.box.w >= w || c.box.y + c.box.h >= h;
}

/// Pen that has nearly worn off: strokes that are bluer and darker than the skin beside them.
Mask faint_strokes(const Planes& p, const image::Lab& skin, const Mask& border) {
  const int w = p.width, h = p.height;
  const double side = std::max(w, h);
  // A line must lie below both its sides: the rim of a lesion lies below one.
  const auto fine_l = box_blur(p.L, w, h, 1), fine_b = box_blur(p.b, w, h, 1);
  std::vector<uint8_t> light(p.size()), yellow(p.size());
  for (size_t i = 0; i < p.size(); ++i) {
    light[i] = static_cast<uint8_t>(std::clamp(2.5f * fine_l[i], 0.0f, 255.0f));
    yellow[i] = static_cast<uint8_t>(std::clamp(4 * (fine_b[i] + 20), 0.0f, 255.0f));
  }
  const int r = std::max(2, static_cast<int>(std::lround(side * 8 / 256)));
  const auto less_light = hat(light, w, h, r, true), less_yellow = hat(yellow, w, h, r, true);
  Mask bluer = mask_like(p);
  for (size_t i = 0; i < p.size(); ++i) {
    if (border.pixels[i] == 0 && less_yellow[i] > 16 && less_light[i] > 5 && fine_b[i] < 0.6 * skin.b)
      bluer.pixels[i] = 255;
  }
  const auto parts = image::connected_components(bluer);
  // Thickness: a stroke has no point far from its outside.
  Mask outside = bluer;
  for (uint8_t& v : outside.pixels) v = static_cast<uint8_t>(255 - v);
  const auto depth = rough_distance(outside.pixels, w, h);
  std::vector<float> thick(parts.items.size() + 1);
  for (size_t i = 0; i < p.size(); ++i) thick[parts.labels[i]] = std::max(thick[parts.labels[i]], depth[i]);
  std::vector<uint8_t> keep(parts.items.size() + 1, 0);
  for (size_t k = 0; k < parts.items.size(); ++k) {
    const auto& item = parts.items[k];
    const double diagonal = std::hypot(item.box.w, item.box.h);
    keep[k + 1] = diagonal > 0.1 * side && diagonal * diagonal > 7.0 * static_cast<double>(item.area) &&
                  thick[k + 1] < 0.035 * side;
  }
  for (size_t i = 0; i < p.size(); ++i) bluer.pixels[i] = keep[parts.labels[i]] ? 255 : 0;
  return bluer;
}

/// Colours that skin and lesions do not have: pen, stickers, cloth.
Mask find_ink(const Planes& p, const image::Lab& skin, const Mask& border) {
  const int w = p.width, h = p.height;
  const double side = std::max(w, h);
  const double skin_chroma = std::hypot(skin.a, skin.b);
  Mask odd = mask_like(p);
  for (size_t i = 0; i < p.size(); ++i) {
    if (border.pixels[i] != 0 || p.L[i] < 8) continue;
    const double a = p.a[i], b = p.b[i], chroma = std::hypot(a, b);
    const bool blue = b < -3 && chroma > 8 && b < skin.b - 11;
    const bool violet = b < 4 && a > 5 && b < skin.b - 12 && b < 0.35 * skin.b && p.L[i] < skin.L;
    const bool green = a < -7 && chroma > 11 && a < skin.a - 14;
    const bool loud = chroma > skin_chroma + 32 && chroma > 55;
    if (blue || violet || green || loud) odd.pixels[i] = 255;
  }
  const auto parts = image::connected_components(odd);
  std::vector<uint8_t> keep(parts.items.size() + 1, 0);
  for (size_t k = 0; k < parts.items.size(); ++k) {
    const auto& item = parts.items[k];
    const double share = static_cast<double>(item.area) / (item.box.w * item.box.h);
    const double away = std::hypot(item.cx - w / 2.0, item.cy - h / 2.0) / side;
    // A full patch in the middle is a blue or blue-black lesion; a ring or stroke there is a pen's.
    const bool central_patch = away < 0.28 && share > 0.4;
    const bool speck = static_cast<double>(item.area) < 0.0002 * side * side;
    keep[k + 1] = !speck && (!central_patch || (touches_edge(item, w, h) && away > 0.2)) ? 1 : 0;
  }
  for (size_t i = 0; i < odd.pixels.size(); ++i) odd.pixels[i] = keep[parts.labels[i]] ? 255 : 0;
  unite(odd, faint_strokes(p, skin, border));
  return grown(odd, side * 2.5 / 256);
}

/// Specular highlights: brighter and greyer than what is round them.
Mask find_reflections(const Planes& p, const image::Lab& skin) {
  const int w = p.width, h = p.height;
  const double side = std::max(w, h);
  const auto soft_l = box_blur(p.L, w, h, static_cast<int>(std::lround(side * 0.037)));
  std::vector<float> chroma(p.size());
  for (size_t i = 0; i < p.size(); ++i) chroma[i] = std::hypot(p.a[i], p.b[i]);
  const auto soft_c = box_blur(chroma, w, h, static_cast<int>(std::lround(side * 0.037)));
  Mask result = mask_like(p);
  for (size_t i = 0; i < p.size(); ++i) {
    const bool glint = p.L[i] > skin.L + 4 && p.L[i] - soft_l[i] > 9 && chroma[i] < 0.8f * soft_c[i] + 1;
    const bool blown = p.L[i] > 97.5f && chroma[i] < 4 && skin.L < 92;
    if (glint || blown) result.pixels[i] = 255;
  }
  return grown(result, side / 256);
}

/// A ruler on white or clear plastic: a bright, colourless piece that reaches the edge and carries dark ticks.
void add_white_rulers(const Planes& p, const image::Lab& skin, const Mask& border, Mask& ruler) {
  const int w = p.width, h = p.height;
  const double side = std::max(w, h), skin_chroma = std::hypot(skin.a, skin.b);
  if (skin_chroma < 8) return;  // on colourless skin, colourless plastic cannot be told
  Mask white = mask_like(p);
  for (size_t i = 0; i < p.size(); ++i) {
    const double chroma = std::hypot(p.a[i], p.b[i]);
    if (border.pixels[i] == 0 && p.L[i] > skin.L + 3 && chroma < 0.4 * skin_chroma) white.pixels[i] = 255;
  }
  // Close over the ticks, then ask how many of them there are.
  const Mask closed = shrunk(grown(white, 0.02 * side), 0.02 * side);
  const auto parts = image::connected_components(closed);
  std::vector<size_t> ticks(parts.items.size() + 1);
  for (size_t i = 0; i < p.size(); ++i) {
    if (parts.labels[i] != 0 && p.L[i] < 0.6 * skin.L) ++ticks[parts.labels[i]];
  }
  std::vector<uint8_t> keep(parts.items.size() + 1, 0);
  for (size_t k = 0; k < parts.items.size(); ++k) {
    const auto& item = parts.items[k];
    keep[k + 1] = static_cast<double>(item.area) > 0.01 * side * side && touches_edge(item, w, h) &&
                  static_cast<double>(ticks[k + 1]) > 0.03 * static_cast<double>(item.area);
  }
  Mask kept = mask_like(p);
  for (size_t i = 0; i < p.size(); ++i) kept.pixels[i] = keep[parts.labels[i]] ? 255 : 0;
  unite(ruler, grown(kept, 0.015 * side));
}

}  // namespace

Mask Artefacts::any() const {
  Mask result = hair;
  for (const Mask* other : {&ink, &ruler, &border, &reflection}) unite(result, *other);
  return result;
}

Artefacts find_artefacts(const image::Image& rgb) {
  if (rgb.width < 32 || rgb.height < 32) {
    throw UsageError("find_artefacts: the picture is {}x{} px, it needs 32x32 at least; give a larger one", rgb.width,
                     rgb.height);
  }
  const Planes p = lab_planes(reduced(rgb, kLongest));
  Artefacts found;
  found.hair = found.ruler = found.ink = mask_like(p);
  const image::Lab skin = bright_reference(p);
  found.border = find_border(p, skin);
  found.ink = find_ink(p, skin, found.border);
  found.reflection = find_reflections(p, skin);
  find_lines(p, found.border, found);
  add_white_rulers(p, skin, found.border, found.ruler);
  for (Mask* mask : {&found.hair, &found.ink, &found.ruler, &found.border, &found.reflection}) {
    *mask = resized_mask(*mask, rgb.width, rgb.height);
  }
  return found;
}

}  // namespace derm::skin
