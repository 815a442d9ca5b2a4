#include "derm/loader/augment.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include "derm/base/error.h"
#include "derm/loader/colour_shift.h"

namespace derm::loader {
namespace {

/// Where the row or column of an output pixel comes from: two neighbours and the weight of the second.
struct Tap {
  int first = 0, second = 0;
  float weight = 0;
};

/// Taps along one source axis for the positions of one output axis.
std::vector<Tap> taps_of(int size, double start, double side, bool reversed) {
  std::vector<Tap> taps(static_cast<size_t>(size));
  for (int i = 0; i < size; ++i) {
    const int along = reversed ? size - 1 - i : i;
    Tap& tap = taps[static_cast<size_t>(i)];
    if (side >= 1) {  // exact, whatever the rounding
      tap = {along, along, 0.0f};
      continue;
    }
    const double position = std::clamp((start + side * (along + 0.5) / size) * size - 0.5, 0.0, size - 1.0);
    tap.first = static_cast<int>(position);
    tap.second = std::min(tap.first + 1, size - 1);
    tap.weight = static_cast<float>(position - tap.first);
  }
  return taps;
}

/// The whole geometry: output (row, column) reads source rows and columns through two lists of taps; where the turn is
/// odd, output rows run along source columns.
struct Sampling {
  bool swapped = false;
  std::vector<Tap> along_x,
      along_y;  ///< source column and source row taps, indexed by output column and row (or swapped)

