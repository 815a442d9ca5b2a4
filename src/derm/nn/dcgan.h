#pragma once
// The networks of DCGAN (Radford, Metz, Chintala 2016, arXiv:1511.06434), of which the MelanoGANs are built.
#include <string>
#include <vector>

#include "derm/nn/dense.h"
#include "derm/nn/layers.h"

namespace derm::nn {

/// Channels of the features at `side` in a network whose images have `size_px`: `width` at half of it, doubled with
/// every halving up to 8 width; half of `width` at the full side.
int64_t dcgan_channels(int64_t width, int64_t size_px, int64_t side);

/// Doubling of features: UpConv ("deconv") or ResizeConv ("resize"), without a bias where a norm follows.
class UpImpl : public torch::nn::Module {
 public:
  /// @param upsample  "deconv" or "resize"
  UpImpl(int64_t in, int64_t out, const std::string& upsample, bool with_bias);
  at::Tensor forward(const at::Tensor& x);  ///< [N, in, h, w] -> [N, out, 2h, 2w]

 private:
  UpConv deconv_{nullptr};
  ResizeConv resize_{nullptr};
};
TORCH_MODULE(Up);

struct DcganTrunkOptions {
  int64_t in = 64;         ///< length of the vector
  int64_t size_px = 256;   ///< of the images, for the channels
  int64_t until_px = 128;  ///< side of the features, a power of two from 4
  int64_t width = 64;
  std::string upsample = "deconv";
  std::string norm = "batch";
};

/// Features from a vector: projected to 4x4, then doubled; norm and ReLU after each.
class DcganTrunkImpl : public torch::nn::Module {
 public:
  explicit DcganTrunkImpl(const DcganTrunkOptions& options);
  at::Tensor forward(const at::Tensor& vector);  ///< [N, in] -> [N, channels at until_px, until_px, until_px]

 private:
  int64_t first_;  ///< channels at 4x4
  Dense project_{nullptr};
  std::vector<Up> ups_;
  std::vector<Norm> norms_;
};
TORCH_MODULE(DcganTrunk);

/// Strided 4x4 convolutions down to 4x4, leaky ReLU, norm after all but the first; one logit an image.
class DcganDiscriminatorImpl : public torch::nn::Module {
 public:
  /// @param width  channels after the first convolution; doubled with each further one up to 8 width
  DcganDiscriminatorImpl(int64_t in_channels, int64_t size_px, int64_t width, const std::string& norm);
  at::Tensor forward(const at::Tensor& x);  ///< [N, in_channels, S, S] -> [N], fp32

 private:
  std::vector<Conv> convs_;
  std::vector<Norm> norms_;
};
TORCH_MODULE(DcganDiscriminator);

}  // namespace derm::nn
