#include "derm/explore/tsne.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "derm/base/error.h"
#include "derm/base/progress.h"
#include "derm/base/system.h"

namespace derm::explore {
namespace {

constexpr int kSearchSteps = 200;
constexpr double kSearchError = 1e-5;
constexpr double kLeast = 1e-300;

/// Row i of the conditional probabilities p_j|i from squared distances; the width is bisected.
void fill_row(std::vector<double>& row, const double* squared, int64_t i, double perplexity) {
  const auto n = static_cast<int64_t>(row.size());
  const double wanted = std::log(perplexity);
  double nearest = std::numeric_limits<double>::infinity();  // taken off: the exponents must not all vanish
  for (int64_t j = 0; j < n; ++j)
    if (j != i) nearest = std::min(nearest, squared[j]);
  double precision = 1, low = 0, high = std::numeric_limits<double>::infinity();
  for (int step = 0; step < kSearchSteps; ++step) {
    double sum = 0, weighted = 0;
    for (int64_t j = 0; j < n; ++j) {
      row[static_cast<size_t>(j)] = j == i ? 0 : std::exp(-precision * (squared[j] - nearest));
      sum += row[static_cast<size_t>(j)];
      weighted += row[static_cast<size_t>(j)] * (squared[j] - nearest);
    }
    const double entropy = std::log(sum) + precision * weighted / sum;
    for (double& v : row) v /= sum;
    if (std::abs(entropy - wanted) < kSearchError) return;
    if (entropy > wanted) {
      low = precision;
      precision = std::isinf(high) ? precision * 2 : (precision + high) / 2;
    } else {
      high = precision;
      precision = (precision + low) / 2;
    }
  }
}

int64_t count_of(const std::vector<double>& values, int64_t width) {
  return static_cast<int64_t>(values.size()) / width;
}

}  // namespace

std::vector<double> affinities(const std::vector<double>& points, int64_t n, double perplexity) {
  if (!(perplexity >= 1) || static_cast<double>(n) < 3 * perplexity + 1)
    throw UsageError("t-SNE: a perplexity of {} with {} points; it must be at least 1 and below a third of them",
                     perplexity, n);
  const int64_t d = static_cast<int64_t>(points.size()) / n;
  for (const double v : points)
    if (!std::isfinite(v)) throw DataError("t-SNE: a feature is not finite; the features are at fault");
  std::vector<double> p(static_cast<size_t>(n * n));
  parallel_for(static_cast<size_t>(n), [&](size_t i) {
    std::vector<double> squared(static_cast<size_t>(n)), row(static_cast<size_t>(n));
    const double* a = points.data() + static_cast<int64_t>(i) * d;
    for (int64_t j = 0; j < n; ++j) {
      const double* b = points.data() + j * d;
      double sum = 0;
      for (int64_t k = 0; k < d; ++k) sum += (a[k] - b[k]) * (a[k] - b[k]);
      squared[static_cast<size_t>(j)] = sum;
    }
    fill_row(row, squared.data(), static_cast<int64_t>(i), perplexity);
    std::copy(row.begin(), row.end(), p.begin() + static_cast<int64_t>(i) * n);
  });
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = i + 1; j < n; ++j) {
      double &a = p[static_cast<size_t>(i * n + j)], &b = p[static_cast<size_t>(j * n + i)];
      a = b = (a + b) / (2 * static_cast<double>(n));
    }
  }
  return p;
}

double map_divergence(const std::vector<double>& p, const std::vector<double>& y) {
  const int64_t n = count_of(y, 2);
  double sum = 0;
  std::vector<double> q(static_cast<size_t>(n * n), 0.0);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      if (i == j) continue;
      const double dx = y[static_cast<size_t>(2 * i)] - y[static_cast<size_t>(2 * j)];
      const double dy = y[static_cast<size_t>(2 * i + 1)] - y[static_cast<size_t>(2 * j + 1)];
      sum += q[static_cast<size_t>(i * n + j)] = 1 / (1 + dx * dx + dy * dy);
    }
  }
  double divergence = 0;
  for (size_t k = 0; k < p.size(); ++k) {
    if (p[k] > 0) divergence += p[k] * std::log(p[k] / std::max(q[k] / sum, kLeast));
  }
  return divergence;
}

