#include "derm/tensor/random.h"

#include <mutex>

#include <torch/torch.h>

namespace derm::tensor {

at::Generator seeded_default(const at::Device& device, uint64_t seed) {
  at::Generator random = at::globalContext().defaultGenerator(device);
  const std::lock_guard<std::mutex> lock(random.mutex());
  random.set_current_seed(seed);
  return random;
}

}  // namespace derm::tensor
