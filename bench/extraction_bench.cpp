// Seconds an image through the FID Inception, exact and fast.
//
//   DERM_WEIGHTS=FILE build/bench/extraction_bench     FILE: safetensors or .pth
//
// Both modes in one process, on one thread or all that libtorch takes (OMP_NUM_THREADS).
#include <cstdlib>
#include <filesystem>

#include <benchmark/benchmark.h>
#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/metrics/extractor.h"
#include "derm/metrics/resize.h"

namespace {

using derm::metrics::Convention;
using derm::metrics::inception_extractor;

at::Tensor pictures(int64_t count) {
  torch::manual_seed(1);
  return torch::rand({count, 3, 256, 256}) * 2 - 1;
}

void extraction(benchmark::State& state, int64_t tap, bool fast) {
  const char* weights = std::getenv("DERM_WEIGHTS");
  if (!weights) {
    state.SkipWithError("DERM_WEIGHTS names no weights file");
    return;
  }
  const auto extractor = inception_extractor({.path = weights, .tap = tap, .fast = fast});
  const at::Tensor images = pictures(16);
  extractor->features(images.narrow(0, 0, 8));  // packs the weights
  for (auto _ : state) benchmark::DoNotOptimize(extractor->features(images));
  state.counters["images_per_second"] =
      benchmark::Counter(static_cast<double>(16 * state.iterations()), benchmark::Counter::kIsRate);
}
BENCHMARK_CAPTURE(extraction, exact_768, 768, false)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_CAPTURE(extraction, fast_768, 768, true)->Unit(benchmark::kMillisecond)->UseRealTime();

void resizing(benchmark::State& state) {
  const at::Tensor images = (pictures(16) + 1) * 127.5;
  for (auto _ : state) benchmark::DoNotOptimize(derm::metrics::resize_clean(images));
}
BENCHMARK(resizing)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace

BENCHMARK_MAIN();
