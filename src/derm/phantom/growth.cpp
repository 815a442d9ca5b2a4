#include "derm/phantom/growth.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "derm/image/mask.h"
#include "derm/phantom/texture.h"

namespace derm::phantom {

namespace {

constexpr int kSide = 68, kDepth = 11;
constexpr int kTop = 2, kSurface = 4,
              kBottom = 9;  // layers 2 and 3 lie above the skin; the rest is wall
constexpr int kRim = 4;     // wall round the grid, and where growth ends
constexpr int kTired = 14;  // steps after which a cell reaches out no more
constexpr double kSurge = 0.001;
constexpr int kSurgeLevels = 3;
constexpr int kMoves = 32;

class Automaton {
 public:
  Automaton(const GrowthRules& rules, Rng& rng) : rules_(rules), rng_(rng), cells_(kSide * kSide * kDepth, 1) {
    // Wall on all sides, so that no move needs to ask where the grid ends.
    for (int y = kRim; y < kSide - kRim; ++y)
      for (int x = kRim; x < kSide - kRim; ++x)
        for (int z = kTop; z < kBottom; ++z) cells_[static_cast<size_t>(index(x, y, z))] = 0;
    arrival_.assign(kSide * kSide, static_cast<float>(rules.steps));
    willing_.assign(kSide * kSide, 1.0f);
    if (rules.patchiness > 0) {
      Plane patches(kSide);
      add_noise(patches, kSide / rules.patch_cells, rules.patchiness, rng);
      for (size_t i = 0; i < willing_.size(); ++i) willing_[i] = std::exp(patches[i]);
    }
    // Directions along the long extent are likelier, those across less likely.
    const double lean = (1 - rules.aspect) / (1 + rules.aspect);
    size_t n = 0;
    const auto add = [&](int dx, int dy, int dz) {
      double chance = dz > 0 ? rules.inward / 12 : dz < 0 ? rules.outward : rules.spread / 3;
      if (dz == 0) chance *= (1 + 1.6 * lean * std::cos(2 * (std::atan2(dy, dx) - rules.angle))) / (dx * dx + dy * dy);
      chances_[n] = std::max(chance, 0.0);
      offsets_[n] = index(dx, dy, dz);
      flat_[n] = dy * kSide + dx;
      inward_[n] = dz >= 0;
      ++n;
    };
    for (int dz = -1; dz <= 1; ++dz)
      for (int dy = -1; dy <= 1; ++dy)
        for (int dx = -1; dx <= 1; ++dx)
          if (dx != 0 || dy != 0 || dz != 0) add(dx, dy, dz);
    for (const int two : {-2, 2}) {
      add(two, 0, 0);
      add(0, two, 0);
      add(0, 0, two);
    }
    for (int dz = 0; dz < 2; ++dz)
      for (int dy = -2; dy <= 2; ++dy)
        for (int dx = -2; dx <= 2; ++dx)
          if (dx * dx + dy * dy <= 4)
            take(index(kSide / 2 + dx, kSide / 2 + dy, kSurface + dz), (kSide / 2 + dy) * kSide + kSide / 2 + dx);
  }

  int run() {
    for (step_ = 1; step_ <= rules_.steps && !at_rim_; ++step_) {
      const double mood = std::clamp(1 + 0.3 * rng_.normal(), 0.1, 2.0);
      for (size_t m = 0; m < kMoves; ++m) limits_[m] = static_cast<float>(chances_[m] * mood * 65536);
      const size_t count = active_.size();
      size_t kept = 0;
      for (size_t i = 0; i < count; ++i) {
        const Cell cell = active_[i];
        const bool open = reach_out(cell, 0);
        if (open && step_ - cell.born < kTired) active_[kept++] = cell;
      }
      active_.erase(active_.begin() + static_cast<ptrdiff_t>(kept), active_.begin() + static_cast<ptrdiff_t>(count));
    }
    return step_ - 1;
  }

  bool grown(int x, int y, int z) const { return cells_[static_cast<size_t>(index(x, y, z))] == 2; }
  const std::vector<float>& arrival() const { return arrival_; }

 private:
  struct Cell {
    int at, column, born;
  };
  static int index(int x, int y, int z) { return (y * kSide + x) * kDepth + z; }

