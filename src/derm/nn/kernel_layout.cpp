#include "derm/nn/kernel_layout.h"

#include <algorithm>
#include <vector>

#include "derm/base/bfloat16.h"
#include "derm/base/vectorised.h"

namespace derm::nn {
namespace {

DERM_VECTORISED void write_bf16(const float* from, uint16_t* to, int64_t n) {
  for (int64_t i = 0; i < n; ++i) to[i] = to_bf16(from[i]);
}
DERM_VECTORISED void read_bf16(const uint16_t* from, float* to, int64_t n) {
  for (int64_t i = 0; i < n; ++i) to[i] = from_bf16(from[i]);
}
DERM_VECTORISED void sum(const float* a, const float* b, float* to, int64_t n) {
  for (int64_t i = 0; i < n; ++i) to[i] = a[i] + b[i];
}

/// Offset of one output channel's tap t in the folded kernel; t counts (p, a, q, b).
int64_t folded_at(const KernelShape& shape, int64_t o, int64_t t) {
  const int64_t p = t >> 3, a = (t >> 2) & 1, q = (t >> 1) & 1, b = t & 1;
  return (((p * 2 + q) * shape.out + o) * 4 + a * 2 + b) * shape.in;
}

/// The tap of a transposed kernel's row or column that stands at (p, a): row 2i takes input i - 1 by tap 3 and i by tap
/// 1, row 2i + 1 takes i by tap 2 and i + 1 by tap 0.
constexpr int64_t kTransposedTap[4] = {3, 1, 2, 0};

/// Of a row (or column) of three taps, the four sums for (p, a) after nearest doubling: output 2i sees input i - 1 once
/// (tap 0) and i twice (taps 1 and 2), 2i + 1 sees i twice and i + 1 once. Vectors of n at distances of `step`.
void nearest_sums(const float* taps, int64_t step, float* sums, int64_t sums_step, int64_t n) {
  std::copy_n(taps, n, sums);
  sum(taps + step, taps + 2 * step, sums + sums_step, n);
  sum(taps, taps + step, sums + 2 * sums_step, n);
  std::copy_n(taps + 2 * step, n, sums + 3 * sums_step);
}
void nearest_sums_adjoint(const float* sums, int64_t sums_step, float* taps, int64_t step, int64_t n) {
  sum(sums, sums + 2 * sums_step, taps, n);
  sum(sums + sums_step, sums + 2 * sums_step, taps + step, n);
  sum(sums + sums_step, sums + 3 * sums_step, taps + 2 * step, n);
}

}  // namespace

void write_kernel(Fold fold, const KernelShape& shape, const float* weight, uint16_t* kernel, int64_t begin,
                  int64_t end) {
  const int64_t in = shape.in, side = shape.side, taps = side * side;
  std::vector<float> by_tap(static_cast<size_t>(taps * in));  // [taps, in] of one output channel
  std::vector<float> rows(fold == Fold::nearest ? static_cast<size_t>(4 * side * in) : 0), all(4 * rows.size() / 3);
  for (int64_t o = begin; o < end; ++o) {
    for (int64_t i = 0; i < in; ++i) {
      const float* from = weight + (fold == Fold::transposed ? i * shape.out + o : o * in + i) * taps;
      for (int64_t t = 0; t < taps; ++t) by_tap[static_cast<size_t>(t * in + i)] = from[t];
    }
    if (fold == Fold::none) {
      write_bf16(by_tap.data(), kernel + o * taps * in, taps * in);
    } else if (fold == Fold::transposed) {
      for (int64_t t = 0; t < 16; ++t)
        write_bf16(by_tap.data() + (kTransposedTap[t >> 2] * 4 + kTransposedTap[t & 3]) * in,
                   kernel + folded_at(shape, o, t), in);
    } else {
      nearest_sums(by_tap.data(), 3 * in, rows.data(), 3 * in, 3 * in);
      for (int64_t r = 0; r < 4; ++r) nearest_sums(rows.data() + r * 3 * in, in, all.data() + r * 4 * in, in, in);
      for (int64_t t = 0; t < 16; ++t) write_bf16(all.data() + t * in, kernel + folded_at(shape, o, t), in);
    }
  }
}

void write_weight_gradient(Fold fold, const KernelShape& shape, const uint16_t* kernel, float* weight, int64_t begin,
                           int64_t end) {
  const int64_t in = shape.in, side = shape.side, taps = side * side;
  std::vector<float> by_tap(static_cast<size_t>(taps * in));
  std::vector<float> rows(fold == Fold::nearest ? static_cast<size_t>(4 * side * in) : 0), all(4 * rows.size() / 3);
  for (int64_t o = begin; o < end; ++o) {
    if (fold == Fold::none) {
      read_bf16(kernel + o * taps * in, by_tap.data(), taps * in);
    } else if (fold == Fold::transposed) {
      for (int64_t t = 0; t < 16; ++t)
        read_bf16(kernel + folded_at(shape, o, t),
                  by_tap.data() + (kTransposedTap[t >> 2] * 4 + kTransposedTap[t & 3]) * in, in);
    } else {
      for (int64_t t = 0; t < 16; ++t) read_bf16(kernel + folded_at(shape, o, t), all.data() + t * in, in);
      for (int64_t r = 0; r < 4; ++r)
        nearest_sums_adjoint(all.data() + r * 4 * in, in, rows.data() + r * 3 * in, in, in);
      nearest_sums_adjoint(rows.data(), 3 * in, by_tap.data(), 3 * in, 3 * in);
    }
    for (int64_t i = 0; i < in; ++i) {
      float* to = weight + (fold == Fold::transposed ? i * shape.out + o : o * in + i) * taps;
      for (int64_t t = 0; t < taps; ++t) to[t] = by_tap[static_cast<size_t>(t * in + i)];
    }
  }
}

}  // namespace derm::nn
