#pragma once
// The build is for every x86-64 and without -ffast-math. A plain loop in a function marked DERM_VECTORISED is compiled
// for what newer processors have as well, and the best that fits is chosen when the program starts.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define DERM_VECTORISED \
  __attribute__((target_clones("avx512f", "avx2", "default"), optimize("O3", "no-math-errno", "no-trapping-math")))
#else
#define DERM_VECTORISED
#endif
