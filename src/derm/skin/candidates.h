#pragma once
// The regions among which find_lesion chooses, and what it judges them by.
#include <array>
#include <string>
#include <vector>

#include "derm/image/image.h"
#include "derm/skin/artefacts.h"

namespace derm::skin {

inline constexpr int kFeatures = 16;
using Features = std::array<double, kFeatures>;
const std::array<const char*, kFeatures>& feature_names();

struct Candidate {
  int width = 0, height = 0;
  std::vector<float> soft;  ///< smoothed region, inside where >= 0.5
  Features features{};
};

/// Thresholds of colour distance from the skin, each cleaned to one filled region, at a reduced size.
std::vector<Candidate> lesion_candidates(const image::Image& rgb, const Artefacts& artefacts);

/// The overlap (IoU) with a person's outline that regions with these features have shown, 0 to 1.
double expected_overlap(const Features& features);

/// By which the best candidate is chosen: the expected overlap, and what holds for lesions in general.
double preference(const Features& features);

}  // namespace derm::skin