  void take(int at, int column) {
    cells_[static_cast<size_t>(at)] = 2;
    float& arrival = arrival_[static_cast<size_t>(column)];
    arrival = std::min(arrival, static_cast<float>(step_));
    const int x = column % kSide, y = column / kSide;
    if (x <= kRim || y <= kRim || x >= kSide - 1 - kRim || y >= kSide - 1 - kRim) at_rim_ = true;
    active_.push_back({at, column, step_});
  }

  // Returns whether a neighbour in the plane or below was free before.
  bool reach_out(const Cell cell, int level) {
    bool open = false;
    const uint8_t* here = cells_.data() + cell.at;
    for (size_t m = 0; m < kMoves; ++m) {
      if (here[offsets_[m]] != 0) continue;
      open |= inward_[m];
      const int column = cell.column + flat_[m];
      if (draw() >= limits_[m] * willing_[static_cast<size_t>(column)]) continue;
      take(cell.at + offsets_[m], column);
      if (level < kSurgeLevels && draw() < static_cast<float>(kSurge * 65536)) {
        const Cell next = active_.back();
        for (int again = 0; again < 6; ++again) reach_out(next, level + 1);
      }
    }
    return open;
  }

  // Sixteen bits of a draw at a time.
  float draw() {
    if (left_ == 0) {
      bits_ = rng_.next();
      left_ = 4;
    }
    const float value = static_cast<float>(static_cast<int>(bits_ & 0xFFFF));
    bits_ >>= 16;
    --left_;
    return value;
  }

  const GrowthRules& rules_;
  Rng& rng_;
  std::vector<uint8_t> cells_;  // 0 free, 1 wall, 2 grown
  std::vector<float> arrival_, willing_;
  std::array<double, kMoves> chances_{};
  std::array<float, kMoves> limits_{};
  std::array<int, kMoves> offsets_{}, flat_{};
  std::array<bool, kMoves> inward_{};
  std::vector<Cell> active_;
  uint64_t bits_ = 0;
  int left_ = 0, step_ = 0;
  bool at_rim_ = false;
};

}  // namespace

Growth grow(const GrowthRules& rules, Rng& rng) {
  Automaton automaton(rules, rng);
  Growth out;
  out.side = kSide;
  out.steps = automaton.run();
  constexpr size_t kColumns = static_cast<size_t>(kSide) * kSide;
  image::Mask mask(kSide, kSide, 1);
  out.depth.assign(kColumns, 0);
  out.raised.assign(kColumns, 0);
  for (int y = 0; y < kSide; ++y)
    for (int x = 0; x < kSide; ++x) {
      const size_t i = static_cast<size_t>(y * kSide + x);
      for (int z = 0; z < kDepth; ++z)
        if (automaton.grown(x, y, z)) (z < kSurface ? out.raised : out.depth)[i] += 1;
      if (out.depth[i] + out.raised[i] > 0) mask.pixels[i] = 255;
    }
  // Islands of skin that growth went round belong to the lesion, and bits that a two-step move set apart do not.
  mask = image::fill_holes(mask);
  const image::Components parts = image::connected_components(mask);
  image::Mask outside(kSide, kSide, 1);
  out.x0 = out.y0 = kSide;
  for (size_t i = 0; i < kColumns; ++i) {
    const bool in = parts.labels[i] == parts.items.front().label;
    mask.pixels[i] = in ? 255 : 0;
    outside.pixels[i] = in ? 0 : 255;
    if (!in) continue;
    const int x = static_cast<int>(i) % kSide, y = static_cast<int>(i) / kSide;
    out.x0 = std::min(out.x0, x);
    out.x1 = std::max(out.x1, x);
    out.y0 = std::min(out.y0, y);
    out.y1 = std::max(out.y1, y);
  }
  const std::vector<float> to_outside = image::distance_to(outside), to_inside = image::distance_to(mask);
  out.inside.resize(kColumns);
  for (size_t i = 0; i < kColumns; ++i) out.inside[i] = mask.pixels[i] ? to_outside[i] - 0.5f : 0.5f - to_inside[i];
  if (rules.smoothing > 0) out.inside = image::gaussian_blur(out.inside, kSide, kSide, rules.smoothing);
  out.arrival = automaton.arrival();
  return out;
}

}  // namespace derm::phantom
