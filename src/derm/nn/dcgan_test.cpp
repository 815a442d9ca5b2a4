#include "derm/nn/dcgan.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "derm/base/error.h"

namespace derm::nn {
namespace {

TEST(Dcgan, ChannelsDoubleWithEveryHalvingUpTo8Widths) {
  EXPECT_EQ(dcgan_channels(64, 256, 256), 32);
  EXPECT_EQ(dcgan_channels(64, 256, 128), 64);
  EXPECT_EQ(dcgan_channels(64, 256, 32), 256);
  EXPECT_EQ(dcgan_channels(64, 256, 16), 512);
  EXPECT_EQ(dcgan_channels(64, 256, 4), 512);
}

TEST(Dcgan, TrunkGivesFeaturesOfTheSideAskedForInTheTypeOfItsVector) {
  for (const char* upsample : {"deconv", "resize"}) {
    DcganTrunk trunk(DcganTrunkOptions{.in = 5, .size_px = 64, .until_px = 16, .width = 2, .upsample = upsample});
    const at::Tensor features = trunk(torch::randn({3, 5}));
    EXPECT_EQ(features.sizes(), (std::vector<int64_t>{3, 4, 16, 16})) << upsample;
    EXPECT_EQ(trunk(torch::randn({3, 5}).to(torch::kBFloat16)).scalar_type(), torch::kBFloat16);
  }
  EXPECT_THROW(Up(2, 2, "bilinear", true), UsageError);
}

TEST(Dcgan, DiscriminatorGivesOneLogitAnImageAtEverySize) {
  for (const int64_t side : {8, 64, 512}) {
    DcganDiscriminator net(3, side, 2, "batch");
    net->eval();
    EXPECT_EQ(net(torch::randn({2, 3, side, side})).sizes(), (std::vector<int64_t>{2})) << side;
  }
}

TEST(Dense, IsLibtorchsLinear) {
  torch::manual_seed(3);
  torch::nn::Linear theirs(4, 3);
  Dense ours(4, 3);
  torch::NoGradGuard guard;
  ours->weight.copy_(theirs->weight);
  ours->bias.copy_(theirs->bias);
  const at::Tensor x = torch::randn({5, 4});
  EXPECT_TRUE(torch::equal(ours(x), theirs(x)));
}

}  // namespace
}  // namespace derm::nn
