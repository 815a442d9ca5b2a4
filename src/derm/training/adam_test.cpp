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

TEST(Adam, CountsTheStepsOfEachParameterByItselfAsTorchsOwn) {
  torch::manual_seed(3);
  auto a = torch::randn({4}), b = torch::randn({4});
  auto c = a.clone().requires_grad_(), d = b.clone().requires_grad_();
  Adam adam({{"a", a}, {"b", b}}, {.lr = 1e-2, .beta1 = 0, .beta2 = 0.99});
  torch::optim::Adam reference({c, d}, torch::optim::AdamOptions(1e-2).betas({0.0, 0.99}).eps(1e-8));
  for (int i = 0; i < 30; ++i) {
    const auto g = torch::randn({4}), h = i < 20 ? at::Tensor() : torch::randn({4});  // b joins late
    adam.step({g, h}, 1.0);
    c.mutable_grad() = g;
    d.mutable_grad() = h;
    reference.step();
  }
  EXPECT_LT((a - c).abs().max().item<double>(), 1e-6);
  EXPECT_LT((b - d).abs().max().item<double>(), 1e-6);
}

TEST(Adam, TakesTheCommonCountOfOlderCheckpoints) {
  auto a = torch::ones({2}), b = torch::ones({3});
  Adam adam({{"a", a}, {"b", b}}, {});
  tensor::SafeTensors kept;
  for (auto& [name, t] : adam.state("g.")) kept.tensors[name] = t.clone();
  kept.tensors["g.step"] = torch::full({1}, 7, torch::kLong);
  adam.load(kept, "g.", "test");
  for (auto& [name, t] : adam.state("g."))
    if (name == "g.step") {
      EXPECT_TRUE(torch::equal(t, torch::full({2}, 7, torch::kLong)));
    }
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
