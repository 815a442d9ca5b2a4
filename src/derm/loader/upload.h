#pragma once
// A loader's batches on the device that works on them.
#include <memory>

#include <c10/core/Device.h>

#include "derm/loader/loader.h"

namespace derm::loader {

/// On a GPU each batch is copied on a stream of its own while the one before it is worked on, and the host waits for
/// neither. The loader's batches should lie in page-locked memory then (LoaderOptions::pinned).
class Upload {
 public:
  /// @param ahead  each batch is sent for before it is asked for: worth while on a GPU alone
  Upload(Loader& loader, const c10::Device& device, bool ahead);
  ~Upload();
  tensor::Batch next();                          ///< as Loader::next(), on the device
  void seek(int64_t sample, int64_t batch = 0);  ///< as Loader::seek()

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace derm::loader
