// How long sums over ranks take, by their size: what docs/scaling.md reckons with. Started as a training is:
//
//   mpirun -np 2 build/bench/ranks_bench
#include <algorithm>
#include <chrono>
#include <iostream>

#include <fmt/format.h>
#include <torch/torch.h>

#include "derm/ranks/group.h"

int main() {
  using namespace derm;
  const auto group = ranks::Group::join(ranks::place_from_environment());
  if (!group) {
    std::cerr << "ranks_bench: one process has nobody to sum with; start it with mpirun -np 2\n";
    return 2;
  }
  at::set_num_threads(1);
  if (group->leads()) std::cout << "| bytes | median, ms | MB/s |\n|---|---|---|\n";
  for (int64_t values = 64; values <= int64_t{1} << 23; values *= 8) {
    const at::Tensor tensor = torch::ones({values});
    std::vector<double> seconds;
    for (int i = 0; i < 21; ++i) {
      group->barrier();
      const auto start = std::chrono::steady_clock::now();
      group->start_sum(tensor).wait();
      seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    std::sort(seconds.begin(), seconds.end());
    const double median = seconds[seconds.size() / 2];
    if (group->leads())
      std::cout << fmt::format("| {} | {:.3f} | {:.0f} |\n", 4 * values, median * 1e3,
                               4 * static_cast<double>(values) / median / 1e6);
  }
}
