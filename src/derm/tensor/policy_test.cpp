#include "derm/tensor/policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/base/system.h"

namespace derm::tensor {
namespace {

using testing::HasSubstr;

ComputeOptions cpu(const std::string& precision, int64_t threads) {
  ComputeOptions o;
  o.device = "cpu";
  o.precision = precision;
  o.threads = threads;
  return o;
}

TEST(ChoosePolicy, TakesEveryUsableProcessor) {
  EXPECT_EQ(choose_policy(cpu("fp32", 0)).threads, usable_cpus());
  EXPECT_EQ(at::get_num_threads(), usable_cpus());
}

TEST(ChoosePolicy, TakesTheThreadsItIsGiven) {
  EXPECT_EQ(choose_policy(cpu("fp32", 1)).text(), "cpu, fp32, channels last, 1 thread");
  EXPECT_EQ(at::get_num_threads(), 1);
  EXPECT_EQ(choose_policy(cpu("fp32", 2)).text(), "cpu, fp32, channels last, 2 threads");
  EXPECT_EQ(at::get_num_threads(), 2);
}

TEST(ChoosePolicy, AutoIsBf16ExactlyWhereTheProcessorHasIt) {
  const bool expected = cpu_has_bf16() && at::hasMKLDNN();
  EXPECT_EQ(choose_policy(cpu("auto", 1)).dtype, expected ? at::kBFloat16 : at::kFloat);
}

TEST(ChoosePolicy, ActivationsTakeTypeAndFormat) {
  auto policy = choose_policy(cpu("fp32", 1));
  policy.dtype = at::kBFloat16;
  const auto t = policy.activations(torch::ones({2, 3, 4, 5}));
  EXPECT_EQ(t.scalar_type(), at::kBFloat16);
  EXPECT_TRUE(t.is_contiguous(at::MemoryFormat::ChannelsLast));
  EXPECT_EQ(policy.activations(torch::ones({2, 3})).dim(), 2);
}

TEST(ChoosePolicy, ADeviceThatIsNotThereIsNamed) {
  if (torch::cuda::is_available()) GTEST_SKIP() << "this machine has a CUDA device";
  ComputeOptions o;
  o.device = "cuda:1";
  try {
    choose_policy(o);
    FAIL() << "accepted";
  } catch (const UsageError& e) {
    EXPECT_THAT(e.what(), HasSubstr("\"cuda:1\""));
    EXPECT_THAT(e.what(), HasSubstr("device=cpu"));
  }
}

TEST(ComputeOptions, WrongValuesAreRefused) {
  EXPECT_THROW(cpu("fp16", 0).validate(), UsageError);
  EXPECT_THROW(cpu("fp32", -1).validate(), UsageError);
  for (const char* device : {"gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:1000", ""}) {
    ComputeOptions o;
    o.device = device;
    EXPECT_THROW(o.validate(), UsageError) << device;
  }
}

}  // namespace
}  // namespace derm::tensor