TsneMap tsne(const std::vector<double>& points, const std::vector<double>& start, const TsneOptions& options) {
  const int64_t n = count_of(start, 2);
  if (n < 4 || points.size() % static_cast<size_t>(n) != 0)
    throw UsageError("t-SNE: {} points, {} values; at least 4 points of one length are needed", n, points.size());
  if (options.iterations < 4) throw UsageError("t-SNE: {} iterations; at least 4 are needed", options.iterations);
  if (!(options.exaggeration >= 1) || !(options.learning_rate >= 0))
    throw UsageError("t-SNE: an exaggeration of {} and a learning rate of {}; at least 1 and 0 are needed",
                     options.exaggeration, options.learning_rate);
  const std::vector<double> p = affinities(points, n, options.perplexity);
  TsneMap map{.y = start, .divergence = 0};
  std::vector<double>& y = map.y;
  std::vector<double> gradient(y.size()), velocity(y.size(), 0.0), gains(y.size(), 1.0);
  std::vector<double> row_sum(static_cast<size_t>(n));
  const double rate = options.learning_rate > 0 ? options.learning_rate
                                                : std::max(50.0, static_cast<double>(n) / (4 * options.exaggeration));
  const int early = options.iterations / 4;
  Progress progress("t-SNE", options.iterations, "iterations");
  for (int step = 0; step < options.iterations; ++step) {
    throw_if_interrupted();
    const double exaggeration = step < early ? options.exaggeration : 1, momentum = step < early ? 0.5 : 0.8;
    const auto similarity = [&](size_t i, size_t j) {
      const double dx = y[2 * i] - y[2 * j], dy = y[2 * i + 1] - y[2 * j + 1];
      return 1 / (1 + dx * dx + dy * dy);
    };
    // Each thread sums whole rows in one order, so the sums do not depend on how many threads there are.
    parallel_for(static_cast<size_t>(n), [&](size_t i) {
      double sum = 0;
      for (size_t j = 0; j < static_cast<size_t>(n); ++j) sum += j == i ? 0 : similarity(i, j);
      row_sum[i] = sum;
    });
    double total = 0;
    for (const double s : row_sum) total += s;
    parallel_for(static_cast<size_t>(n), [&](size_t i) {
      double gx = 0, gy = 0;
      for (size_t j = 0; j < static_cast<size_t>(n); ++j) {
        if (j == i) continue;
        const double s = similarity(i, j);
        const double pull = (exaggeration * p[i * static_cast<size_t>(n) + j] - s / total) * s;
        gx += pull * (y[2 * i] - y[2 * j]);
        gy += pull * (y[2 * i + 1] - y[2 * j + 1]);
      }
      gradient[2 * i] = 4 * gx;
      gradient[2 * i + 1] = 4 * gy;
    });
    double middle_x = 0, middle_y = 0;
    for (size_t k = 0; k < y.size(); ++k) {
      gains[k] = gradient[k] * velocity[k] > 0 ? std::max(0.01, gains[k] * 0.8) : gains[k] + 0.2;
      velocity[k] = momentum * velocity[k] - rate * gains[k] * gradient[k];
      y[k] += velocity[k];
      (k % 2 == 0 ? middle_x : middle_y) += y[k] / static_cast<double>(n);
    }
    for (size_t k = 0; k < y.size(); ++k) y[k] -= k % 2 == 0 ? middle_x : middle_y;
    progress.update(step + 1);
  }
  progress.finish();
  map.divergence = map_divergence(p, y);
  return map;
}

}  // namespace derm::explore
