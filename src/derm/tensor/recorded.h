#pragma once
// Work of fixed shapes on a GPU, recorded once and started as a whole instead of kernel by kernel (a CUDA graph).
#include <functional>
#include <memory>

#include <c10/core/Device.h>

namespace derm::tensor {

class Recorded {
 public:
  /// True of a GPU in a build whose libtorch has CUDA.
  static bool possible(const c10::Device& device);

  /// Runs `work` a few times, since libraries choose their kernels and memory then, and records it. It has to read and
  /// write the same tensors each time, draw nothing at random, and ask the device for nothing.
  /// @throws std::exception if it cannot be recorded; the device is as before then
  Recorded(const c10::Device& device, const std::function<void()>& work);
  ~Recorded();
  void replay();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace derm::tensor
