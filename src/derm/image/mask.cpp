#include "derm/image/mask.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "derm/base/error.h"

namespace derm::image {
namespace {

bool is_set(uint8_t value) { return value >= 128; }

void require_mask(const Mask& mask, const char* what) {
  if (mask.channels != 1) {
    throw UsageError("{}: the mask has {} channels and needs 1; read it with read_mask", what, mask.channels);
  }
}

/// Squared distance of each pixel to the nearest one whose state is `wanted`; infinity where there is none.
std::vector<double> squared_distances(const Mask& mask, bool wanted) {
  constexpr double kFar = std::numeric_limits<double>::infinity();
  const int w = mask.width, h = mask.height;
  std::vector<double> result(static_cast<size_t>(w) * h, kFar);

  // Down and up each column, row by row: rows since the last wanted pixel.
  std::vector<double> since(w, kFar);
  const auto sweep = [&](int y) {
    for (int x = 0; x < w; ++x) {
      since[x] = is_set(*mask.at(x, y)) == wanted ? 0 : since[x] + 1;
      double& d = result[static_cast<size_t>(y) * w + x];
      d = std::min(d, since[x] * since[x]);
    }
  };
  for (int y = 0; y < h; ++y) sweep(y);
  std::fill(since.begin(), since.end(), kFar);
  for (int y = h - 1; y >= 0; --y) sweep(y);

  // Along each row: the lower envelope of the parabolas (x - q)^2 + column(q).
  std::vector<double> column(w), start(w + 1);
  std::vector<int> apex(w);
  for (int y = 0; y < h; ++y) {
    double* row = &result[static_cast<size_t>(y) * w];
    std::copy_n(row, w, column.begin());
    int count = 0;
    for (int q = 0; q < w; ++q) {
      if (column[q] == kFar) continue;
      double from = -kFar;
      while (count > 0) {
        const int p = apex[count - 1];
        from = ((column[q] + static_cast<double>(q) * q) - (column[p] + static_cast<double>(p) * p)) / (2.0 * (q - p));
        if (from > start[count - 1]) break;
        --count;
        from = -kFar;
      }
      apex[count] = q;
      start[count] = from;
      ++count;
    }
    if (count == 0) continue;
    int k = 0;
    for (int x = 0; x < w; ++x) {
      while (k + 1 < count && start[k + 1] < x) ++k;
      const double dx = x - apex[k];
      row[x] = dx * dx + column[apex[k]];
    }
  }
  return result;
}

}  // namespace

size_t mask_area(const Mask& mask) {
  require_mask(mask, "mask_area");
  return static_cast<size_t>(std::count_if(mask.pixels.begin(), mask.pixels.end(), is_set));
}

Box mask_box(const Mask& mask) {
  require_mask(mask, "mask_box");
  int left = mask.width, right = -1, top = mask.height, bottom = -1;
  for (int y = 0; y < mask.height; ++y) {
    for (int x = 0; x < mask.width; ++x) {
      if (!is_set(*mask.at(x, y))) continue;
      left = std::min(left, x);
      right = std::max(right, x);
      top = std::min(top, y);
      bottom = std::max(bottom, y);
    }
  }
  if (right < 0) return {};
  return {double(left), double(top), double(right - left + 1), double(bottom - top + 1)};
}

double mask_iou(const Mask& a, const Mask& b) {
  require_mask(a, "mask_iou");
  require_mask(b, "mask_iou");
  if (a.width != b.width || a.height != b.height) {
    throw UsageError("mask_iou: the masks are {}x{} and {}x{}; both must have one size", a.width, a.height, b.width,
                     b.height);
  }
  size_t both = 0, either = 0;
  for (size_t i = 0; i < a.pixels.size(); ++i) {
    const bool in_a = is_set(a.pixels[i]), in_b = is_set(b.pixels[i]);
    both += in_a && in_b;
    either += in_a || in_b;
  }
  return either == 0 ? 1.0 : static_cast<double>(both) / static_cast<double>(either);
}

Mask dilate(const Mask& mask, double radius_px) {
  require_mask(mask, "dilate");
  const auto distances = squared_distances(mask, true);
  const double limit = std::max(0.0, radius_px) * std::max(0.0, radius_px);
  Mask result(mask.width, mask.height, 1);
  for (size_t i = 0; i < distances.size(); ++i) result.pixels[i] = distances[i] <= limit ? 255 : 0;
  return result;
}

Mask erode(const Mask& mask, double radius_px) {
  require_mask(mask, "erode");
  const auto distances = squared_distances(mask, false);
  const double limit = std::max(0.0, radius_px) * std::max(0.0, radius_px);
  Mask result(mask.width, mask.height, 1);
  for (size_t i = 0; i < distances.size(); ++i) result.pixels[i] = distances[i] > limit ? 255 : 0;
  return result;
}

Mask fill_holes(const Mask& mask) {
  require_mask(mask, "fill_holes");
  const int w = mask.width, h = mask.height;
  // What the border reaches over unset pixels by 4 neighbours is outside; all else is filled.
  Mask result(w, h, 1, 255);
  std::vector<int> open;
  const auto visit = [&](int x, int y) {
    if (x < 0 || y < 0 || x >= w || y >= h || is_set(*mask.at(x, y)) || *result.at(x, y) == 0) return;
    *result.at(x, y) = 0;
    open.push_back(y * w + x);
  };
  for (int x = 0; x < w; ++x) {
    visit(x, 0);
    visit(x, h - 1);
  }
  for (int y = 0; y < h; ++y) {
    visit(0, y);
    visit(w - 1, y);
  }
  while (!open.empty()) {
    const int x = open.back() % w, y = open.back() / w;
    open.pop_back();
    visit(x - 1, y);
    visit(x + 1, y);
    visit(x, y - 1);
    visit(x, y + 1);
  }
  return result;
}

Components connected_components(const Mask& mask) {
  require_mask(mask, "connected_components");
  const int w = mask.width, h = mask.height;
  Components result;
  result.labels.assign(static_cast<size_t>(w) * h, 0);
  std::vector<int> open;
  for (int start = 0; start < w * h; ++start) {
    if (!is_set(mask.pixels[start]) || result.labels[start] != 0) continue;
    const int label = static_cast<int>(result.items.size()) + 1;
    int left = w, right = -1, top = h, bottom = -1;
    double sum_x = 0, sum_y = 0;
    Component item;
    item.label = label;
    result.labels[start] = label;
    open.assign(1, start);
    while (!open.empty()) {
      const int at = open.back();
      open.pop_back();
      const int x = at % w, y = at / w;
      ++item.area;
      sum_x += x;
      sum_y += y;
      left = std::min(left, x);
      right = std::max(right, x);
      top = std::min(top, y);
      bottom = std::max(bottom, y);
      for (int ny = std::max(0, y - 1); ny <= std::min(h - 1, y + 1); ++ny) {
        for (int nx = std::max(0, x - 1); nx <= std::min(w - 1, x + 1); ++nx) {
          const int next = ny * w + nx;
          if (!is_set(mask.pixels[next]) || result.labels[next] != 0) continue;
          result.labels[next] = label;
          open.push_back(next);
        }
      }
    }
    item.box = {double(left), double(top), double(right - left + 1), double(bottom - top + 1)};
    item.cx = sum_x / static_cast<double>(item.area);
    item.cy = sum_y / static_cast<double>(item.area);
    result.items.push_back(item);
  }
  // Number by size: label 1 is the largest.
  std::stable_sort(result.items.begin(), result.items.end(),
                   [](const Component& a, const Component& b) { return a.area > b.area; });
  std::vector<int> renumbered(result.items.size() + 1, 0);
  for (size_t i = 0; i < result.items.size(); ++i) {
    renumbered[result.items[i].label] = static_cast<int>(i) + 1;
    result.items[i].label = static_cast<int>(i) + 1;
  }
  for (int& label : result.labels) label = renumbered[label];
  return result;
}

std::vector<float> distance_to(const Mask& mask) {
  require_mask(mask, "distance_to");
  const auto squared = squared_distances(mask, true);
  std::vector<float> result(squared.size());
  for (size_t i = 0; i < squared.size(); ++i) result[i] = static_cast<float>(std::sqrt(squared[i]));
  return result;
}

std::vector<float> gaussian_blur(const std::vector<float>& plane, int width, int height, double sigma_px) {
  if (width < 0 || height < 0 || plane.size() != static_cast<size_t>(width) * height) {
    throw UsageError("gaussian_blur: the plane holds {} values, {}x{} needs {}", plane.size(), width, height,
                     static_cast<int64_t>(width) * height);
  }
  if (!(sigma_px > 0) || plane.empty()) return plane;
  const int radius = std::max(1, static_cast<int>(std::min(4 * sigma_px + 0.5, 1e6)));
  std::vector<float> kernel(2 * static_cast<size_t>(radius) + 1);
  for (int i = -radius; i <= radius; ++i)
    kernel[i + radius] = static_cast<float>(std::exp(-0.5 * i * i / (sigma_px * sigma_px)));
  const float total = std::accumulate(kernel.begin(), kernel.end(), 0.0f);
  for (float& k : kernel) k /= total;

  // Both passes add whole rows, which the compiler turns into vector code.
  std::vector<float> wide(plane.size()), result(plane.size());
  std::vector<float> padded(static_cast<size_t>(width) + 2 * static_cast<size_t>(radius));
  for (int y = 0; y < height; ++y) {
    const float* row = &plane[static_cast<size_t>(y) * width];
    std::fill_n(padded.begin(), radius, row[0]);
    std::copy_n(row, width, padded.begin() + radius);
    std::fill_n(padded.begin() + radius + width, radius, row[width - 1]);
    float* out = &wide[static_cast<size_t>(y) * width];
    for (size_t k = 0; k < kernel.size(); ++k) {
      const float weight = kernel[k];
      for (int x = 0; x < width; ++x) out[x] += weight * padded[x + k];
    }
  }
  for (int y = 0; y < height; ++y) {
    float* out = &result[static_cast<size_t>(y) * width];
    for (int k = -radius; k <= radius; ++k) {
      const float* row = &wide[static_cast<size_t>(std::clamp(y + k, 0, height - 1)) * width];
      const float weight = kernel[k + radius];
      for (int x = 0; x < width; ++x) out[x] += weight * row[x];
    }
  }
  return result;
}

double otsu_threshold(const std::vector<float>& values) {
  std::vector<float> sorted;
  sorted.reserve(values.size());
  std::copy_if(values.begin(), values.end(), std::back_inserter(sorted), [](float v) { return std::isfinite(v); });
  if (sorted.empty()) return 0;
  std::sort(sorted.begin(), sorted.end());
  if (sorted.front() == sorted.back()) return 0;
  // Every split between two neighbouring values is tried, no histogram: the answer does not hang on a bin width.
  const double total = std::accumulate(sorted.begin(), sorted.end(), 0.0);
  const double n = static_cast<double>(sorted.size());
  double below = 0, best = -1, threshold = 0;
  for (size_t i = 0; i + 1 < sorted.size(); ++i) {
    below += sorted[i];
    if (sorted[i] == sorted[i + 1]) continue;
    const double n0 = static_cast<double>(i + 1), n1 = n - n0;
    const double gap = below / n0 - (total - below) / n1;
    const double between = n0 * n1 * gap * gap;
    if (between > best) {
      best = between;
      threshold = (static_cast<double>(sorted[i]) + sorted[i + 1]) / 2;
    }
  }
  return threshold;
}

}  // namespace derm::image
