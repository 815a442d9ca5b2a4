#pragma once
// Exact t-SNE (van der Maaten and Hinton 2008, JMLR 9:2579-2605). No libtorch.
#include <cstdint>
#include <vector>

namespace derm::explore {

/// Symmetric affinities p_ij of n points: Gaussians whose widths are searched so that each point's neighbours have the
/// wanted perplexity (to 1e-5 of its logarithm), symmetrised, summing to 1. [n, n], zero on the diagonal.
/// @param points  [n, d] in rows
/// @throws UsageError: perplexity below 1, or n below 3 perplexity + 1; DataError: values that are not finite
std::vector<double> affinities(const std::vector<double>& points, int64_t n, double perplexity);

/// Kullback-Leibler divergence of the map's Student-t similarities from the affinities, in nats.
/// @param y  [n, 2]
double map_divergence(const std::vector<double>& p, const std::vector<double>& y);

struct TsneOptions {
  double perplexity = 30;
  int iterations = 1000;  ///< of them a quarter with exaggerated affinities
  double exaggeration = 12;
  double learning_rate = 0;  ///< 0: n / (4 exaggeration), at least 50 (Belkina et al. 2019, Nature Communications
                             ///< 10:5415, whose gradient leaves the factor 4 out)
};

struct TsneMap {
  std::vector<double> y;  ///< [n, 2], centred
  double divergence = 0;  ///< map_divergence at the end
};

/// Gradient descent with momentum (0.5, then 0.8) and gains, as the paper's own code. The same input gives the same map
/// whatever the number of threads.
/// @param start  [n, 2], small; the first two principal components keep the large structure (Kobak and Berens 2019)
TsneMap tsne(const std::vector<double>& points, const std::vector<double>& start, const TsneOptions& options);

}  // namespace derm::explore
