#pragma once
// "did you mean": the nearest known name for a mistyped one.
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace derm {

/// Edit distance with transpositions counted as one (optimal string alignment).
int edit_distance(std::string_view a, std::string_view b);

/// The known name nearest to `name`, or "" when none is near enough to be a likely typo.
std::string nearest_name(std::string_view name, std::span<const std::string> known);

/// `; did you mean "batch_size"?`, or `; known: a, b, c` when nothing is near (at most 12 names are listed).
std::string did_you_mean(std::string_view name, std::span<const std::string> known);

}  // namespace derm
