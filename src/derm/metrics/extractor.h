#pragma once
// Networks that turn pictures into features.
#include <memory>
#include <string>

#include <ATen/core/Tensor.h>

namespace derm::metrics {

class Extractor {
 public:
  virtual ~Extractor() = default;
  virtual std::string name() const = 0;  ///< printed with every number computed from it
  virtual int64_t dimension() const = 0;
  /// @param images  [N, 3, H, W] in [-1, 1], any size
  /// @return        [N, dimension()] float on the CPU
  virtual at::Tensor features(const at::Tensor& images) = 0;
};

/// A small convolutional network with fixed random weights, on images at 64 px: a reference that needs no weights file,
/// good enough to order checkpoints of one run (random embeddings: Naeem et al. 2020, arXiv:2002.09797, section 5.4).
/// Its distances carry its name, "random-conv-512", and are comparable with no other extractor's.
std::unique_ptr<Extractor> random_extractor();

}  // namespace derm::metrics
