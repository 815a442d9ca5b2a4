#include "derm/prepare/duplicates.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <mutex>
#include <numeric>

#include "derm/base/error.h"
#include "derm/base/system.h"

namespace derm::prepare {
namespace {

constexpr int kColumns = 17, kRows = 16;
constexpr float kStep = 1;  ///< grey levels: on even skin the mere sign would be that of the JPEG's noise
constexpr int kSide = 64;   ///< what candidates are compared at

/// Grey means over a raster of `columns` x `rows` cells, in floats: rounding would make ties, and ties flip.
std::vector<float> grey_cells(const image::Image& picture, int columns, int rows) {
  const int w = picture.width, h = picture.height;
  std::vector<float> grey(static_cast<size_t>(w) * h);
  for (size_t i = 0; i < grey.size(); ++i) {
    const uint8_t* p = picture.pixels.data() + i * picture.channels;
    grey[i] = picture.channels == 3 ? 0.299f * p[0] + 0.587f * p[1] + 0.114f * p[2] : p[0];
  }
  const auto shrink = [](const std::vector<float>& in, int length, int lines, size_t step, size_t line_step,
                         int cells) {
    std::vector<float> out(static_cast<size_t>(cells) * lines);
    for (int c = 0; c < cells; ++c) {
      const double from = static_cast<double>(c) * length / cells, to = static_cast<double>(c + 1) * length / cells;
      for (int k = static_cast<int>(from); k < std::min(length, static_cast<int>(std::ceil(to))); ++k) {
        const auto part =
            static_cast<float>((std::min(to, k + 1.0) - std::max(from, static_cast<double>(k))) / (to - from));
        for (int l = 0; l < lines; ++l) out[static_cast<size_t>(l) * cells + c] += part * in[l * line_step + k * step];
      }
    }
    return out;
  };
  const auto narrow = shrink(grey, w, h, 1, static_cast<size_t>(w), columns);            // h lines of `columns`
  const auto small = shrink(narrow, h, columns, static_cast<size_t>(columns), 1, rows);  // `columns` lines of `rows`
  std::vector<float> result(static_cast<size_t>(columns) * rows);
  for (int y = 0; y < rows; ++y) {
    for (int x = 0; x < columns; ++x)
      result[static_cast<size_t>(y) * columns + x] = small[static_cast<size_t>(x) * rows + y];
  }
  return result;
}

/// Orientation 0 to 7: quarter turns, the upper four mirrored first.
image::Image oriented(const image::Image& picture, int orientation) {
  const image::Image base = orientation >= 4 ? image::flip_horizontal(picture) : picture;
  return orientation % 4 == 0 ? base : image::quarter_turns(base, orientation % 4);
}

/// Do two pictures show the same, light and contrast aside? Both of the same size.
bool same_picture(const std::vector<float>& a, const std::vector<float>& b) {
  const double n = static_cast<double>(a.size());
  const double mean_a = std::accumulate(a.begin(), a.end(), 0.0) / n,
               mean_b = std::accumulate(b.begin(), b.end(), 0.0) / n;
  double aa = 0, bb = 0, ab = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double x = a[i] - mean_a, y = b[i] - mean_b;
    aa += x * x;
    bb += y * y;
    ab += x * y;
  }
  // Almost even pictures have no shape to compare: then they must agree in brightness.
  if (aa / n < 1 || bb / n < 1) return aa / n < 1 && bb / n < 1 && std::abs(mean_a - mean_b) < 2;
  return ab > 0.98 * std::sqrt(aa * bb);
}

struct Joined {
  std::vector<size_t> parent;
  explicit Joined(size_t n) : parent(n) { std::iota(parent.begin(), parent.end(), size_t{0}); }
  size_t root(size_t i) {
    while (parent[i] != i) i = parent[i] = parent[parent[i]];
    return i;
  }
  void join(size_t a, size_t b) {
    const size_t x = root(a), y = root(b);
    parent[std::max(x, y)] = std::min(x, y);
  }
};

}  // namespace

ImageHash difference_hash(const image::Image& rgb) {
  if (rgb.empty()) throw UsageError("difference_hash: the picture is empty; give one with pixels");
  const auto cells = grey_cells(rgb, kColumns, kRows);
  ImageHash hash{};
  for (int y = 0; y < kRows; ++y) {
    for (int x = 0; x + 1 < kColumns; ++x) {
      const int bit = y * (kColumns - 1) + x;
      const size_t at = static_cast<size_t>(y) * kColumns + x;
      if (cells[at + 1] > cells[at] + kStep) hash[bit / 64] |= uint64_t{1} << (bit % 64);
    }
  }
  return hash;
}

int hash_distance(const ImageHash& a, const ImageHash& b) {
  int bits = 0;
  for (size_t k = 0; k < a.size(); ++k) bits += std::popcount(a[k] ^ b[k]);
  return bits;
}

std::vector<std::vector<size_t>> near_duplicate_groups(const std::vector<image::Image>& thumbnails, int bits) {
  const size_t n = thumbnails.size();
  std::vector<std::array<ImageHash, 8>> hashes(n);
  parallel_for(n, [&](size_t i) {
    for (int o = 0; o < 8; ++o) hashes[i][o] = difference_hash(oriented(thumbnails[i], o));
  });
  std::vector<std::vector<size_t>> matches(n);
  parallel_for(n, [&](size_t i) {
    std::vector<float> own;
    for (size_t j = i + 1; j < n; ++j) {
      for (int o = 0; o < 8; ++o) {
        if (hash_distance(hashes[i][0], hashes[j][o]) > bits) continue;
        if (own.empty()) own = grey_cells(thumbnails[i], kSide, kSide);
        if (!same_picture(own, grey_cells(oriented(thumbnails[j], o), kSide, kSide))) continue;
        matches[i].push_back(j);
        break;
      }
    }
  });
  Joined joined(n);
  for (size_t i = 0; i < n; ++i) {
    for (size_t j : matches[i]) joined.join(i, j);
  }
  std::vector<std::vector<size_t>> by_root(n), groups;
  for (size_t i = 0; i < n; ++i) by_root[joined.root(i)].push_back(i);
  for (auto& group : by_root) {
    if (group.size() > 1) groups.push_back(std::move(group));
  }
  return groups;
}

}  // namespace derm::prepare
