#include "derm/tensor/recorded.h"

#include <stdexcept>

#ifdef DERM_HAS_CUDA
#include <ATen/cuda/CUDAContext.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAGuard.h>
#endif

namespace derm::tensor {

#ifdef DERM_HAS_CUDA

namespace {

constexpr int kWarmUps = 3;

}  // namespace

struct Recorded::Impl {
  at::cuda::CUDAGraph graph;
};

bool Recorded::possible(const c10::Device& device) { return device.is_cuda(); }

Recorded::Recorded(const c10::Device& device, const std::function<void()>& work) : impl_(std::make_unique<Impl>()) {
  const at::cuda::CUDAStream before = at::cuda::getCurrentCUDAStream(device.index());
  const at::cuda::CUDAStream stream = at::cuda::getStreamFromPool(/*isHighPriority=*/false, device.index());
  before.synchronize();
  {
    const c10::cuda::CUDAStreamGuard guard(stream);
    for (int i = 0; i < kWarmUps; ++i) work();
    stream.synchronize();
    impl_->graph.capture_begin();
    try {
      work();
    } catch (...) {
      try {
        impl_->graph.capture_end();  // a stream that still records would refuse everything else
      } catch (const std::exception&) {
        // What broke the recording is what is told.
      }
      throw;
    }
    impl_->graph.capture_end();
  }
  stream.synchronize();
}

Recorded::~Recorded() = default;

void Recorded::replay() { impl_->graph.replay(); }

#else  // without CUDA there is nothing to record

struct Recorded::Impl {};

bool Recorded::possible(const c10::Device&) { return false; }
Recorded::Recorded(const c10::Device&, const std::function<void()>&) {
  throw std::runtime_error("this build's libtorch has no CUDA");
}
Recorded::~Recorded() = default;
void Recorded::replay() {}

#endif

}  // namespace derm::tensor
