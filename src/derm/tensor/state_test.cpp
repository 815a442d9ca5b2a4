#include "derm/tensor/state.h"

#include <cstdio>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "derm/base/error.h"

namespace derm::tensor {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

/// Own parameter and buffer beside children, to see the order.
struct ToyImpl : torch::nn::Module {
  explicit ToyImpl(int64_t width) {
    net = register_module("net", torch::nn::Sequential(torch::nn::Conv2d(torch::nn::Conv2dOptions(3, width, 1)),
                                                       torch::nn::BatchNorm2d(width)));
    scale = register_parameter("scale", torch::ones({1}));
    seen = register_buffer("seen", torch::zeros({1}, at::kLong));
  }
  torch::nn::Sequential net;
  at::Tensor scale, seen;
};

std::vector<std::string> names_of(const NamedTensors& tensors) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors) names.push_back(name);
  return names;
}

SafeTensors file_of(const torch::nn::Module& module, const std::string& prefix = "") {
  SafeTensors out;
  for (const auto& [name, tensor] : state_of(module)) out.tensors.emplace(prefix + name, tensor.clone());
  return out;
}

std::string refusal_of(torch::nn::Module& module, const SafeTensors& state) {
  try {
    load_state(module, state, "m.safetensors", "toy(width=2)");
  } catch (const DataError& e) {
    return e.what();
  }
  return "accepted";
}

TEST(StateOf, NamesAndOrderAreThoseOfPyTorch) {
  // torch.nn: own parameters, own buffers, then the children, each with its buffers.
  EXPECT_THAT(names_of(state_of(ToyImpl(2))),
              ElementsAre("scale", "seen", "net.0.weight", "net.0.bias", "net.1.weight", "net.1.bias",
                          "net.1.running_mean", "net.1.running_var", "net.1.num_batches_tracked"));
}

TEST(StateOf, AgreesWithPythonsStateDict) {
  if (!std::filesystem::exists("/usr/bin/python3")) GTEST_SKIP() << "there is no /usr/bin/python3";
  FILE* pipe = popen(
      "/usr/bin/python3 -c '\n"
      "import collections, torch.nn as nn\n"
      "a = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))\n"
      "b = nn.Sequential(nn.Linear(2, 2, bias=False), nn.InstanceNorm1d(2))\n"
      "net = nn.Sequential(collections.OrderedDict(b=b, a=a))\n"
      "print(\" \".join(net.state_dict()))' 2>/dev/null",
      "r");
  ASSERT_NE(pipe, nullptr);
  char line[1000] = "";
  const bool answered = fgets(line, sizeof line, pipe) != nullptr;
  if (pclose(pipe) != 0 || !answered) GTEST_SKIP() << "there is no PyTorch for /usr/bin/python3";
  namespace nn = torch::nn;
  struct Net : nn::Module {
    Net() {
      register_module("b", nn::Sequential(nn::Linear(nn::LinearOptions(2, 2).bias(false)), nn::InstanceNorm1d(2)));
      register_module("a", nn::Sequential(nn::Conv2d(nn::Conv2dOptions(3, 2, 1)), nn::BatchNorm2d(2)));
    }
  };
  EXPECT_EQ(fmt::format("{}\n", fmt::join(names_of(state_of(Net())), " ")), line);
}

TEST(StateOf, SharesStorageWithTheModule) {
  ToyImpl toy(2);
  state_of(toy)[0].second.fill_(5);
  EXPECT_EQ(toy.scale.item<float>(), 5.0f);
}

TEST(LoadState, CopiesEveryTensor) {
  ToyImpl from(2), to(2);
  torch::NoGradGuard no_grad;
  from.scale.fill_(3);
  from.seen.fill_(9);
  load_state(to, file_of(from), "m", "toy");
  EXPECT_EQ(to.scale.item<float>(), 3.0f);
  EXPECT_EQ(to.seen.item<int64_t>(), 9);
  EXPECT_TRUE(torch::equal(from.net[0]->as<torch::nn::Conv2d>()->weight, to.net[0]->as<torch::nn::Conv2d>()->weight));
  EXPECT_TRUE(to.scale.requires_grad());
}

