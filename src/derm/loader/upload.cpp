#include "derm/loader/upload.h"

#include <optional>

#include <torch/torch.h>
// These name no GPU library: a libtorch with CUDA registers what they call.
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/core/StreamGuard.h>

namespace derm::loader {
namespace {

/// Every tensor of a batch that is there.
template <class Do>
void for_each(tensor::Batch& batch, Do&& with) {
  for (at::Tensor* t : {&batch.image, &batch.region, &batch.inputs.map, &batch.inputs.label, &batch.inputs.latent})
    if (t->defined()) with(*t);
}

}  // namespace

struct Upload::Impl {
  Loader& loader;
  const c10::Device device;
  const bool ahead;
  std::optional<c10::Stream> copies;  // on a GPU

  struct Sent {
    tensor::Batch batch;
    std::optional<c10::Event> arrived;
  };
  std::optional<Sent> coming;

  Sent send() const {
    Sent sent{.batch = loader.next(), .arrived = {}};
    std::optional<c10::StreamGuard> guard;
    if (copies) guard.emplace(*copies);
    for_each(sent.batch, [&](at::Tensor& t) { t = t.to(device, /*non_blocking=*/true); });
    if (copies) sent.arrived.emplace(device.type()).record(*copies);
    return sent;
  }
};

Upload::Upload(Loader& loader, const c10::Device& device, bool ahead)
    : impl_(new Impl{.loader = loader, .device = device, .ahead = ahead, .copies = {}, .coming = {}}) {
  if (!device.is_cpu())
    impl_->copies =
        c10::impl::VirtualGuardImpl(device.type()).getStreamFromGlobalPool(device, /*isHighPriority=*/false);
}

Upload::~Upload() = default;

tensor::Batch Upload::next() {
  Impl::Sent now = impl_->coming ? std::move(*impl_->coming) : impl_->send();
  impl_->coming.reset();
  if (now.arrived) {
    const c10::Stream working = c10::impl::VirtualGuardImpl(impl_->device.type()).getStream(impl_->device);
    now.arrived->block(working);
    // Made on one stream and used on the other: their memory is free when the other has done with it.
    for_each(now.batch, [&](at::Tensor& t) { t.record_stream(working); });
  }
  if (impl_->ahead) impl_->coming = impl_->send();
  return std::move(now.batch);
}

void Upload::seek(int64_t sample, int64_t batch) {
  impl_->coming.reset();
  impl_->loader.seek(sample, batch);
}

}  // namespace derm::loader
