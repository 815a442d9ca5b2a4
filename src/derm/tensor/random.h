#pragma once
#include <cstdint>

#include <ATen/core/Generator.h>
#include <c10/core/Device.h>

namespace derm::tensor {

/// The device's default generator, which dropout draws from as well, set to begin with `seed`.
at::Generator seeded_default(const at::Device& device, uint64_t seed);

}  // namespace derm::tensor
