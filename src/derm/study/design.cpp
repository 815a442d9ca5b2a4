#include "derm/study/design.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include <fmt/format.h>

#include "derm/base/error.h"
#include "derm/base/random.h"

namespace derm::study {
namespace {

constexpr int64_t kMostUnits = 5000;

using Cell = std::pair<std::string, std::string>;  // condition, tone

std::string cell_name(const Cell& cell) {
  if (cell.first.empty() && cell.second.empty()) return "all";
  if (cell.first.empty() || cell.second.empty()) return cell.first + cell.second;
  return cell.first + ", " + cell.second;
}

struct Sizes {
  int64_t units = 0, anchors = 0, per_block = 0, blocks = 0, blocks_per_reader = 0;
  int64_t in_all() const { return anchors + per_block * blocks; }
};

/// At least `units` for each reader: anchors, and the rest filled up to whole blocks.
Sizes sizes_for(int64_t units, const DesignOptions& o) {
  Sizes s;
  s.blocks = o.blocks;
  s.blocks_per_reader = o.blocks_per_reader;
  s.anchors = std::lround(o.anchor_share * static_cast<double>(units));
  if (o.anchor_share > 0) s.anchors = std::max<int64_t>(s.anchors, 1);
  const int64_t rest = std::max<int64_t>(units - s.anchors, 0);
  s.per_block = (rest + s.blocks_per_reader - 1) / s.blocks_per_reader;
  s.units = s.anchors + s.per_block * s.blocks_per_reader;
  return s;
}

/// The blocks that reader `r` sees.
std::vector<int64_t> blocks_of(int64_t r, const Sizes& s) {
  std::vector<int64_t> blocks;
  for (int64_t j = 0; j < s.blocks_per_reader; ++j) blocks.push_back((r + j) % s.blocks);
  return blocks;
}

Exposure exposure_of(const Sizes& s, int64_t readers, int64_t models) {
  std::vector<int64_t> seen(static_cast<size_t>(s.blocks), 0);
  for (int64_t r = 0; r < readers; ++r) {
    for (const int64_t b : blocks_of(r, s)) ++seen[static_cast<size_t>(b)];
  }
  Exposure e;
  e.readers = readers;
  e.synthetic.assign(static_cast<size_t>(s.anchors), readers);
  for (const int64_t m : seen) e.synthetic.insert(e.synthetic.end(), static_cast<size_t>(s.per_block), m);
  for (int64_t m = 0; m < models; ++m) e.real.insert(e.real.end(), e.synthetic.begin(), e.synthetic.end());
  return e;
}

/// Images of a pool by stratum, in the order in which they are taken: at random, new subjects first.
class Shelf {
 public:
  Shelf(const Pool& pool, const DesignOptions& o, uint64_t seed) : pool_(pool), taken_(pool.images.size(), false) {
    std::vector<size_t> order(pool.images.size());
    std::iota(order.begin(), order.end(), size_t{0});
    Rng rng(seed);
    rng.shuffle(order);
    order_ = order;
    for (const size_t i : order) {
      const PoolImage& image = pool.images[i];
      cells_[{o.by_condition ? image.condition : "", o.by_tone ? image.tone : ""}].push_back(i);
    }
  }
  const std::map<Cell, std::vector<size_t>>& cells() const { return cells_; }
  int64_t available(const Cell& cell) const {
    const auto it = cells_.find(cell);
    return it == cells_.end() ? 0 : static_cast<int64_t>(it->second.size());
  }
  size_t take(const Cell& cell) { return take_from(cells_.at(cell)); }
  size_t left() const { return static_cast<size_t>(std::count(taken_.begin(), taken_.end(), false)); }
  size_t take_any() { return take_from(order_); }

