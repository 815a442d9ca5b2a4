#include "derm/prepare/duplicates.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "derm/base/random.h"
#include "derm/image/codec.h"
#include "derm/image/resize.h"

namespace derm::prepare {
namespace {

using image::Image;

/// Soft blobs of colour: like a photograph to the hash, and another for each seed.
Image picture(uint64_t seed, int side = 96) {
  Rng rng(seed);
  struct Blob {
    double x, y, r, v[3];
  };
  std::vector<Blob> blobs;
  for (int k = 0; k < 14; ++k) {
    blobs.push_back({rng.uniform(),
                     rng.uniform(),
                     rng.uniform(0.05, 0.3),
                     {rng.uniform(-60, 60), rng.uniform(-60, 60), rng.uniform(-60, 60)}});
  }
  Image result(side, side, 3);
  for (int y = 0; y < side; ++y) {
    for (int x = 0; x < side; ++x) {
      for (int c = 0; c < 3; ++c) {
        double value = 140;
        for (const Blob& b : blobs) {
          const double dx = (x + 0.5) / side - b.x, dy = (y + 0.5) / side - b.y;
          value += b.v[c] * std::exp(-(dx * dx + dy * dy) / (2 * b.r * b.r));
        }
        result.at(x, y)[c] = static_cast<uint8_t>(std::clamp(value, 0.0, 255.0));
      }
    }
  }
  return result;
}

TEST(DifferenceHash, ARampHasAllBitsAndItsMirrorNone) {
  Image ramp(170, 160, 1);
  for (int y = 0; y < 160; ++y) {
    for (int x = 0; x < 170; ++x) *ramp.at(x, y) = static_cast<uint8_t>(x);
  }
  EXPECT_EQ(hash_distance(difference_hash(ramp), ImageHash{}), 256);
  EXPECT_EQ(hash_distance(difference_hash(image::flip_horizontal(ramp)), ImageHash{}), 0);
}

TEST(DifferenceHash, ReencodingAndResizingChangeFewBitsAnotherPictureMany) {
  const Image one = picture(1, 256);
  const auto hash = difference_hash(one);
  EXPECT_LE(hash_distance(hash, difference_hash(image::decode_image(image::encode_jpeg(one, 60), "a"))), 12);
  EXPECT_LE(hash_distance(hash, difference_hash(image::resize(one, 180, 180))), 12);
  EXPECT_GT(hash_distance(hash, difference_hash(picture(2, 256))), 40);
}

TEST(NearDuplicateGroups, FindsFlipsTurnsAndReencodings) {
  std::vector<Image> pictures;
  for (uint64_t s = 0; s < 20; ++s) pictures.push_back(picture(s));
  pictures.push_back(image::flip_horizontal(pictures[3]));                             // 20
  pictures.push_back(image::quarter_turns(pictures[3], 1));                            // 21
  pictures.push_back(image::quarter_turns(image::flip_horizontal(pictures[7]), 3));    // 22
  pictures.push_back(image::decode_image(image::encode_jpeg(pictures[11], 70), "a"));  // 23
  const auto groups = near_duplicate_groups(pictures, 20);
  ASSERT_EQ(groups.size(), 3u);
  EXPECT_EQ(groups[0], (std::vector<size_t>{3, 20, 21}));
  EXPECT_EQ(groups[1], (std::vector<size_t>{7, 22}));
  EXPECT_EQ(groups[2], (std::vector<size_t>{11, 23}));
}

TEST(NearDuplicateGroups, EqualHashesOfUnlikePicturesAreNotEnough) {
  // Both rise from left to right, so all bits agree; one in an even ramp, one in a single step.
  Image ramp(64, 64, 1), step(64, 64, 1);
  for (int y = 0; y < 64; ++y) {
    for (int x = 0; x < 64; ++x) {
      *ramp.at(x, y) = static_cast<uint8_t>(3 * x);
      *step.at(x, y) = static_cast<uint8_t>(x + (x > 54 ? 150 : 0));
    }
  }
  EXPECT_EQ(hash_distance(difference_hash(ramp), difference_hash(step)), 0);
  EXPECT_TRUE(near_duplicate_groups({ramp, step}, 6).empty());
}

TEST(NearDuplicateGroups, NoPicturesNoGroups) { EXPECT_TRUE(near_duplicate_groups({}, 6).empty()); }

}  // namespace
}  // namespace derm::prepare
