#include "derm/base/random.h"

#include <bit>
#include <cmath>

#include "derm/base/error.h"

namespace derm {

namespace {

constexpr uint64_t kGolden = 0x9E3779B97F4A7C15;  // 2^64 / golden ratio, the step of splitmix64

uint64_t finalise(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return z ^ (z >> 31);
}

}  // namespace

// The number at place b of the splitmix64 sequence that starts at a scrambled a. Scrambling first keeps the sequences
// of neighbouring a apart: (a, b + 1) and (a + golden, b) would otherwise be the same.
uint64_t mix_seed(uint64_t a, uint64_t b) { return finalise(finalise(a + kGolden) + (b + 1) * kGolden); }

uint64_t hash_text(std::string_view text) {
  uint64_t hash = 0xCBF29CE484222325;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3;
  return finalise(hash + kGolden);
}

Rng::Rng(uint64_t seed) {
  for (uint64_t& word : state_) {
    seed += kGolden;
    word = finalise(seed);
  }
}

uint64_t Rng::next() {
  const uint64_t result = std::rotl(state_[0] + state_[3], 23) + state_[0];
  const uint64_t shifted = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= shifted;
  state_[3] = std::rotl(state_[3], 45);
  return result;
}

double Rng::uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }

double Rng::uniform(double low, double high) { return low + (high - low) * uniform(); }

int64_t Rng::integer(int64_t low, int64_t high) {
  if (low > high)
    throw UsageError("a random integer between {} and {} was asked for; the first must not be the larger", low, high);
  const uint64_t span = static_cast<uint64_t>(high) - static_cast<uint64_t>(low) + 1;
  if (span == 0) return static_cast<int64_t>(next());  // every 64-bit number
  // The first 2^64 mod span values are drawn again, so that each remainder has equally many left.
  const uint64_t refuse_below = (0 - span) % span;
  uint64_t value = next();
  while (value < refuse_below) value = next();
  return static_cast<int64_t>(static_cast<uint64_t>(low) + value % span);
}

double Rng::normal() {
  if (has_spare_) {
    has_spare_ = false;
    return spare_;
  }
  // Marsaglia's polar method: logarithm and square root alone, no sine whose last bit differs between platforms.
  double x, y, radius;
  do {
    x = 2 * uniform() - 1;
    y = 2 * uniform() - 1;
    radius = x * x + y * y;
  } while (radius >= 1 || radius == 0);
  const double scale = std::sqrt(-2 * std::log(radius) / radius);
  spare_ = y * scale;
  has_spare_ = true;
  return x * scale;
}

bool Rng::chance(double probability) { return uniform() < probability; }

}  // namespace derm