 private:
  size_t take_from(const std::vector<size_t>& candidates) {
    const size_t none = pool_.images.size();
    size_t chosen = none;
    for (const size_t i : candidates) {
      if (taken_[i]) continue;
      if (chosen == none) chosen = i;
      const std::string& subject = pool_.images[i].subject;
      if (subject.empty() || !subjects_.contains(subject)) {
        chosen = i;
        break;
      }
    }
    taken_[chosen] = true;
    subjects_.insert(pool_.images[chosen].subject);
    return chosen;
  }
  const Pool& pool_;
  std::vector<bool> taken_;
  std::vector<size_t> order_;
  std::map<Cell, std::vector<size_t>> cells_;
  std::set<std::string> subjects_;
};

/// Strata of `units` units, in an order that keeps every beginning of the list even: the condition with the fewest so
/// far, then its tone with the fewest; ties at random.
std::vector<Cell> fill_strata(const std::map<Cell, int64_t>& capacity, int64_t units, Rng& rng) {
  std::map<Cell, int64_t> used;
  std::map<std::string, int64_t> used_condition;
  std::vector<Cell> result;
  for (int64_t u = 0; u < units; ++u) {
    std::vector<Cell> best;
    std::pair<int64_t, int64_t> fewest{0, 0};
    for (const auto& [cell, most] : capacity) {
      if (used[cell] >= most) continue;
      const std::pair<int64_t, int64_t> key{used_condition[cell.first], used[cell]};
      if (best.empty() || key < fewest) {
        best.clear();
        fewest = key;
      }
      if (key == fewest) best.push_back(cell);
    }
    const Cell chosen = best[static_cast<size_t>(rng.integer(0, static_cast<int64_t>(best.size()) - 1))];
    ++used[chosen];
    ++used_condition[chosen.first];
    result.push_back(chosen);
  }
  return result;
}

/// Puts repeats into the order, each at least a third of the list behind its first showing. What is repeated is spread
/// over the pools.
std::vector<Showing> order_with_repeats(std::vector<size_t> items, int64_t repeats, const std::vector<Item>& all,
                                        Rng& rng) {
  rng.shuffle(items);
  std::vector<Showing> order;
  for (const size_t item : items) order.push_back({item, false});
  const size_t gap = std::max<size_t>(1, items.size() / 3);
  // Candidates stand early enough for the gap; real and each model in turn.
  std::map<size_t, std::vector<size_t>> by_pool;
  for (size_t i = 0; i + gap < items.size() + 1 && i < items.size() - items.size() / 3; ++i) {
    by_pool[all[items[i]].pool].push_back(items[i]);
  }
  std::vector<size_t> again;
  const size_t models = by_pool.size() > 1 ? by_pool.size() - 1 : 1;
  size_t turn = 0;
  while (again.size() < static_cast<size_t>(repeats)) {
    // Every second one real, as in the study itself.
    const bool real = turn % 2 == 0;
    const size_t wanted = real ? 0 : 1 + (turn / 2) % models;
    ++turn;
    auto it = by_pool.find(wanted);
    if (it == by_pool.end() || it->second.empty()) {
      it = std::max_element(by_pool.begin(), by_pool.end(),
                            [](const auto& a, const auto& b) { return a.second.size() < b.second.size(); });
    }
    again.push_back(it->second.back());
    it->second.pop_back();
  }
  rng.shuffle(again);
  for (const size_t item : again) {
    const auto first = std::find_if(order.begin(), order.end(), [&](const Showing& s) { return s.item == item; });
    const auto earliest = (first - order.begin()) + static_cast<int64_t>(gap);
    const int64_t position =
        rng.integer(std::min(earliest, static_cast<int64_t>(order.size())), static_cast<int64_t>(order.size()));
    order.insert(order.begin() + position, Showing{item, true});
  }
  return order;
}

}  // namespace

std::string kind_name(Kind kind) {
  switch (kind) {
    case Kind::practice: return "practice";
    case Kind::anchor: return "anchor";
    case Kind::block: return "block";
  }
  return "";
}

int64_t DesignOptions::readers() const {
  int64_t n = 0;
  for (const auto& group : groups) n += group.second;
  return n;
}

void DesignOptions::validate() const {
  std::set<std::string> names;
  for (const auto& [name, count] : groups) {
    if (name.empty()) throw UsageError("--readers: a group has no name; NAME=COUNT is expected");
    if (!names.insert(name).second) throw UsageError("--readers: the group \"{}\" is given twice", name);
    if (count < 1 || count > 500) throw UsageError("--readers {}={}: 1 to 500 readers are expected", name, count);
  }
  if (groups.empty()) throw UsageError("--readers: a study needs at least one reader");
  if (readers() > 500) throw UsageError("--readers: {} in all; 500 is the most", readers());
  if (images_per_reader < 0 || images_per_reader > 20000) {
    throw UsageError("--images {}: 0 (from the power calculation) to 20000 is expected", images_per_reader);
  }
  if (!(anchor_share >= 0 && anchor_share <= 1))
    throw UsageError("--anchors {}: a share, 0 to 1, is expected", anchor_share);
  if (blocks < 0 || blocks > 500) throw UsageError("--blocks {}: 0 (chosen) to 500 is expected", blocks);
  if (blocks_per_reader < 0)
    throw UsageError("--blocks-per-reader {}: 0 (chosen) or more is expected", blocks_per_reader);
  if (practice < 0 || practice > 100) throw UsageError("--practice {}: 0 to 100 is expected", practice);
  if (repeats < -1 || repeats > 10000) throw UsageError("--repeats {}: 0 to 10000 is expected", repeats);
  assumptions.validate();
}

Design make_design(const std::vector<Pool>& pools, const DesignOptions& given) {
  given.validate();
  if (pools.size() < 2) throw UsageError("a study needs real images and at least one model's (--synthetic NAME=SET)");
  DesignOptions o = given;
  const int64_t readers = o.readers(), models = static_cast<int64_t>(pools.size()) - 1;
  if (o.blocks == 0) o.blocks = o.anchor_share >= 1 ? 1 : std::clamp<int64_t>((readers + 1) / 2, 1, 12);
  if (o.blocks_per_reader == 0) o.blocks_per_reader = std::min<int64_t>(2, o.blocks);
  if (o.blocks_per_reader > o.blocks) {
    throw UsageError("--blocks-per-reader {}: there are only {} blocks", o.blocks_per_reader, o.blocks);
  }
  if (o.blocks > readers + o.blocks_per_reader - 1) {
    throw UsageError("--blocks {}: with {} readers of {} blocks each some would never be read; {} is the most",
                     o.blocks, readers, o.blocks_per_reader, readers + o.blocks_per_reader - 1);
  }

  // What the pools allow: a unit takes one image of each model and as many real ones of its stratum.
  std::vector<Shelf> shelves;
  shelves.reserve(pools.size());
  for (size_t p = 0; p < pools.size(); ++p) shelves.emplace_back(pools[p], o, mix_seed(o.seed, 1000 + p));
  std::map<Cell, int64_t> capacity;
  int64_t most = 0;
  for (const auto& [cell, images] : shelves[0].cells()) {
    int64_t c = static_cast<int64_t>(images.size()) / models;
    for (size_t p = 1; p < pools.size(); ++p) c = std::min(c, shelves[p].available(cell));
    if (c > 0) capacity[cell] = c;
    most += c;
  }
  if (most == 0) {
    throw UsageError(
        "no stratum holds images of every source; give sets with conditions{} in common, or other --strata",
        o.by_tone ? " and tones" : "");
  }
  int64_t largest = 0;  // units a reader, with what there is
  while (largest < kMostUnits && sizes_for(largest + 1, o).in_all() <= most) ++largest;

  Design design;
  Sizes sizes;
  design.power.computed_size = o.images_per_reader == 0;
  if (o.images_per_reader == 0) {
    int64_t units = 0;
    double reached = 0;
    for (int64_t u = 1; u <= kMostUnits && units == 0; ++u) {
      reached = power_of_test(exposure_of(sizes_for(u, o), readers, models), o.assumptions, models);
      if (reached >= o.assumptions.power) units = u;
    }
    if (units == 0) {
      throw UsageError(
          "{} readers reach a power of {:.2f} at most, {:.2f} is wanted: readers differ (--icc-reader {}), and more "
          "images "
          "do not help against that; take more readers, a higher --accuracy, or give --images",
          readers, reached, o.assumptions.power, o.assumptions.icc_reader);
    }
    if (units > largest) {
      const double now =
          largest > 0 ? power_of_test(exposure_of(sizes_for(largest, o), readers, models), o.assumptions, models) : 0;
      throw UsageError(
          "a power of {:.2f} needs {} images a reader, {} of each model in all; the sets hold {} that match in {}. "
          "Take "
          "larger sets, fewer --blocks or other --strata, or accept a power of {:.2f} with --images {}",
          o.assumptions.power, sizes_for(units, o).units * 2 * models, sizes_for(units, o).in_all(), most,
          o.by_condition && o.by_tone ? "condition and tone"
          : o.by_condition            ? "condition"
          : o.by_tone                 ? "tone"
                                      : "number",
          now, sizes_for(std::max<int64_t>(largest, 1), o).units * 2 * models);
    }
    sizes = sizes_for(units, o);
  } else {
    sizes = sizes_for(std::max<int64_t>(1, (o.images_per_reader + 2 * models - 1) / (2 * models)), o);
    if (sizes.in_all() > most) {
      throw UsageError(
          "--images {}: {} images of each model are needed in all, the sets hold {} that match; at most {}",
          o.images_per_reader, sizes.in_all(), most,
          largest > 0 ? fmt::format("--images {}", sizes_for(largest, o).units * 2 * models)
                      : std::string("none go with so many blocks (--blocks)"));
    }
  }

  design.units = sizes.units;
  design.anchor_units = sizes.anchors;
  design.blocks = sizes.per_block > 0 ? sizes.blocks : 0;
  design.blocks_per_reader = sizes.per_block > 0 ? sizes.blocks_per_reader : 0;
  const Exposure exposure = exposure_of(sizes, readers, models);
  PowerReport& power = design.power;
  power.assumptions = o.assumptions;
  power.models = models;
  power.readers = readers;
  power.images_per_reader = sizes.units * 2 * models;
  power.images_in_all = sizes.in_all() * 2 * models;
  power.power = power_of_test(exposure, o.assumptions, models);
  power.detectable = detectable_accuracy(exposure, o.assumptions, models);
  power.detectable_by_one = detectable_by_one(power.images_per_reader, o.assumptions.power, o.assumptions.alpha);

  // Anchors first: the beginning of the list of strata is even in itself. The rest is dealt to the blocks in turn.
  Rng rng(mix_seed(o.seed, hash_text("strata")));
  const std::vector<Cell> cells = fill_strata(capacity, sizes.in_all(), rng);
  std::map<Cell, int64_t> filled;
  std::vector<Item> scored;
  for (size_t u = 0; u < cells.size(); ++u) {
    ++filled[cells[u]];
    const int64_t behind = static_cast<int64_t>(u) - sizes.anchors;
    Item item;
    item.kind = behind < 0 ? Kind::anchor : Kind::block;
    item.block = behind < 0 ? 0 : behind % sizes.blocks;
    for (size_t p = 1; p < pools.size(); ++p) {
      for (const size_t pool : {p, size_t{0}}) {
        item.pool = pool;
        item.image = shelves[pool].take(cells[u]);
        scored.push_back(item);
      }
    }
  }
  for (const auto& [cell, count] : filled) design.strata.emplace_back(cell_name(cell), count);

  std::vector<size_t> practice;
  for (int64_t i = 0; i < o.practice; ++i) {
    const size_t pool = i % 2 == 0 ? 0 : 1 + static_cast<size_t>(i / 2) % static_cast<size_t>(models);
    if (shelves[pool].left() == 0) {
      throw UsageError("--practice {}: the set \"{}\" has no image left for practice; take fewer, or fewer --images",
                       o.practice, pools[pool].name);
    }
    practice.push_back(design.items.size());
    design.items.push_back({pool, shelves[pool].take_any(), Kind::practice, 0});
  }
  const size_t first_scored = design.items.size();
  design.items.insert(design.items.end(), scored.begin(), scored.end());

  const int64_t own = power.images_per_reader;
  const int64_t repeats = o.repeats >= 0 ? o.repeats : std::min(own / 2, std::max<int64_t>(4, own / 10));
  if (repeats > own / 2) {
    throw UsageError("--repeats {}: at most half of a reader's {} images can be shown twice", repeats, own);
  }
  int64_t number = 0;
  for (const auto& [group, count] : o.groups) {
    for (int64_t i = 0; i < count; ++i, ++number) {
      ReaderPlan plan;
      plan.name = fmt::format("reader-{:02}", number + 1);
      plan.group = group;
      const std::vector<int64_t> blocks = blocks_of(number, sizes);
      std::vector<size_t> items;
      for (size_t k = first_scored; k < design.items.size(); ++k) {
        const Item& item = design.items[k];
        if (item.kind == Kind::anchor || std::find(blocks.begin(), blocks.end(), item.block) != blocks.end()) {
          items.push_back(k);
        }
      }
      Rng own_rng(mix_seed(mix_seed(o.seed, hash_text("order")), static_cast<uint64_t>(number)));
      std::vector<size_t> rehearsal = practice;
      own_rng.shuffle(rehearsal);
      for (const size_t item : rehearsal) plan.showings.push_back({item, false});
      const std::vector<Showing> order = order_with_repeats(items, repeats, design.items, own_rng);
      plan.showings.insert(plan.showings.end(), order.begin(), order.end());
      design.readers.push_back(std::move(plan));
    }
  }
  return design;
}

}  // namespace derm::study
