#pragma once
// Random numbers that are the same on every platform (the standard library's distributions are not).
#include <cstdint>
#include <string_view>
#include <vector>

namespace derm {

/// splitmix64's finaliser over a pair: derives independent seeds, mix_seed(seed, index).
uint64_t mix_seed(uint64_t a, uint64_t b);

/// FNV-1a then splitmix64: the same everywhere.
uint64_t hash_text(std::string_view text);

/// xoshiro256++ (Blackman and Vigna 2019), seeded through splitmix64.
class Rng {
 public:
  explicit Rng(uint64_t seed);
  uint64_t next();
  double uniform();  ///< [0, 1), 53 bits
  double uniform(double low, double high);
  int64_t integer(int64_t low, int64_t high);  ///< both ends included, without modulo bias
  double normal();                             ///< mean 0, deviation 1
  bool chance(double probability);
  template <class T>
  void shuffle(std::vector<T>& v) {
    for (size_t i = v.size(); i > 1; --i)
      std::swap(v[i - 1], v[static_cast<size_t>(integer(0, static_cast<int64_t>(i) - 1))]);
  }

 private:
  uint64_t state_[4];
  double spare_ = 0;
  bool has_spare_ = false;
};

}  // namespace derm
