#pragma once
// Ranks as threads of one test.
#include <thread>
#include <vector>

#include "derm/base/error.h"
#include "derm/ranks/group.h"
#include "derm/ranks/testing/port.h"

namespace derm::ranks::testing {

inline Place place(int rank, int world, int port) {
  return {.rank = rank, .world = world, .local_rank = rank, .local_world = world, .port = port, .starter = "test"};
}

inline bool has_gloo() {
  try {
    Group::join(place(0, 2, free_port()), {.join_s = 0.5});
  } catch (const UsageError&) {
    return false;
  } catch (const DataError&) {
  }
  return true;
}

/// Each rank is a thread.
template <class Work>
void with_ranks(int world, Work work) {
  const int port = free_port();
  std::vector<std::thread> ranks;
  for (int rank = 0; rank < world; ++rank)
    ranks.emplace_back([=] {
      const auto group = Group::join(place(rank, world, port));
      work(*group);
    });
  for (auto& rank : ranks) rank.join();
}

}  // namespace derm::ranks::testing
