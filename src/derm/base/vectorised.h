#pragma once
// The build is for every x86-64 and without -ffast-math. A plain loop in a function marked DERM_VECTORISED is compiled
// for what newer processors have as well, and the best that fits is chosen when the program starts. Without traps a
// choice between two numbers needs no branch. (A square root wants -fno-math-errno, which such a function does not
// heed: see training/adam_update.cpp.)
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define DERM_VECTORISED __attribute__((target_clones("avx512f", "avx2", "default"), optimize("O3", "no-trapping-math")))
#else
#define DERM_VECTORISED
#endif
