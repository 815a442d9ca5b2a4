// The pieces of a training step and of the data path, each beside the plain libtorch form of the same thing.
//
//   build/bench/micro_bench [--benchmark_filter=...]     on as many threads as libtorch takes (OMP_NUM_THREADS)
#include <filesystem>

#include <benchmark/benchmark.h>
#include <torch/torch.h>
#include <unistd.h>

#include "derm/base/files.h"
#include "derm/base/system.h"
#include "derm/image/codec.h"
#include "derm/image/resize.h"
#include "derm/loader/loader.h"
#include "derm/loader/pixels.h"
#include "derm/nn/layers.h"
#include "derm/phantom/phantom.h"
#include "derm/training/adam.h"

namespace {

namespace fs = std::filesystem;
using namespace derm;

constexpr int64_t kBatch = 8, kChannels = 128, kSide = 32;

at::Tensor map_of(bool ours) {
  const at::Tensor x = torch::randn({kBatch, kChannels, kSide, kSide});
  return ours ? x.to(at::kBFloat16).contiguous(at::MemoryFormat::ChannelsLast) : x;
}

/// Forward and backward of y by x and the parameters.
template <class Forward>
void there_and_back(benchmark::State& state, const at::Tensor& x, std::vector<at::Tensor> inputs, Forward forward) {
  const at::Tensor variable = x.detach().requires_grad_();
  inputs.push_back(variable);
  const at::Tensor gradient = torch::randn_like(forward(variable).detach());
  for (auto _ : state) benchmark::DoNotOptimize(torch::autograd::grad({forward(variable)}, inputs, {gradient}));
}

void norm_and_leaky_relu(benchmark::State& state, bool ours) {
  nn::Norm norm("batch", kChannels);
  there_and_back(state, map_of(ours), norm->parameters(), [&](const at::Tensor& x) {
    return ours ? norm(x, nn::Activation::leaky_relu())
                : at::leaky_relu(at::batch_norm(x, norm->weight, norm->bias, norm->running_mean, norm->running_var,
                                                true, 0.1, 1e-5, true),
                                 0.2);
  });
}
BENCHMARK_CAPTURE(norm_and_leaky_relu, ours, true)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_CAPTURE(norm_and_leaky_relu, plain, false)->Unit(benchmark::kMillisecond)->UseRealTime();

void doubling_by_resize_convolution(benchmark::State& state, bool ours) {
  nn::ResizeConv layer(kChannels, kChannels / 2, true);
  torch::nn::Conv2d plain(torch::nn::Conv2dOptions(kChannels, kChannels / 2, 3).padding(1));
  const auto parameters = ours ? layer->parameters() : plain->parameters();
  there_and_back(state, map_of(ours), parameters, [&](const at::Tensor& x) {
    return ours ? layer(x) : plain(at::upsample_nearest2d(x, {2 * kSide, 2 * kSide}));
  });
}
BENCHMARK_CAPTURE(doubling_by_resize_convolution, ours, true)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_CAPTURE(doubling_by_resize_convolution, plain, false)->Unit(benchmark::kMillisecond)->UseRealTime();

void doubling_by_transposed_convolution(benchmark::State& state, bool ours) {
  nn::UpConv layer(kChannels, kChannels / 2, true);
  there_and_back(state, map_of(ours), layer->parameters(), [&](const at::Tensor& x) {
    return ours ? layer(x) : at::conv_transpose2d(x, layer->weight, layer->bias, 2, 1);
  });
}
BENCHMARK_CAPTURE(doubling_by_transposed_convolution, ours, true)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_CAPTURE(doubling_by_transposed_convolution, plain, false)->Unit(benchmark::kMillisecond)->UseRealTime();

void adam_of_a_million(benchmark::State& state, bool ours) {
  at::Tensor p = torch::randn({1 << 20});
  const at::Tensor g = torch::randn({1 << 20});
  training::Adam adam({{"p", p}}, {});
  at::Tensor variable = p.clone().requires_grad_();
  torch::optim::Adam plain({variable});
  variable.mutable_grad() = g;
  for (auto _ : state) {
    if (ours)
      adam.step({g}, 1.0);
    else
      plain.step();
  }
}
BENCHMARK_CAPTURE(adam_of_a_million, ours, true)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_CAPTURE(adam_of_a_million, plain, false)->Unit(benchmark::kMillisecond)->UseRealTime();

/// A photograph of 256 px, ready for 128 px: from the file that is mapped into memory, or decoded and resized.
void picture_for_training(benchmark::State& state, bool stored) {
  const fs::path root = fs::temp_directory_path() / ("derm-micro-bench-" + std::to_string(getpid()));
  fs::create_directories(root);
  image::Image picture(256, 256, 3);
  for (size_t i = 0; i < picture.pixels.size(); ++i)
    picture.pixels[i] = static_cast<uint8_t>((i % 768) / 4 + (i * 2654435761u >> 29));
  image::write_png(root / "p.png", picture);
  const auto decoded = [&](size_t) {
    const image::Image read = image::to_rgb(image::read_image(root / "p.png"));
    return loader::Pixels{.picture = image::resize(read, 128, 128, image::Filter::lanczos), .mask = {}, .side = 256};
  };
  const auto store = loader::PixelStore::open_or_make(root / "store.bin", {{root / "p.png", {}}}, 128, decoded);
  for (auto _ : state) benchmark::DoNotOptimize(stored ? store->read(0) : decoded(0));
  state.SetItemsProcessed(state.iterations());
  fs::remove_all(root);
}
BENCHMARK_CAPTURE(picture_for_training, stored, true)->Unit(benchmark::kMicrosecond)->UseRealTime();
BENCHMARK_CAPTURE(picture_for_training, decoded, false)->Unit(benchmark::kMicrosecond)->UseRealTime();

/// Batches of 32 at 256 px as training takes them, augmented and with their maps, from the mapped file on every
/// processor: items are images.
void batches_for_training(benchmark::State& state) {
  const fs::path root = fs::temp_directory_path() / ("derm-micro-bench-set-" + std::to_string(getpid()));
  phantom::PhantomOptions made;
  made.out = root;
  made.count = 48;
  phantom::write_phantoms(made);
  {
    const data::DataSet data = data::DataSet::open(root);
    loader::LoaderOptions options;
    options.batch = 32;
    options.threads = usable_cpus();
    options.pixel_file = root / "pixels.bin";
    options.map = {.encoding = data::Encoding::planes, .conditions = data.conditions(), .size_px = 256};
    std::vector<size_t> rows(data.records().size());
    for (size_t i = 0; i < rows.size(); ++i) rows[i] = i;
    loader::Loader loader(data, rows, options);
    for (int i = 0; i < 4; ++i) loader.next();  // what was made ahead does not count
    for (auto _ : state) benchmark::DoNotOptimize(loader.next());
    state.SetItemsProcessed(state.iterations() * options.batch);
  }
  fs::remove_all(root);
}
BENCHMARK(batches_for_training)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace

BENCHMARK_MAIN();
