#include "derm/study/design.h"

#include <algorithm>
#include <map>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "derm/base/error.h"

namespace derm::study {
namespace {

/// `per_cell` images in each of 3 conditions x 2 tones, two of a subject.
Pool pool(const std::string& name, int per_cell) {
  Pool p{name, {}};
  for (const char* condition : {"melanoma", "nevus", "wart"}) {
    for (const char* tone : {"light", "brown"}) {
      for (int i = 0; i < per_cell; ++i) {
        const std::string id = std::string(condition) + tone + std::to_string(i);
        p.images.push_back({"images/" + id + ".png", condition, tone, name + condition + tone + std::to_string(i / 2)});
      }
    }
  }
  return p;
}

std::vector<Pool> three_pools() { return {pool("real", 24), pool("a", 12), pool("b", 12)}; }

DesignOptions options() {
  DesignOptions o;
  o.groups = {{"dermatologists", 4}, {"lay", 2}};
  o.images_per_reader = 48;
  o.blocks = 3;
  o.blocks_per_reader = 1;
  o.repeats = 6;
  o.seed = 7;
  return o;
}

TEST(Design, GivesEachReaderAsManyOfEachSourceInEachStratum) {
  const std::vector<Pool> pools = three_pools();
  const Design d = make_design(pools, options());
  // 48 images a reader = 12 units of 4 (two models, two real): 3 of them anchors, 9 in a block.
  EXPECT_EQ(d.units, 12);
  EXPECT_EQ(d.anchor_units, 3);
  EXPECT_EQ(d.items.size(), 4u + (3 + 3 * 9) * 4u);
  std::map<int64_t, std::map<std::pair<std::string, std::string>, std::map<size_t, int>>> blocks;
  for (const Item& item : d.items) {
    if (item.kind == Kind::practice) continue;
    const PoolImage& image = pools[item.pool].images[item.image];
    ++blocks[item.kind == Kind::anchor ? -1 : item.block][{image.condition, image.tone}][item.pool];
  }
  EXPECT_EQ(blocks.size(), 4u);
  for (auto& [block, cells] : blocks) {
    for (auto& [cell, count] : cells) {
      EXPECT_EQ(count[1], count[2]) << block << " " << cell.first << cell.second;
      EXPECT_EQ(count[0], 2 * count[1]) << block << " " << cell.first << cell.second;
    }
  }
  for (const ReaderPlan& reader : d.readers) {
    std::map<size_t, int> sources;
    int shown = 0;
    for (const Showing& s : reader.showings) {
      if (s.repeat || d.items[s.item].kind == Kind::practice) continue;
      ++sources[d.items[s.item].pool];
      ++shown;
    }
    EXPECT_EQ(shown, 48);
    EXPECT_EQ(sources[0], 24);
    EXPECT_EQ(sources[1], 12);
    EXPECT_EQ(sources[2], 12);
  }
}

TEST(Design, ShowsAnchorsToAllAndEachBlockToTheReadersWhoseTurnItIs) {
  const Design d = make_design(three_pools(), options());
  std::map<size_t, int> seen;
  for (const ReaderPlan& reader : d.readers) {
    for (const Showing& s : reader.showings) seen[s.item] += s.repeat ? 0 : 1;
  }
  for (size_t i = 0; i < d.items.size(); ++i) {
    EXPECT_EQ(seen[i], d.items[i].kind == Kind::block ? 2 : 6) << i;
  }
}

TEST(Design, TakesNoImageTwiceAndSubjectsOnlyOnceWhileItCan) {
  const std::vector<Pool> pools = {pool("real", 24), pool("a", 24)};
  DesignOptions o = options();
  o.images_per_reader = 24;
  const Design d = make_design(pools, o);
  std::set<std::pair<size_t, size_t>> images;
  std::set<std::string> subjects;
  for (const Item& item : d.items) {
    EXPECT_TRUE(images.emplace(item.pool, item.image).second);
    if (item.pool == 0) {
      EXPECT_TRUE(subjects.insert(pools[0].images[item.image].subject).second);
    }
  }
}

TEST(Design, RepeatsComeAtLeastAThirdOfTheListLater) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    DesignOptions o = options();
    o.seed = seed;
    const Design d = make_design(three_pools(), o);
    for (const ReaderPlan& reader : d.readers) {
      std::map<size_t, size_t> first;
      int repeats = 0;
      for (size_t i = 0; i < reader.showings.size(); ++i) {
        const Showing& s = reader.showings[i];
        if (!s.repeat) {
          EXPECT_TRUE(first.emplace(s.item, i).second);
          continue;
        }
        ++repeats;
        ASSERT_TRUE(first.contains(s.item)) << "a repeat before its first showing";
        EXPECT_GE(i - first[s.item], 48u / 3);
      }
      EXPECT_EQ(repeats, 6);
      EXPECT_EQ(reader.showings.size(), 4u + 48 + 6);
    }
  }
}

