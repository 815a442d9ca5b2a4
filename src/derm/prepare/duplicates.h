#pragma once
// Duplicates by content, near duplicates by a perceptual hash.
#include <array>
#include <cstdint>
#include <vector>

#include "derm/image/image.h"

namespace derm::prepare {

using ImageHash = std::array<uint64_t, 4>;  ///< 256-bit difference hash of the 17x16 grey image

ImageHash difference_hash(const image::Image& rgb);
int hash_distance(const ImageHash& a, const ImageHash& b);

/// Groups of indices whose hashes lie within `bits` of each other under flips and quarter turns too (union-find), each
/// with at least two members. Candidates are verified by the caller's pixels.
std::vector<std::vector<size_t>> near_duplicate_groups(const std::vector<image::Image>& thumbnails, int bits);

}  // namespace derm::prepare
