#include "derm/base/suggest.h"

#include <algorithm>
#include <cctype>

#include <fmt/format.h>

#include "derm/base/text.h"

namespace derm {

namespace {

constexpr size_t kLongestName = 200;  // beyond this it is no typo, and the table would grow
constexpr size_t kListed = 12;

/// Case and the choice between '-' and '_' do not count as typing errors.
std::string plain(std::string_view name) {
  std::string out(name);
  for (char& c : out) c = c == '-' ? '_' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

}  // namespace

int edit_distance(std::string_view a, std::string_view b) {
  // Three rows of the table: this one, the one before, and the one before that for the transpositions.
  std::vector<int> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = static_cast<int>(j);
  for (size_t i = 1; i <= a.size(); ++i) {
    before.swap(last);
    last.swap(row);
    row[0] = static_cast<int>(i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const int change = a[i - 1] == b[j - 1] ? 0 : 1;
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + change});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) row[j] = std::min(row[j], before[j - 2] + 1);
    }
  }
  return row[b.size()];
}

std::string nearest_name(std::string_view name, std::span<const std::string> known) {
  if (name.empty() || name.size() > kLongestName) return "";
  const std::string typed = plain(name);
  std::string best;
  // A typo changes about one letter in three at most: "lr" may become "le", never "ema".
  int best_distance = std::max(1, std::min(4, static_cast<int>(typed.size()) / 3)) + 1;
  for (const std::string& candidate : known) {
    if (candidate.size() > kLongestName) continue;
    const int distance = edit_distance(typed, plain(candidate));
    const bool shares_nothing = distance >= static_cast<int>(std::max(typed.size(), candidate.size()));
    if (distance < best_distance && !shares_nothing) {
      best = candidate;
      best_distance = distance;
    }
  }
  if (!best.empty() || typed.size() < 3) return best;
  // A name cut short, or one typed with something behind it: the shortest that fits.
  for (const std::string& candidate : known) {
    const std::string other = plain(candidate);
    const bool fits = other.starts_with(typed) || (other.size() >= 3 && typed.starts_with(other));
    if (fits && (best.empty() || candidate.size() < best.size())) best = candidate;
  }
  return best;
}

std::string did_you_mean(std::string_view name, std::span<const std::string> known) {
  const std::string nearest = nearest_name(name, known);
  if (!nearest.empty()) return "; did you mean " + quote_text(nearest) + "?";
  if (known.empty()) return "";
  std::string list = "; known: ";
  for (size_t i = 0; i < std::min(known.size(), kListed); ++i) list += (i == 0 ? "" : ", ") + known[i];
  if (known.size() > kListed) list += fmt::format(" and {} more", known.size() - kListed);
  return list;
}

}  // namespace derm
