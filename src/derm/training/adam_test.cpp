#include "derm/training/adam.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

namespace derm::training {
namespace {

TEST(Adam, MovesAsTorchsOwn) {
  torch::manual_seed(1);
  auto ours = torch::randn({7, 3}), theirs = ours.clone().requires_grad_();
  Adam adam({{"w", ours}}, {.lr = 1e-2, .beta1 = 0.5, .beta2 = 0.9});
  torch::optim::Adam reference({theirs}, torch::optim::AdamOptions(1e-2).betas({0.5, 0.9}).eps(1e-8));
  for (int i = 0; i < 20; ++i) {
    const auto g = torch::randn({7, 3});
    adam.step({g}, 1.0);
    theirs.mutable_grad() = g;
    reference.step();
  }
  EXPECT_LT((ours - theirs).abs().max().item<double>(), 1e-6);
}

TEST(Adam, GoesOnFromItsState) {
  torch::manual_seed(2);
  auto a = torch::randn({5}), b = a.clone();
  Adam straight({{"w", a}}, {}), first({{"w", b}}, {});
  std::vector<at::Tensor> gradients;
  for (int i = 0; i < 6; ++i) gradients.push_back(torch::randn({5}));
  for (const auto& g : gradients) straight.step({g}, 1.0);
  for (int i = 0; i < 3; ++i) first.step({gradients[i]}, 1.0);
  tensor::SafeTensors kept;
  for (auto& [name, t] : first.state("g.")) kept.tensors[name] = t.clone();
  Adam second({{"w", b}}, {});
  second.load(kept, "g.", "test");
  for (int i = 3; i < 6; ++i) second.step({gradients[i]}, 1.0);
  EXPECT_TRUE(torch::equal(a, b));
}

}  // namespace
}  // namespace derm::training
