#include "derm/nn/dcgan.h"

#include <algorithm>

#include <torch/torch.h>

#include "derm/base/error.h"

namespace derm::nn {
namespace {

constexpr int64_t kFirstSide = 4;

}  // namespace

int64_t dcgan_channels(int64_t width, int64_t size_px, int64_t side) {
  return side >= size_px ? std::max<int64_t>(1, width / 2) : std::min(width * (size_px / (2 * side)), 8 * width);
}

UpImpl::UpImpl(int64_t in, int64_t out, const std::string& upsample, bool with_bias) {
  if (upsample == "deconv")
    deconv_ = register_module("deconv", UpConv(in, out, with_bias));
  else if (upsample == "resize")
    resize_ = register_module("resize", ResizeConv(in, out, with_bias));
  else
    throw UsageError("upsample = \"{}\", expected resize or deconv", upsample);
}

at::Tensor UpImpl::forward(const at::Tensor& x) { return deconv_ ? deconv_(x) : resize_(x); }

DcganTrunkImpl::DcganTrunkImpl(const DcganTrunkOptions& o) : first_(dcgan_channels(o.width, o.size_px, kFirstSide)) {
  project_ = register_module("project", Dense(o.in, first_ * kFirstSide * kFirstSide));
  norms_.push_back(register_module("project_norm", Norm(o.norm, first_)));
  int64_t in = first_;
  for (int64_t side = 2 * kFirstSide; side <= o.until_px; side *= 2) {
    const int64_t out = dcgan_channels(o.width, o.size_px, side);
    ups_.push_back(register_module(fmt::format("up{}", side), Up(in, out, o.upsample, o.norm == "none")));
    norms_.push_back(register_module(fmt::format("up{}_norm", side), Norm(o.norm, out)));
    in = out;
  }
}

at::Tensor DcganTrunkImpl::forward(const at::Tensor& vector) {
  at::Tensor x = project_(vector)
                     .reshape({vector.size(0), first_, kFirstSide, kFirstSide})
                     .contiguous(at::MemoryFormat::ChannelsLast);
  x = norms_[0](x, Activation::relu());                                                        // [N, C, 4, 4]
  for (size_t i = 0; i < ups_.size(); ++i) x = norms_[i + 1](ups_[i](x), Activation::relu());  // [N, C', 8 2^i, 8 2^i]
  return x;
}

DcganDiscriminatorImpl::DcganDiscriminatorImpl(int64_t in_channels, int64_t size_px, int64_t width,
                                               const std::string& norm) {
  const bool spectral = norm == "spectral";
  int64_t in = in_channels;
  for (int64_t side = size_px, out = width; side > kFirstSide; side /= 2, out = std::min(2 * out, 8 * width)) {
    const bool normed = side != size_px && norm != "none" && !spectral;
    convs_.push_back(register_module(
        fmt::format("conv{}", side),
        Conv(ConvOptions{.in = in, .out = out, .kernel = 4, .stride = 2, .bias = !normed, .spectral = spectral})));
    norms_.push_back(register_module(fmt::format("conv{}_norm", side), Norm(normed ? norm : "none", out)));
    in = out;
  }
  convs_.push_back(
      register_module("logit", Conv(ConvOptions{.in = in, .out = 1, .kernel = 4, .padding = 0, .spectral = spectral})));
}

at::Tensor DcganDiscriminatorImpl::forward(const at::Tensor& images) {
  at::Tensor x = images;
  for (size_t i = 0; i < norms_.size(); ++i)
    x = norms_[i](convs_[i](x), Activation::leaky_relu());  // [N, C, S / 2^(i+1)]
  return convs_.back()(x).to(at::kFloat).flatten();         // [N, 1, 1, 1] -> [N]
}

}  // namespace derm::nn