TEST(LoadState, HalfPrecisionFilesFitFp32Modules) {
  ToyImpl from(2), to(2);
  for (const auto type : {at::kHalf, at::kBFloat16}) {
    SafeTensors state = file_of(from);
    for (auto& [name, tensor] : state.tensors)
      if (tensor.is_floating_point()) tensor = torch::full_like(tensor, 0.5).to(type);
    load_state(to, state, "m", "toy");
    EXPECT_EQ(to.scale.scalar_type(), at::kFloat);
    EXPECT_EQ(to.scale.item<float>(), 0.5f);
  }
}

TEST(LoadState, TakesOnlyNamesWithThePrefix) {
  ToyImpl from(2), to(2);
  {
    torch::NoGradGuard no_grad;
    from.scale.fill_(4);
  }
  SafeTensors state = file_of(from, "generator.");
  state.tensors.emplace("discriminator.x", torch::ones(1));
  load_state(to, state, "m", "toy", "generator.");
  EXPECT_EQ(to.scale.item<float>(), 4.0f);
}

TEST(LoadState, NamesTheTensorOfAnotherShape) {
  ToyImpl toy(2);
  SafeTensors state = file_of(toy);
  state.tensors.at("net.0.weight") = torch::zeros({4, 3, 1, 1});
  EXPECT_EQ(refusal_of(toy, state),
            "m.safetensors: 'net.0.weight' is [4, 3, 1, 1] in the file, toy(width=2) needs [2, 3, 1, 1]");
}

TEST(LoadState, ReportsEveryDifferenceAndChangesNothing) {
  ToyImpl toy(2);
  SafeTensors state = file_of(toy);
  state.tensors.at("scale") = torch::full({1}, 8.0f);
  state.tensors.at("net.0.weight") = torch::zeros({4, 3, 1, 1});
  state.tensors.at("seen") = torch::zeros({1});
  state.tensors.erase("net.0.bias");
  state.tensors.emplace("net.7.bias", torch::zeros({2}));
  const std::string message = refusal_of(toy, state);
  EXPECT_THAT(message, HasSubstr("'net.0.weight' is [4, 3, 1, 1] in the file"));
  EXPECT_THAT(message, HasSubstr("'net.0.bias' is missing, toy(width=2) needs [2]"));
  EXPECT_THAT(message, HasSubstr("'net.7.bias' [2] is in the file, toy(width=2) has no such tensor"));
  EXPECT_THAT(message, HasSubstr("'seen' is of type Float in the file, toy(width=2) needs Long"));
  EXPECT_EQ(toy.scale.item<float>(), 1.0f);
}

TEST(LoadState, ListsTheFirstTenOfEachKind) {
  ToyImpl toy(2);
  SafeTensors state = file_of(toy);
  for (int i = 0; i < 13; ++i) state.tensors.emplace("other." + std::to_string(i), torch::ones(1));
  EXPECT_THAT(refusal_of(toy, state), HasSubstr("... and 3 more"));
}

TEST(LoadMatching, TakesWhatFitsAndNamesTheRest) {
  ToyImpl small(2), large(4);
  {
    torch::NoGradGuard no_grad;
    small.scale.fill_(6);
  }
  EXPECT_THAT(load_matching(large, file_of(small)),
              ElementsAre("net.0.weight", "net.0.bias", "net.1.weight", "net.1.bias", "net.1.running_mean",
                          "net.1.running_var"));
  EXPECT_EQ(large.scale.item<float>(), 6.0f);
}

TEST(ParameterCount, LeavesBuffersOut) {
  // scale 1, convolution 3 * 2 + 2, batch norm 2 + 2
  EXPECT_EQ(parameter_count(ToyImpl(2)), 13);
}

}  // namespace
}  // namespace derm::tensor