  Sampling(int size, const Augmentation& a) {
    // One counter-clockwise turn: output (x, y) comes from (size - 1 - y, x). A further half turn reverses both axes.
    swapped = a.turns % 2 == 1;
    bool reverse_x = a.turns == 1 || a.turns == 2;  // of the mirrored picture
    const bool reverse_y = a.turns == 2 || a.turns == 3;
    if (a.flip) reverse_x = !reverse_x;
    along_x = taps_of(size, a.x, a.side, reverse_x);
    along_y = taps_of(size, a.y, a.side, reverse_y);
  }
};

}  // namespace

Augmentation Augmentation::draw(const AugmentOptions& options, Rng& rng) {
  Augmentation a;
  a.flip = rng.chance(0.5) && options.flip;
  a.turns = static_cast<int>(rng.integer(0, 3));
  if (!options.quarter_turns) a.turns = 0;
  a.side = 1 - options.crop * rng.uniform();
  a.x = (1 - a.side) * rng.uniform();
  a.y = (1 - a.side) * rng.uniform();
  a.colour.L = options.colour * rng.uniform(-8, 8);
  a.colour.a = options.colour * rng.uniform(-3, 3);
  a.colour.b = options.colour * rng.uniform(-3, 3);
  return a;
}

double kept_share(const data::Request& request, const Augmentation& a) {
  double least = 1;
  if (!a.crops()) return least;
  for (const data::Region& region : request.regions) {
    double share = 1;
    if (region.shape == data::Shape::mask) {
      const image::Mask& mask = region.mask;
      const double x0 = a.x * mask.width, x1 = (a.x + a.side) * mask.width;
      const double y0 = a.y * mask.height, y1 = (a.y + a.side) * mask.height;
      uint64_t all = 0, kept = 0;
      for (int y = 0; y < mask.height; ++y) {
        const uint8_t* row = mask.at(0, y);
        const bool inside = y + 0.5 >= y0 && y + 0.5 < y1;
        for (int x = 0; x < mask.width; ++x) {
          all += row[x];
          if (inside && x + 0.5 >= x0 && x + 0.5 < x1) kept += row[x];
        }
      }
      share = all == 0 ? 1 : static_cast<double>(kept) / static_cast<double>(all);
    } else {
      const auto overlap = [](double centre, double length, double start, double side) {
        const double low = std::max(centre - length / 2, start), high = std::min(centre + length / 2, start + side);
        return length > 0 ? std::max(0.0, high - low) / length : 1.0;
      };
      share = overlap(region.x, region.w, a.x, a.side) * overlap(region.y, region.h, a.y, a.side);
    }
    least = std::min(least, share);
  }
  return least;
}

image::Mask transformed_mask(const image::Mask& mask, const Augmentation& a) {
  const int size = mask.width;
  if (mask.empty() || mask.height != size || mask.channels != 1)
    throw UsageError(
        "augmentation: a mask of {} x {} pixels and {} channel(s); a square one with one channel is needed", mask.width,
        mask.height, mask.channels);
  const Sampling s(size, a);
  image::Mask out(size, size, 1);
  for (int y = 0; y < size; ++y) {
    uint8_t* to = out.at(0, y);
    for (int x = 0; x < size; ++x) {
      const Tap& tx = s.along_x[static_cast<size_t>(s.swapped ? y : x)];
      const Tap& ty = s.along_y[static_cast<size_t>(s.swapped ? x : y)];
      const uint8_t* upper = mask.at(0, ty.first);
      const uint8_t* lower = mask.at(0, ty.second);
      const float u =
          static_cast<float>(upper[tx.first]) + tx.weight * static_cast<float>(upper[tx.second] - upper[tx.first]);
      const float l =
          static_cast<float>(lower[tx.first]) + tx.weight * static_cast<float>(lower[tx.second] - lower[tx.first]);
      to[x] = static_cast<uint8_t>(u + ty.weight * (l - u) + 0.5f);
    }
  }
  return out;
}

data::Request transformed(const data::Request& request, const Augmentation& a) {
  data::Request out = request;
  for (data::Region& region : out.regions) {
    double x = (region.x - a.x) / a.side, y = (region.y - a.y) / a.side;
    region.w /= a.side;
    region.h /= a.side;
    if (a.flip) x = 1 - x;
    for (int i = 0; i < a.turns; ++i) {
      std::swap(x, y);  // counter-clockwise: right becomes up
      y = 1 - y;
      std::swap(region.w, region.h);
    }
    region.x = x;
    region.y = y;
    if (region.shape == data::Shape::mask) region.mask = transformed_mask(region.mask, a);
  }
  out.skin.L = std::clamp(out.skin.L + a.colour.L, 0.0, 100.0);
  out.skin.a += a.colour.a;
  out.skin.b += a.colour.b;
  return out;
}

void write_picture(const image::Image& picture, const Augmentation& a, float* planes) {
  const int size = picture.width;
  if (picture.empty() || picture.height != size || picture.channels != 3)
    throw UsageError("augmentation: a picture of {} x {} pixels and {} channel(s); a square one with three is needed",
                     picture.width, picture.height, picture.channels);
  const Sampling s(size, a);
  const size_t plane = static_cast<size_t>(size) * static_cast<size_t>(size);
  std::optional<ColourShift> shift;
  if (a.changes_colour()) shift.emplace(a.colour);
  for (int y = 0; y < size; ++y) {
    float* to = planes + static_cast<size_t>(y) * static_cast<size_t>(size);
    for (int x = 0; x < size; ++x, ++to) {
      const Tap& tx = s.along_x[static_cast<size_t>(s.swapped ? y : x)];
      const Tap& ty = s.along_y[static_cast<size_t>(s.swapped ? x : y)];
      const uint8_t* p00 = picture.at(tx.first, ty.first);
      const uint8_t* p01 = picture.at(tx.second, ty.first);
      const uint8_t* p10 = picture.at(tx.first, ty.second);
      const uint8_t* p11 = picture.at(tx.second, ty.second);
      float rgb[3];
      for (int c = 0; c < 3; ++c) {
        const float u = static_cast<float>(p00[c]) + tx.weight * static_cast<float>(p01[c] - p00[c]);
        const float l = static_cast<float>(p10[c]) + tx.weight * static_cast<float>(p11[c] - p10[c]);
        rgb[c] = u + ty.weight * (l - u);
      }
      if (shift) shift->apply(rgb);
      to[0] = rgb[0] / 127.5f - 1.0f;
      to[plane] = rgb[1] / 127.5f - 1.0f;
      to[2 * plane] = rgb[2] / 127.5f - 1.0f;
    }
  }
}

}  // namespace derm::loader
