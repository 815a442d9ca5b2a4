#pragma once
// bf16 as its 16 bits: the upper half of a float. For loops over them; tensors have at::BFloat16.
#include <cstdint>

namespace derm {

#if defined(__GNUC__)
#define DERM_ALWAYS_INLINE __attribute__((always_inline)) inline
#else
#define DERM_ALWAYS_INLINE inline
#endif

DERM_ALWAYS_INLINE float from_bf16(uint16_t value) {
  return __builtin_bit_cast(float, static_cast<uint32_t>(value) << 16);
}

/// To nearest, ties to even. A NaN stays one, unless its payload is all ones.
DERM_ALWAYS_INLINE uint16_t to_bf16(float value) {
  const auto bits = __builtin_bit_cast(uint32_t, value);
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

}  // namespace derm
