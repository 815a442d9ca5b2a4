#pragma once
// Networks that turn pictures into features.
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include <ATen/core/Tensor.h>

namespace derm::metrics {

/// What is printed with every number: name(), sha256(), resize_kernel(). Features of two extractors that differ in one
/// of the three must not be compared.
class Extractor {
 public:
  virtual ~Extractor() = default;
  virtual std::string name() const = 0;  ///< network, tap and, where it is not fp32, precision: "inception-768"
  virtual int64_t dimension() const = 0;
  virtual std::string sha256() const { return ""; }  ///< of the weights file, 64 digits; "" where there is none
  virtual std::string resize_kernel() const = 0;     ///< how images reach the network's size, in words
  /// What its distances are called. "FID" and "KID" are kept for the full Inception of 2015 with the published weights.
  virtual std::string frechet_name() const { return "FD-" + name(); }
  virtual std::string kernel_name() const { return "KID-" + name(); }
  /// An image's features do not depend on the others of its batch.
  /// @param images  [N, 3, H, W] in [-1, 1], any size
  /// @return        [N, dimension()] float on the CPU, finite
  /// @throws        UsageError for another shape; DataError if a feature is not finite
  virtual at::Tensor features(const at::Tensor& images) = 0;
};

/// A small convolutional network with fixed random weights, on images at 64 px: a reference that needs no weights file,
/// good enough to order checkpoints of one run (random embeddings: Naeem et al. 2020, arXiv:2002.09797, section 5.4).
/// Its distances carry its name, "random-conv-512", and are comparable with no other extractor's.
std::unique_ptr<Extractor> random_extractor();

enum class Convention {
  clean,   ///< clean-fid: resize_clean
  legacy,  ///< pytorch-fid: resize_legacy
};

struct InceptionOptions {
  std::filesystem::path path;  ///< safetensors, or PyTorch's .pth
  int64_t tap = 2048;  ///< 2048 (last average pool), 768 (Mixed_6e), 192, 64 (second and first max pool), averaged
  Convention convention = Convention::clean;
  /// bf16, channels last, convolution with bias and ReLU in one. Some hundredths of a percent off (docs/metrics.md);
  /// without a processor that multiplies bf16 it is slower than the exact mode.
  bool fast = false;
  void validate() const;  ///< throws UsageError for an unknown tap or an empty path
};

/// The Inception-v3 of 2015-12-05 that FID is defined on (Heusel et al. 2017, arXiv:1706.08500; network: Szegedy et al.
/// 2016, arXiv:1512.00567), with the names and the particulars of pytorch-fid: average pools leave the padding out, the
/// last block's pool branch is a max pool, 1008 classes.
class Inception : public Extractor {
 public:
  /// Class scores from the last features, for the Inception Score.
  /// @param pool  [N, 2048], from features() with tap 2048
  /// @param bias  the published score leaves the bias out
  /// @return      [N, 1008] float
  /// @throws      UsageError if the tap is another one or the file has no classifier
  virtual at::Tensor logits(const at::Tensor& pool, bool bias = true) const = 0;
  virtual bool has_classifier() const = 0;
  /// The published weights, by SHA-256: only these give "FID".
  virtual bool is_published() const = 0;
};

/// File name and SHA-256 of the published weights in pytorch-fid's layout.
inline constexpr const char* kFidWeightsName = "pt_inception-2015-12-05-6726825d.pth";
inline constexpr const char* kFidWeightsSha256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2";

/// Reads a complete file (batch norms separate, eps 1e-3, or folded into the convolutions), or one that ends after
/// Mixed_6e or misses some of what lies behind it: that serves taps up to 768.
/// @throws DataError: a file of the published name with another SHA-256; every missing, unexpected and differently
///         shaped tensor together; a weight that is not finite. A tap that the file is not complete for.
std::unique_ptr<Inception> inception_extractor(const InceptionOptions& options);

}  // namespace derm::metrics
