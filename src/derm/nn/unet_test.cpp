#include "derm/nn/unet.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/nn/patch_discriminator.h"

namespace derm::nn {
namespace {

TEST(UNet, KeepsTheSizeAndStaysWithinOne) {
  for (const char* upsample : {"transposed", "resize"}) {
    UNet net(UNetOptions{.in_channels = 10, .size_px = 64, .width = 4, .levels = 6, .upsample = upsample});
    const auto y = net(torch::randn({1, 10, 64, 64}));  // a batch of one, its innermost level a single pixel
    EXPECT_EQ(y.sizes(), (std::vector<int64_t>{1, 3, 64, 64})) << upsample;
    EXPECT_LE(y.abs().max().item<double>(), 1.0);
  }
}

TEST(UNet, HasPix2PixsParameterCountAtWidth64) {
  // 54.41 million in the published 256 px network (3 channels in and out, batch norm).
  UNet net(UNetOptions{});
  int64_t count = 0;
  for (const auto& p : net->parameters()) count += p.numel();
  EXPECT_NEAR(count / 1e6, 54.41, 0.01);
}

TEST(UNet, RefusesSizesItCannotHalve) {
  EXPECT_THROW(UNet(UNetOptions{.size_px = 96}), UsageError);
  EXPECT_THROW(UNet(UNetOptions{.size_px = 64, .levels = 7}), UsageError);
}

TEST(UNet, AddsTheNoiseAtEveryLevelOfTheDecoder) {
  torch::NoGradGuard guard;
  UNet net(UNetOptions{.in_channels = 3,
                       .size_px = 64,
                       .width = 4,
                       .levels = 4,
                       .upsample = "resize",
                       .norm = "none",
                       .dropout_levels = 0,
                       .noise_planes = 1});
  for (auto& p : net->parameters()) p.normal_(0, 0.3);
  // What the encoder sees of the noise is taken away; what is left comes in beside it.
  net->named_parameters()["down0.weight"].narrow(1, 2, 1).zero_();
  const auto map = torch::rand({1, 2, 64, 64});
  const auto image = [&](const at::Tensor& noise) { return net(at::cat({map, noise}, 1)); };
  const auto plain = image(torch::zeros({1, 1, 64, 64}));
  for (const char* level : {"up1_noise.weight", "up2_noise.weight", "up3_noise.weight"}) {
    for (auto& p : net->named_parameters())
      if (p.key().find("_noise") != std::string::npos) p.value().fill_(p.key() == level ? 0.5 : 0.0);
    EXPECT_GT((image(torch::randn({1, 1, 64, 64})) - plain).abs().max().item<double>(), 1e-5) << level;
  }
  EXPECT_FALSE(net->named_parameters().contains("up0_noise.weight"));  // the picture itself gets none
  EXPECT_THROW(UNet(UNetOptions{.in_channels = 3, .noise_planes = 3}), UsageError);
}

TEST(PatchDiscriminator, SeesTheStatedPatch) {
  EXPECT_EQ(PatchDiscriminatorImpl::patch_px(3), 70);
  EXPECT_EQ(PatchDiscriminatorImpl::patch_px(2), 34);
  EXPECT_EQ(PatchDiscriminatorImpl::patch_px(1), 16);
  PatchDiscriminator net(PatchOptions{.in_channels = 3, .width = 8, .layers = 2, .norm = "none"});
  for (auto& p : net->parameters()) torch::nn::init::normal_(p);
  auto x = torch::randn({1, 3, 128, 128}, torch::requires_grad());
  const auto logits = net(x).logits;
  const auto g = torch::autograd::grad({logits[0][0][15][15]}, {x})[0].abs().sum(1)[0];
  EXPECT_EQ((g.sum(0) > 0).sum().item<int64_t>(), 34);
}

TEST(PatchDiscriminator, HasPix2PixsParameterCount) {
  PatchDiscriminator net(PatchOptions{});
  int64_t count = 0;
  for (const auto& p : net->parameters()) count += p.numel();
  EXPECT_NEAR(count / 1e6, 2.769, 0.001);
}

}  // namespace
}  // namespace derm::nn
