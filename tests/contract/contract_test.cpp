// What every recipe has to keep, run on each that the build finds.
#include <set>

#include <ATen/record_function.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/tensor/state.h"
#include "subject.h"

namespace derm {
namespace {

class Contract : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Recipes, Contract, testing::ValuesIn(models::catalogue().names()), [](const auto& instance) {
  std::string name = instance.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

TEST_P(Contract, AnswersInTheShapeOfItsKind) {
  Subject subject(GetParam());
  torch::NoGradGuard guard;
  subject.kept().eval();
  for (const int64_t n : {3, 1}) {
    const auto batch = subject.batch(n);
    const auto kind = subject.recipe->kind();
    if (kind == recipe::Kind::generator) {
      const auto images = recipe::generator_of(subject.players).generate(batch.inputs);
      EXPECT_EQ(images.sizes(), (std::vector<int64_t>{n, 3, kSize, kSize}));
      EXPECT_EQ(images.scalar_type(), torch::kFloat);
      EXPECT_LE(images.abs().max().item<double>(), 1.0);
      continue;
    }
    const auto answer = recipe::judge_of(subject.players).judge(batch.image);
    EXPECT_EQ(answer.scalar_type(), torch::kFloat);
    EXPECT_TRUE(at::isfinite(answer).all().item<bool>());
    if (kind == recipe::Kind::segmenter) {
      EXPECT_EQ(answer.sizes(), (std::vector<int64_t>{n, 1, kSize, kSize}));
    }
    if (kind == recipe::Kind::classifier) {
      EXPECT_EQ(answer.sizes(), (std::vector<int64_t>{n, static_cast<int64_t>(kConditions.size())}));
    }
    if (kind == recipe::Kind::encoder) {
      EXPECT_EQ(answer.dim(), 2);
      EXPECT_EQ(answer.size(0), n);
    }
  }
}

TEST_P(Contract, AJudgeAnswersEachImageForItself) {
  Subject subject(GetParam());
  if (!recipe::is_judge(subject.recipe->kind())) GTEST_SKIP() << "makes images";
  torch::NoGradGuard guard;
  auto& judge = recipe::judge_of(subject.players);
  judge.eval();
  const auto images = subject.batch(3).image;
  const auto together = judge.judge(images);
  for (int64_t i = 0; i < 3; ++i) {
    const auto alone = judge.judge(images.narrow(0, i, 1));
    EXPECT_LT((alone[0] - together[i]).abs().max().item<double>(), 1e-4 * (1 + together.abs().max().item<double>()));
  }
}

TEST_P(Contract, AJudgeHasFiniteFiguresOfFixedNames) {
  Subject subject(GetParam());
  if (!recipe::is_judge(subject.recipe->kind())) GTEST_SKIP() << "is measured by KID";
  torch::NoGradGuard guard;
  auto& judge = recipe::judge_of(subject.players);
  judge.eval();
  std::vector<std::string> names;
  for (const int64_t n : {6, 1}) {
    const std::vector<tensor::Batch> validation = {subject.batch(n)};
    subject.recipe->calibrate(judge, validation, {});
    std::vector<std::string> found;
    for (const auto& [name, value] : subject.recipe->figures(judge, validation, {})) {
      EXPECT_TRUE(std::isfinite(value)) << name;
      found.push_back(name);
    }
    ASSERT_FALSE(found.empty());
    if (names.empty()) names = found;
    EXPECT_EQ(found, names);
  }
}

TEST_P(Contract, HasFiniteNamedLossesAlsoForABatchOfOne) {
  for (const int64_t n : {2, 1}) {
    Subject subject(GetParam());
    auto optimisers = subject.optimisers();
    for (int64_t i = 0; i < 2; ++i)
      for (const auto& [name, value] : subject.step(subject.batch(n), i, optimisers))
        EXPECT_TRUE(std::isfinite(value)) << name;
  }
}

TEST_P(Contract, MovesOnlyThePlayerOfThePhase) {
  Subject subject(GetParam());
  for (const auto& phase : subject.phases) EXPECT_TRUE(subject.players.contains(phase.player)) << phase.name;
  const auto b = subject.batch(2);
  for (const auto& phase : subject.phases) {
    at::Generator random = at::globalContext().defaultGenerator(at::kCPU);
    recipe::StepMemo memo;
    recipe::StepContext context{.batch = b, .step = 0, .kimg = 0, .random = random, .memo = memo};
    at::Tensor total = torch::zeros({});
    for (const auto& term : phase.losses(context)) total = total + term.weight * term.value;
    const auto parameters = subject.players.at(phase.player)->parameters();
    const auto gradients = torch::autograd::grad({total}, parameters, {}, {}, false, true);
    bool any = false;
    for (const auto& g : gradients) any = any || (g.defined() && g.abs().sum().item<double>() > 0);
    EXPECT_TRUE(any) << phase.name << " moves nothing";
    for (const auto& [name, player] : subject.players)
      for (const auto& p : player->parameters())
        EXPECT_FALSE(p.grad().defined()) << phase.name << " leaks into " << name;
  }
}

TEST_P(Contract, RepeatsItselfToTheBit) {
  std::vector<at::Tensor> first;
  for (int repeat = 0; repeat < 2; ++repeat) {
    Subject subject(GetParam());
    auto optimisers = subject.optimisers();
    for (int64_t i = 0; i < 3; ++i) subject.step(subject.batch(2), i, optimisers);
    const auto parameters = subject.kept().parameters();
    for (size_t i = 0; i < parameters.size(); ++i) {
      if (repeat == 0)
        first.push_back(parameters[i].detach().clone());
      else
        EXPECT_TRUE(torch::equal(first[i], parameters[i])) << i;
    }
  }
}

/// Operators that make the host wait until a GPU has come so far, because their answer or its size is needed.
std::vector<std::string>& waiting_operators() {
  thread_local std::vector<std::string> seen;
  return seen;
}

std::unique_ptr<at::ObserverContext> note_waiting(const at::RecordFunction& function) {
  static const std::set<std::string> waiting = {"aten::item",    "aten::_local_scalar_dense", "aten::is_nonzero",
                                                "aten::nonzero", "aten::masked_select",       "aten::equal",
                                                "aten::_unique2"};
  const std::string name = function.name();
  if (waiting.contains(name)) waiting_operators().push_back(name);
  return nullptr;
}

TEST_P(Contract, AStepNeverMakesTheHostWaitForTheDevice) {
  Subject subject(GetParam());
  auto optimisers = subject.optimisers();
  const auto b = subject.batch(2);
  // The first step may settle what stays; those that follow are watched, one with every phase among them.
  for (const int64_t number : {0, 1, 2, 16}) {
    waiting_operators().clear();
    const auto handle =
        at::addThreadLocalCallback(at::RecordFunctionCallback(note_waiting).scopes({at::RecordScope::FUNCTION}));
    at::Generator random = at::globalContext().defaultGenerator(at::kCPU);
    recipe::StepMemo memo;
    recipe::StepContext context{.batch = b, .step = number, .kimg = 0, .random = random, .memo = memo};
    for (const auto& phase : subject.phases) {
      if (number % phase.every != 0) continue;
      at::Tensor total = torch::zeros({});
      for (const auto& term : phase.losses(context)) total = total + term.weight * term.value;
      auto& adam = optimisers.at(phase.player);
      adam.step(torch::autograd::grad({total}, adam.parameters(), {}, {}, false, true), 1.0);
    }
    at::removeCallback(handle);
    if (number > 0) EXPECT_THAT(waiting_operators(), testing::IsEmpty()) << "step " << number;
  }
}

TEST_P(Contract, WeightsGoThereAndBack) {
  Subject subject(GetParam());
  const fs::path file = fs::temp_directory_path() / ("derm_contract_" + GetParam() + ".safetensors");
  auto other = subject.make(2);
  for (const auto& [name, player] : subject.players) {
    tensor::write_safetensors(file, tensor::state_of(*player));
    tensor::load_state(*other.at(name), tensor::read_safetensors(file), file.string(), subject.recipe->hint());
    const auto a = tensor::state_of(*player), b = tensor::state_of(*other.at(name));
    for (size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(torch::equal(a[i].second, b[i].second)) << a[i].first;
  }
  fs::remove(file);
}

TEST_P(Contract, RefusesWrongWeightsByName) {
  Subject subject(GetParam());
  auto& kept = subject.kept();
  tensor::SafeTensors state;
  for (const auto& [name, t] : tensor::state_of(kept)) state.tensors[name] = t;
  const std::string name = tensor::state_of(kept).front().first;
  state.tensors[name] = torch::zeros({1, 2, 3});
  try {
    tensor::load_state(kept, state, "file.safetensors", subject.recipe->hint());
    FAIL() << "a tensor of another shape was taken";
  } catch (const DataError& error) {
    EXPECT_NE(std::string(error.what()).find(name), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("[1, 2, 3]"), std::string::npos) << error.what();
  }
}

TEST_P(Contract, OptionsGoThereAndBack) {
  auto a = models::catalogue().make(GetParam()), b = models::catalogue().make(GetParam());
  Options first, second;
  a->bind(first);
  b->bind(second);
  second.read_toml(first.to_toml(), "there and back");
  EXPECT_EQ(first.to_json(), second.to_json());
  EXPECT_FALSE(first.names().empty());
  EXPECT_THROW(first.read_toml("no_such_option = 1", "test"), UsageError);
}

}  // namespace
}  // namespace derm
