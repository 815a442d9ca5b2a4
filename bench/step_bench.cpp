// Whole training steps and whole generation, ours against the plain libtorch form of the same thing (bench/plain.h),
// turn by turn in one process on the same threads.
//
//   build/bench/step_bench [--size 256] [--batch 8] [--threads 0] [--repeats 7] [--images 16]
//
// Prints Markdown tables: the median of the repeats and their quartiles, the ratio of the medians, and how much of the
// machine's bf16 convolution ceiling a step reaches, which is measured beside them.
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <iostream>

#include <fmt/format.h>
#include <torch/torch.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include "derm/base/files.h"
#include "derm/base/system.h"
#include "derm/generation/engine.h"
#include "derm/image/codec.h"
#include "derm/models/catalogue.h"
#include "derm/nn/ema.h"
#include "derm/recipe/stand_in.h"
#include "derm/tensor/convert.h"
#include "derm/training/adam.h"
#include "plain.h"

namespace derm {
namespace {

struct Flags {
  int64_t size = 256, batch = 8, threads = 0, repeats = 7, images = 16;
};

using Clock = std::chrono::steady_clock;

/// Seconds that `work` takes.
double seconds(const std::function<void()>& work) {
  const auto start = Clock::now();
  work();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

struct Times {
  std::vector<double> all;
  double quantile(double q) const {
    std::vector<double> sorted = all;
    std::sort(sorted.begin(), sorted.end());
    return sorted[static_cast<size_t>(q * static_cast<double>(sorted.size() - 1) + 0.5)];
  }
  double median() const { return quantile(0.5); }
  std::string text() const {
    return fmt::format("{:.3f} ({:.3f} to {:.3f})", median(), quantile(0.25), quantile(0.75));
  }
};

/// Turn by turn, so that what disturbs the machine disturbs both; the first of each warms up and does not count.
std::pair<Times, Times> side_by_side(int64_t repeats, const std::function<void()>& ours,
                                     const std::function<void()>& plain) {
  std::pair<Times, Times> times;
  for (int64_t i = -1; i < repeats; ++i) {
    const double a = seconds(ours), b = seconds(plain);
    if (i < 0) continue;
    times.first.all.push_back(a);
    times.second.all.push_back(b);
  }
  return times;
}

/// A recipe's networks in training as `dermgan train` holds them.
class Ours {
 public:
  Ours(const std::string& name, const Flags& flags, const tensor::ComputePolicy& policy)
      : recipe_(models::catalogue().make(name)), policy_(policy) {
    Options options;
    recipe_->bind(options);
    const recipe::ImageSpec spec =
        recipe::image_spec(*recipe_, flags.size, {"melanoma", "nevus", "seborrheic_keratosis"});
    at::Generator random = at::detail::createCPUGenerator(1);
    players_ = recipe_->make_players(spec, random);
    average_ = recipe_->make_players(spec, random).at("generator");
    for (auto& [player, module] : players_) {
      std::vector<std::pair<std::string, at::Tensor>> parameters;
      for (auto& item : module->named_parameters()) parameters.emplace_back(item.key(), item.value());
      optimisers_.emplace(player, training::Adam(parameters, recipe_->optimiser(player)));
    }
    phases_ = recipe_->phases(players_);
    map_channels = spec.map_channels;
    noise_planes_ = recipe_->needs().noise_planes;
  }

  void step(const torch::Tensor& map, const torch::Tensor& image, const torch::Tensor& region) {
    tensor::Batch batch;
    batch.image = image;
    batch.region = region;
    batch.inputs.map = policy_.activations(map);
    if (noise_planes_ > 0)
      batch.inputs.latent = policy_.activations(torch::randn({map.size(0), noise_planes_, map.size(2), map.size(3)}));
    recipe::StepMemo memo;
    at::Generator random = at::globalContext().defaultGenerator(at::kCPU);
    recipe::StepContext context{
        .batch = batch, .step = number_++, .kimg = 0, .random = random, .memo = memo, .policy = policy_};
    for (const auto& phase : phases_) {
      at::Tensor total = torch::zeros({});
      for (const auto& term : phase.losses(context)) total = total + term.value * term.weight;
      training::Adam& adam = optimisers_.at(phase.player);
      adam.step(torch::autograd::grad({total}, adam.parameters(), {}, {}, false, true), 1.0);
    }
    nn::update_average(*average_, *players_.at("generator"), 0.999);
  }

  int64_t map_channels = 0;

 private:
  std::unique_ptr<recipe::Recipe> recipe_;
  tensor::ComputePolicy policy_;
  recipe::Players players_;
  std::shared_ptr<torch::nn::Module> average_;
  std::map<std::string, training::Adam> optimisers_;
  std::vector<recipe::Phase> phases_;
  int64_t noise_planes_ = 0, number_ = 0;
};

/// Floating-point operations of the convolutions of a DermGAN step as we compute them: a doubling as four 2x2
/// convolutions on the small map.
double dermgan_operations(int64_t batch, int64_t size, int64_t map_channels) {
  constexpr int64_t kWidth = 32;
  const auto channels = [&](int64_t i) { return kWidth * std::min<int64_t>(int64_t{1} << i, 8); };
  int64_t levels = 0;
  for (int64_t s = size; s > 1 && levels < 8; s /= 2) ++levels;
  const auto conv = [](int64_t in, int64_t out, int64_t kernel, int64_t side) {
    return 2.0 * static_cast<double>(in * out * kernel * kernel * side * side);
  };
  double generator = 0, discriminator = 0;
  for (int64_t i = 0; i < levels; ++i) {
    generator += conv(i == 0 ? map_channels + 1 : channels(i - 1), channels(i), 4, size >> (i + 1));
    const int64_t in = i == levels - 1 ? channels(i) : 2 * channels(i), out = i == 0 ? 3 : channels(i - 1);
    generator += conv(in, 4 * out, 2, (size >> (i + 1)) + 1);
  }
  discriminator += conv(map_channels + 3, 32, 4, size / 2) + conv(32, 64, 4, size / 4) +
                   conv(64, 128, 4, size / 4 - 1) + conv(128, 1, 4, size / 4 - 2);
  // Generator forward and backward; discriminator forward on real and generated, both backward; then forward on
  // generated, backward to the image alone (2 of 3), and forward on real for feature matching.
  return static_cast<double>(batch) * (3 * generator + 2 * 3 * discriminator + 2 * discriminator + discriminator);
}

/// The machine's bf16 convolution: operations a second of a 3x3 layer that suits it, forward and backward.
double ceiling(const tensor::ComputePolicy& policy, int64_t repeats) {
  constexpr int64_t kChannels = 256, kSide = 32, kBatch = 8;
  const at::Tensor x = policy.activations(torch::randn({kBatch, kChannels, kSide, kSide})).requires_grad_(true);
  const at::Tensor w = policy.activations(torch::randn({kChannels, kChannels, 3, 3}) * 0.02).requires_grad_(true);
  const double operations = 3 * 2.0 * kBatch * kChannels * kChannels * 9 * kSide * kSide;
  Times times;
  for (int64_t i = -1; i < repeats; ++i) {
    const double s = seconds([&] {
      const at::Tensor y = at::conv2d(x, w, {}, 1, 1);
      torch::autograd::grad({y}, {x, w}, {torch::ones_like(y)});
    });
    if (i >= 0) times.all.push_back(s);
  }
  return operations / times.median();
}

struct Data {
  at::Tensor map, image, region;
};
Data made_up(int64_t batch, int64_t size, int64_t map_channels) {
  Data d;
  d.map = torch::rand({batch, map_channels, size, size}) * 2 - 1;
  d.image = torch::rand({batch, 3, size, size}) * 2 - 1;
  d.region = (torch::rand({batch, 1, size, size}) < 0.2).to(at::kFloat);
  return d;
}

std::string training_rows(const Flags& flags, const tensor::ComputePolicy& policy) {
  std::string rows;
  for (const std::string name : {"pix2pix", "dermgan"}) {
    const bool dermgan = name == "dermgan";
    Ours ours(name, flags, policy);
    bench::PlainTrainer plain(bench::PlainOptions{.in_channels = ours.map_channels + (dermgan ? 1 : 0),
                                                  .size_px = flags.size,
                                                  .width = dermgan ? 32 : 64,
                                                  .discriminator_width = dermgan ? 32 : 64,
                                                  .discriminator_layers = dermgan ? 2 : 3,
                                                  .resize = dermgan,
                                                  .dermgan = dermgan});
    const Data mine = made_up(flags.batch, flags.size, ours.map_channels);
    const Data its = made_up(flags.batch, flags.size, ours.map_channels + (dermgan ? 1 : 0));
    const auto [a, b] = side_by_side(
        flags.repeats, [&] { ours.step(mine.map, mine.image, mine.region); },
        [&] { plain.step(its.map, its.image, its.region); });
    rows += fmt::format("| training step of `{}`, batch {}, s | {} | {} | {:.2f} |\n", name, flags.batch, a.text(),
                        b.text(), b.median() / a.median());
    if (dermgan) {
      const double top = ceiling(policy, flags.repeats);
      const double rate = dermgan_operations(flags.batch, flags.size, ours.map_channels) / a.median();
      rows += fmt::format("| its convolutions over the ceiling, TFLOP/s | {:.3f} | {:.3f} | {:.2f} |\n", rate / 1e12,
                          top / 1e12, rate / top);
    }
  }
  return rows;
}

std::string generation_row(const Flags& flags) {
  namespace fs = std::filesystem;
  const fs::path root = fs::temp_directory_path() / fmt::format("derm-step-bench-{}", getpid());
  const auto recipe = models::catalogue().make("dermgan");
  Options options;
  recipe->bind(options);
  data::Offer offer;
  offer.conditions = {"melanoma", "nevus", "seborrheic_keratosis"};
  recipe::write_untrained_bundle(root, *recipe, "dermgan", flags.size, offer);
  generation::EngineOptions opened;
  opened.bundle = root;
  opened.device = "cpu";
  opened.threads = static_cast<int>(flags.threads);
  generation::Engine engine(opened, models::catalogue());
  std::vector<data::Request> requests;
  for (int64_t i = 0; i < flags.images; ++i) {
    data::Wish wish;
    wish.seed = static_cast<uint64_t>(i);
    requests.push_back(data::make_request(wish, offer));
  }
  const recipe::ImageSpec spec = recipe::image_spec(*recipe, flags.size, offer.conditions);
  bench::PlainUNet plain(
      bench::PlainOptions{.in_channels = spec.map_channels + 1, .size_px = flags.size, .width = 32, .resize = true});
  plain->eval();
  size_t bytes = 0;
  const auto [a, b] = side_by_side(
      std::max<int64_t>(3, flags.repeats / 2),
      [&] {
        engine.generate(requests, [&](size_t, const image::Image& made) { bytes += image::encode_png(made).size(); });
      },
      [&] {
        const torch::NoGradGuard guard;
        for (int64_t i = 0; i < flags.images; ++i) {
          const at::Tensor made = plain->forward(torch::randn({1, spec.map_channels + 1, flags.size, flags.size}));
          bytes += image::encode_png(tensor::images_of(made).front()).size();
        }
      });
  fs::remove_all(root);
  return fmt::format("| {} images with `dermgan`, PNG encoding included, s | {} | {} | {:.2f} |\n", flags.images,
                     a.text(), b.text(), b.median() / a.median());
}

}  // namespace
}  // namespace derm

int main(int argc, char** argv) {
  derm::Flags flags;
  CLI::App app("Training steps and generation against plain libtorch");
  app.add_option("--size", flags.size, "Side of the images, px")->capture_default_str();
  app.add_option("--batch", flags.batch, "Images a step")->capture_default_str();
  app.add_option("--threads", flags.threads, "Of both sides; 0: every processor")->capture_default_str();
  app.add_option("--repeats", flags.repeats, "Of each")->check(CLI::Range(3, 1000))->capture_default_str();
  app.add_option("--images", flags.images, "To generate")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  torch::manual_seed(1);
  derm::tensor::ComputeOptions compute;
  compute.device = "cpu";
  compute.threads = flags.threads;
  const derm::tensor::ComputePolicy policy = derm::tensor::choose_policy(compute);
  flags.threads = policy.threads;
  std::cout << fmt::format("{}; {} px, {} repeats after one that warms up; plain: fp32, NCHW, the same threads\n\n",
                           policy.text(), flags.size, flags.repeats)
            << "| what | ours | plain | ratio |\n|---|---|---|---|\n"
            << derm::training_rows(flags, policy) << derm::generation_row(flags);
}
