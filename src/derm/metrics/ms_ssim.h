#pragma once
// Multi-scale structural similarity (Wang, Simoncelli and Bovik 2003); as a diversity: Odena et al. 2017
// (arXiv:1610.09585).
#include <cstdint>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "derm/metrics/pairs.h"

namespace derm::metrics {

inline constexpr int64_t kMsSsimSide = 176;  ///< an 11 px window at the fifth scale

/// Weights .0448 .2856 .3001 .2363 .1333; 11 px Gaussian of deviation 1.5 without padding; k1 .01, k2 .03, range of
/// values 255; scales by averaging 2 x 2 (an odd edge is doubled first). Per channel, then averaged; a contrast term
/// below 0 counts as 0.
/// @param a, b  [N, 3, H, W] in [-1, 1], H and W at least 176
/// @return      [N] double in [0, 1]; 1 for equal images
/// @throws      UsageError for other shapes; DataError for values that are not finite
at::Tensor ms_ssim(const at::Tensor& a, const at::Tensor& b);

/// Mean similarity over pairs: high means that the images are alike. Images below 176 px are made 256 px first
/// (bilinear), and the result is marked.
/// @param images  [N, 3, H, W] in [-1, 1]
PairDiversity ms_ssim_diversity(const at::Tensor& images, const std::vector<std::pair<int64_t, int64_t>>& pairs);

}  // namespace derm::metrics
