#include "derm/metrics/pairs.h"

#include <algorithm>
#include <map>
#include <set>

#include "derm/base/error.h"
#include "derm/base/random.h"

namespace derm::metrics {
namespace {

/// The i-th pair (a, b), a < b, of n: those with b = 1 first, then b = 2 ...
std::pair<int64_t, int64_t> nth_pair(int64_t i) {
  int64_t b = 1;
  // Whole numbers from a first guess, so that large ones lose nothing.
  for (int64_t step = int64_t{1} << 31; step > 0; step /= 2)
    if ((b + step) * (b + step - 1) / 2 <= i) b += step;
  return {i - b * (b - 1) / 2, b};
}

}  // namespace

std::vector<std::pair<int64_t, int64_t>> pairs_within_classes(const std::vector<std::string>& classes, int64_t count,
                                                              uint64_t seed) {
  if (count < 1) throw UsageError("pairs: {} were asked for, at least 1 is needed", count);
  std::map<std::string, std::vector<int64_t>> members;
  for (size_t i = 0; i < classes.size(); ++i) members[classes[i]].push_back(static_cast<int64_t>(i));
  int64_t all = 0;
  for (const auto& [name, rows] : members) {
    const auto n = static_cast<int64_t>(rows.size());
    all += n * (n - 1) / 2;
  }
  if (all == 0) throw UsageError("pairs: of {} images no two are of one class; use more images", classes.size());
  // Numbers of pairs: all of them, or as many different ones as asked for (Floyd's sampling).
  std::set<int64_t> chosen;
  if (count >= all) {
    for (int64_t i = 0; i < all; ++i) chosen.insert(i);
  } else {
    Rng rng(seed);
    for (int64_t i = all - count; i < all; ++i) {
      const int64_t drawn = rng.integer(0, i);
      chosen.insert(chosen.contains(drawn) ? i : drawn);
    }
  }
  std::vector<std::pair<int64_t, int64_t>> out;
  int64_t offset = 0;
  auto next = chosen.begin();
  for (const auto& [name, rows] : members) {
    const auto n = static_cast<int64_t>(rows.size());
    for (; next != chosen.end() && *next < offset + n * (n - 1) / 2; ++next) {
      const auto [a, b] = nth_pair(*next - offset);
      out.emplace_back(rows[static_cast<size_t>(a)], rows[static_cast<size_t>(b)]);
    }
    offset += n * (n - 1) / 2;
  }
  return out;
}

std::vector<std::pair<int64_t, int64_t>> pairs_of(int64_t images, int64_t count, uint64_t seed) {
  return pairs_within_classes(std::vector<std::string>(static_cast<size_t>(std::max<int64_t>(images, 0))), count, seed);
}

}  // namespace derm::metrics
