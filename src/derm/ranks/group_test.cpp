#include "derm/ranks/group.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/ranks/testing/ranks.h"

namespace derm::ranks {
namespace {

using testing::free_port;
using testing::has_gloo;
using testing::place;
using testing::with_ranks;

TEST(Group, IsNoneOfOneProcess) { EXPECT_EQ(Group::join(Place{}), nullptr); }

TEST(Group, SumsNumbersAndTensors) {
  if (!has_gloo()) GTEST_SKIP() << "this build has no Gloo";
  with_ranks(3, [](Group& group) {
    std::vector<double> numbers = {1.0 + group.rank(), 10};
    group.sum(numbers);
    EXPECT_EQ(numbers, (std::vector<double>{6, 30}));
    const at::Tensor first = torch::full({100000}, static_cast<float>(group.rank())), second = torch::ones({3});
    auto a = group.start_sum(first), b = group.start_sum(second);
    a.wait();
    b.wait();
    EXPECT_TRUE(torch::equal(first, torch::full({100000}, 3.0f)));
    EXPECT_TRUE(torch::equal(second, torch::full({3}, 3.0f)));
    EXPECT_EQ(group.of_first(group.rank() == 0 ? "hören" : "other"), "hören");
    group.barrier();
  });
}

TEST(Group, SaysThatOthersDidNotCome) {
  if (!has_gloo()) GTEST_SKIP() << "this build has no Gloo";
  try {
    Group::join(place(0, 2, free_port()), {.join_s = 0.5});
    FAIL() << "one of two is not a group";
  } catch (const DataError& e) {
    EXPECT_NE(std::string(e.what()).find("did not come together"), std::string::npos) << e.what();
  }
}

}  // namespace
}  // namespace derm::ranks