TEST(Design, OrderDiffersBetweenReadersAndSaysNothingOfTheSource) {
  DesignOptions o = options();
  o.groups = {{"readers", 60}};
  o.blocks = 1;
  o.repeats = 0;
  o.anchor_share = 1;
  const Design d = make_design(three_pools(), o);
  EXPECT_NE(d.readers[0].showings[10].item, d.readers[1].showings[10].item);
  // Over 60 readers of 48 images real ones stand on average in the middle: 23.5 +- 3 x 13.9 / sqrt(1440).
  double sum = 0;
  int real = 0;
  for (const ReaderPlan& reader : d.readers) {
    for (size_t i = 4; i < reader.showings.size(); ++i) {
      if (d.items[reader.showings[i].item].pool != 0) continue;
      sum += static_cast<double>(i - 4);
      ++real;
    }
  }
  EXPECT_EQ(real, 60 * 24);
  EXPECT_NEAR(sum / real, 23.5, 3 * 13.9 / 37.9);
}

TEST(Design, SizeFollowsFromThePowerThatIsWanted) {
  DesignOptions o;
  o.groups = {{"readers", 8}};
  o.assumptions.accuracy = 0.65;
  const Design d = make_design({pool("real", 60), pool("a", 60)}, o);
  EXPECT_TRUE(d.power.computed_size);
  EXPECT_GE(d.power.power, 0.8);
  EXPECT_LE(d.power.detectable, 0.65);
  // Two units (of two images) less would not do: blocks round up by one at most.
  o.images_per_reader = d.power.images_per_reader - 4;
  EXPECT_LT(make_design({pool("real", 60), pool("a", 60)}, o).power.power, 0.8);
  EXPECT_EQ(d.power.images_per_reader, d.units * 2);
}

TEST(Design, IsTheSameForTheSameSeedOnly) {
  const auto order = [](uint64_t seed) {
    DesignOptions o = options();
    o.seed = seed;
    std::vector<size_t> items;
    const Design d = make_design(three_pools(), o);
    for (const Showing& s : d.readers[2].showings) items.push_back(s.item);
    return items;
  };
  EXPECT_EQ(order(1), order(1));
  EXPECT_NE(order(1), order(2));
}

TEST(Design, SaysWhatIsMissing) {
  const auto message = [](const std::vector<Pool>& pools, const DesignOptions& o) -> std::string {
    try {
      make_design(pools, o);
    } catch (const UsageError& e) {
      return e.what();
    }
    return "nothing was thrown";
  };
  DesignOptions o = options();
  o.images_per_reader = 400;
  EXPECT_THAT(message(three_pools(), o), testing::HasSubstr("the sets hold 72 that match; at most --images "));
  o = options();
  o.images_per_reader = 0;
  o.assumptions.accuracy = 0.52;
  EXPECT_THAT(message(three_pools(), o), testing::HasSubstr("more images do not help"));
  o.assumptions.accuracy = 0.56;
  o.assumptions.icc_reader = 0;
  EXPECT_THAT(message(three_pools(), o), testing::HasSubstr("accept a power of"));
  o = options();
  o.blocks = 9;
  EXPECT_THAT(message(three_pools(), o), testing::HasSubstr("would never be read"));
  o = options();
  o.repeats = 25;
  EXPECT_THAT(message(three_pools(), o), testing::HasSubstr("at most half"));
  Pool other = pool("c", 5);
  for (PoolImage& image : other.images) image.condition = "cyst";
  EXPECT_THAT(message({pool("real", 5), other}, options()), testing::HasSubstr("no stratum"));
}

}  // namespace
}  // namespace derm::study
