// Whole training steps and whole generation, ours against the plain libtorch form of the same thing (bench/plain.h),
// turn by turn in one process on the same threads.
//
//   build/bench/step_bench [--size 256] [--batch 8] [--threads 0] [--repeats 7] [--images 16]
//   build/bench/step_bench --profile dermgan       # one step, operator by operator
//   build/bench/step_bench --memory dermgan        # greatest memory of a few steps; plain-dermgan: of the plain form
//   build/bench/step_bench --gpu                   # training steps on a GPU, beside its own ceiling
//
// Prints Markdown tables: the median of the repeats and their quartiles, the ratio of the medians, and how much of the
// machine's bf16 convolution ceiling a step reaches, which is measured beside them.
#include <chrono>
#include <filesystem>
#include <iostream>

#include <fmt/format.h>
#include <sys/resource.h>
#include <torch/torch.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include "derm/base/files.h"
#include "derm/base/system.h"
#include "derm/evaluation/statistics.h"
#include "derm/generation/engine.h"
#include "derm/image/codec.h"
#include "derm/models/catalogue.h"
#include "derm/nn/ema.h"
#include "derm/nn/mobilenet.h"
#include "derm/recipe/growing.h"
#include "derm/recipe/stand_in.h"
#include "derm/tensor/convert.h"
#include "derm/training/adam.h"
#include "operations.h"
#include "plain.h"
#include "profile.h"

namespace derm {
namespace {

const std::vector<std::string> kConditions = {"melanoma", "nevus", "seborrheic_keratosis"};
constexpr int64_t kSmallSide = 64, kSmallBatch = 16, kSmallImages = 32;

struct Flags {
  int64_t size = 256, batch = 8, threads = 0, repeats = 7, images = 16;
  bool gpu = false;
  std::string memory;   // a recipe, or "plain-" before it: the memory of a few steps, and nothing else
  std::string profile;  // a recipe, or "generation": one step of it, operator by operator, and nothing else
};

using Clock = std::chrono::steady_clock;

/// At once: the next row may take minutes.
void print(const std::string& row) { std::cout << row << std::flush; }

/// Seconds that `work` takes.
double seconds(const std::function<void()>& work) {
  const auto start = Clock::now();
  work();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

struct Times {
  std::vector<double> all;
  double quantile(double q) const { return evaluation::quantile(all, q); }
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

constexpr double kLongSince = 1000;  // kimg: a growing network has grown up

/// A recipe's networks in training as `dermgan train` holds them.
class Ours {
 public:
  Ours(const std::string& name, const Flags& flags, const tensor::ComputePolicy& policy)
      : recipe_(models::catalogue().make(name)), policy_(policy) {
    Options options;
    recipe_->bind(options);
    const recipe::ImageSpec spec = recipe::image_spec(*recipe_, flags.size, kConditions);
    if (auto* growing = dynamic_cast<recipe::Growing*>(recipe_.get())) growing->settle(spec, kLongSince);
    at::Generator random = at::detail::createCPUGenerator(1);
    players_ = recipe_->make_players(spec, random);
    average_ = recipe_->make_players(spec, random).at("generator");
    for (auto& [player, module] : players_) module->to(policy.device);
    average_->to(policy.device);
    for (auto& [player, module] : players_) {
      std::vector<std::pair<std::string, at::Tensor>> parameters;
      for (auto& item : module->named_parameters()) parameters.emplace_back(item.key(), item.value());
      optimisers_.emplace(player, training::Adam(parameters, recipe_->optimiser(player)));
    }
    phases_ = recipe_->phases(players_);
    map_channels = spec.map_channels;
    needs_ = recipe_->needs();
  }

  void step(const torch::Tensor& map, const torch::Tensor& image, const torch::Tensor& region) {
    tensor::Batch batch;
    batch.image = image;
    batch.region = region;
    batch.inputs.label = torch::zeros({image.size(0)}, image.options().dtype(torch::kLong));
    if (needs_.map) batch.inputs.map = policy_.activations(map);
    if (needs_.noise_planes > 0)
      batch.inputs.latent = policy_.activations(
          torch::randn({map.size(0), needs_.noise_planes, map.size(2), map.size(3)}, map.options()));
    else if (needs_.latent > 0)
      batch.inputs.latent = policy_.activations(torch::randn({image.size(0), needs_.latent}, image.options()));
    recipe::StepMemo memo;
    at::Generator random = at::globalContext().defaultGenerator(policy_.device);
    recipe::StepContext context{
        .batch = batch, .step = number_++, .kimg = kLongSince, .random = random, .memo = memo, .policy = policy_};
    for (const auto& phase : phases_) {
      if (context.step % phase.every != 0) continue;
      at::Tensor total = torch::zeros({}, image.options());
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
  recipe::Needs needs_;
  int64_t number_ = 0;
};

/// The machine's convolution in a policy's precision: operations a second of a 3x3 layer that suits it, forward and
/// backward.
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
  Data on(const at::Device& device) const { return {map.to(device), image.to(device), region.to(device)}; }
};
Data made_up(int64_t batch, int64_t size, int64_t map_channels) {
  Data d;
  d.map = torch::rand({batch, map_channels, size, size}) * 2 - 1;
  d.image = torch::rand({batch, 3, size, size}) * 2 - 1;
  d.region = (torch::rand({batch, 1, size, size}) < 0.2).to(at::kFloat);
  return d;
}

/// A plain trainer and what it is fed with.
struct PlainCase {
  PlainCase(const std::string& name, const Flags& flags) {
    const bool dermgan = name == "dermgan";
    const auto recipe = models::catalogue().make(name);
    Options options;
    recipe->bind(options);
    const recipe::ImageSpec spec = recipe::image_spec(*recipe, flags.size, kConditions);
    const int64_t channels = spec.map_channels + recipe->needs().noise_planes;
    trainer = std::make_unique<bench::PlainTrainer>(bench::PlainOptions{.in_channels = channels,
                                                                        .size_px = flags.size,
                                                                        .width = dermgan ? 32 : 64,
                                                                        .discriminator_width = dermgan ? 32 : 64,
                                                                        .discriminator_layers = dermgan ? 2 : 3,
                                                                        .resize = dermgan,
                                                                        .dermgan = dermgan});
    data = made_up(flags.batch, flags.size, channels);
  }
  void step() { trainer->step(data.map, data.image, data.region); }
  std::unique_ptr<bench::PlainTrainer> trainer;
  Data data;
};

void training_rows(const Flags& flags, const tensor::ComputePolicy& policy) {
  for (const std::string name : {"pix2pix", "dermgan"}) {
    const bool dermgan = name == "dermgan";
    Ours ours(name, flags, policy);
    PlainCase plain(name, flags);
    const Data mine = made_up(flags.batch, flags.size, ours.map_channels);
    const auto [a, b] = side_by_side(
        flags.repeats, [&] { ours.step(mine.map, mine.image, mine.region); }, [&] { plain.step(); });
    print(fmt::format("| training step of `{}`, batch {}, s | {} | {} | {:.2f} |\n", name, flags.batch, a.text(),
                      b.text(), b.median() / a.median()));
    if (dermgan) {
      tensor::ComputePolicy wide = policy;
      wide.dtype = at::kFloat;
      wide.format = at::MemoryFormat::Contiguous;
      const double top = ceiling(policy, flags.repeats), plain_top = ceiling(wide, flags.repeats);
      print(fmt::format("| the ceilings of a convolution there and back, TFLOP/s | {:.3f} | {:.3f} | {:.2f} |\n",
                        top / 1e12, plain_top / 1e12, top / plain_top));
      const double rate = bench::operations([&] { ours.step(mine.map, mine.image, mine.region); }) / a.median();
      print(
          fmt::format("| rate of a whole step of `dermgan` over its ceiling: {:.3f} of {:.3f} TFLOP/s | {:.2f} | | |\n",
                      rate / 1e12, top / 1e12, rate / top));
    }
  }
}

/// One training step of a recipe, operator by operator.
std::string step_profile(const Flags& flags, const tensor::ComputePolicy& policy) {
  Ours ours(flags.profile, flags, policy);
  const Data data = made_up(flags.batch, flags.size, ours.map_channels);
  const auto step = [&] { ours.step(data.map, data.image, data.region); };
  step();
  step();
  double whole = 0;
  const auto times = bench::operator_times([&] { whole = seconds(step); });
  return fmt::format("One training step of `{}`, batch {}: {:.0f} ms\n\n{}", flags.profile, flags.batch, whole * 1e3,
                     bench::profile_table(times, whole, 24));
}

/// One training step of the classifier that experiments are made with, operator by operator.
std::string classifier_profile(const Flags& flags, const tensor::ComputePolicy& policy) {
  nn::MobileNetV2 network(/*last=*/true);
  std::vector<std::pair<std::string, at::Tensor>> parameters;
  for (auto& item : network->named_parameters()) parameters.emplace_back(item.key(), item.value());
  training::Adam adam(parameters, {});
  const at::Tensor images = policy.activations(torch::randn({flags.batch, 3, flags.size, flags.size}));
  const auto step = [&] {
    const at::Tensor loss = network(images).to(at::kFloat).mean({2, 3}).square().mean();
    adam.step(torch::autograd::grad({loss}, adam.parameters()), 1.0);
  };
  step();
  step();
  double whole = 0;
  const auto times = bench::operator_times([&] { whole = seconds(step); });
  return fmt::format("One training step of MobileNetV2, batch {}: {:.0f} ms\n\n{}", flags.batch, whole * 1e3,
                     bench::profile_table(times, whole, 24));
}

/// The other recipes: against the same networks in fp32, NCHW; without the penalties that come every few steps only.
void further_rows(const Flags& flags, const tensor::ComputePolicy& policy) {
  tensor::ComputePolicy plain = policy;
  plain.dtype = at::kFloat;
  plain.format = at::MemoryFormat::Contiguous;
  Flags small = flags;
  small.size = kSmallSide;
  for (const std::string& name : models::catalogue().names()) {
    if (name == "pix2pix" || name == "dermgan" || recipe::is_judge(models::catalogue().make(name)->kind())) continue;
    Ours ours(name, small, policy), its(name, small, plain);
    const Data data = made_up(kSmallBatch, small.size, ours.map_channels);
    const auto [a, b] = side_by_side(
        2, [&] { ours.step(data.map, data.image, data.region); }, [&] { its.step(data.map, data.image, data.region); });
    print(fmt::format(
        "| training step of `{}`, {} px, batch {}, against itself in fp32 and NCHW, s | {} | {} | {:.2f} |\n", name,
        small.size, kSmallBatch, a.text(), b.text(), b.median() / a.median()));
  }
}

/// The greatest memory that a few training steps take, MB, of a recipe or of its plain form ("plain-dermgan"): that of
/// bench/plain.h where there is one, else the same network in fp32 and NCHW.
std::string memory_of(const Flags& flags, const tensor::ComputePolicy& policy) {
  constexpr int kSteps = 4;
  const bool plain_form = flags.memory.starts_with("plain-");
  const std::string name = plain_form ? flags.memory.substr(6) : flags.memory;
  if (plain_form && (name == "pix2pix" || name == "dermgan")) {
    PlainCase plain(name, flags);
    for (int i = 0; i < kSteps; ++i) plain.step();
  } else {
    tensor::ComputePolicy chosen = policy;
    if (plain_form) {
      chosen.dtype = at::kFloat;
      chosen.format = at::MemoryFormat::Contiguous;
    }
    Ours ours(name, flags, chosen);
    const Data data = made_up(flags.batch, flags.size, ours.map_channels);
    for (int i = 0; i < kSteps; ++i) ours.step(data.map, data.image, data.region);
  }
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return fmt::format("{:.0f}\n", static_cast<double>(usage.ru_maxrss) / 1024);
}

/// An engine on an untrained model, in a folder of its own.
class MadeEngine {
 public:
  MadeEngine(int64_t size_px, int64_t threads, const std::string& name = "dermgan") {
    const auto recipe = models::catalogue().make(name);
    Options options;
    recipe->bind(options);
    offer.conditions = kConditions;
    map_channels = recipe::image_spec(*recipe, size_px, offer.conditions).map_channels;
    recipe::write_untrained_bundle(root_, *recipe, name, size_px, offer);
    generation::EngineOptions opened;
    opened.bundle = root_;
    opened.device = "cpu";
    opened.threads = static_cast<int>(threads);
    engine = std::make_unique<generation::Engine>(opened, models::catalogue());
  }
  ~MadeEngine() { std::filesystem::remove_all(root_); }

  std::vector<data::Request> requests(int64_t count) const {
    std::vector<data::Request> all;
    for (int64_t i = 0; i < count; ++i) {
      data::Wish wish;
      wish.seed = static_cast<uint64_t>(i);
      all.push_back(data::make_request(wish, offer));
    }
    return all;
  }

  const std::filesystem::path& root() const { return root_; }

  data::Offer offer;
  int64_t map_channels = 0;
  std::unique_ptr<generation::Engine> engine;

 private:
  std::filesystem::path root_ = std::filesystem::temp_directory_path() / fmt::format("derm-step-bench-{}", getpid());
};

/// A batch of generation on one thread, operator by operator.
std::string generation_profile(const Flags& flags) {
  const MadeEngine made(flags.size, 1);
  const auto requests = made.requests(flags.images);
  size_t bytes = 0;
  const auto work = [&] {
    made.engine->generate(requests,
                          [&](size_t, const image::Image& image) { bytes += image::encode_png(image).size(); });
  };
  work();
  double whole = 0;
  const auto times = bench::operator_times([&] { whole = seconds(work); });
  return fmt::format("{} images with `dermgan`, one thread, PNG encoding beside it: {:.0f} ms\n\n{}", flags.images,
                     whole * 1e3, bench::profile_table(times, whole, 24));
}

/// Training on a GPU: the host never waits within a step, so that it is asked to at the end of many.
void gpu_rows(const Flags& flags, const tensor::ComputePolicy& policy) {
  constexpr int64_t kSteps = 32;  // a whole round of the penalties that come every 16 steps
  const auto timed = [&](const std::function<void()>& work) {
    torch::cuda::synchronize(policy.device.index());
    return seconds([&] {
      work();
      torch::cuda::synchronize(policy.device.index());
    });
  };
  const at::Tensor x = policy.activations(torch::randn({64, 512, 32, 32})).requires_grad_(true);
  const at::Tensor w = policy.activations(torch::randn({512, 512, 3, 3}) * 0.02).requires_grad_(true);
  const auto convolution = [&] {
    for (int i = 0; i < 16; ++i) {
      const at::Tensor y = at::conv2d(x, w, {}, 1, 1);
      torch::autograd::grad({y}, {x, w}, {torch::ones_like(y)});
    }
  };
  convolution();
  Times top_times;
  for (int64_t i = 0; i < flags.repeats; ++i) top_times.all.push_back(timed(convolution));
  const double top = 16 * 3 * 2.0 * 64 * 512 * 512 * 9 * 32 * 32 / top_times.median();
  print(fmt::format("A convolution there and back (64 x 512 x 32 x 32, 3x3): {:.0f} TFLOP/s.\n\n", top / 1e12));
  print(
      "| recipe | batch | images/s | s/kimg | TFLOP/s | share of the convolution's rate "
      "|\n|---|---|---|---|---|---|\n");
  for (const std::string name : {"dermgan", "pgan", "stylegan2"}) {
    Ours ours(name, flags, policy);
    const Data data = made_up(flags.batch, flags.size, ours.map_channels).on(policy.device);
    const auto steps = [&] {
      for (int64_t i = 0; i < kSteps; ++i) ours.step(data.map, data.image, data.region);
    };
    const double operations = bench::operations(steps);
    Times times;
    for (int64_t i = 0; i < flags.repeats; ++i) times.all.push_back(timed(steps));
    const double images = static_cast<double>(kSteps * flags.batch) / times.median(),
                 rate = operations / times.median();
    print(fmt::format("| `{}` | {} | {:.0f} | {:.1f} | {:.1f} | {:.2f} |\n", name, flags.batch, images, 1000 / images,
                      rate / 1e12, rate / top));
  }
}

/// Generation for every recipe at the small size: the engine, against one image after the other in fp32 and NCHW.
void generation_rows(const Flags& flags, const tensor::ComputePolicy& policy) {
  tensor::ComputePolicy plain = policy;
  plain.dtype = at::kFloat;
  plain.format = at::MemoryFormat::Contiguous;
  for (const std::string& name : models::catalogue().names()) {
    if (recipe::is_judge(models::catalogue().make(name)->kind())) continue;
    const MadeEngine made(kSmallSide, flags.threads, name);
    const auto requests = made.requests(kSmallImages);
    const recipe::LoadedGenerator loaded = recipe::load_bundle(made.root(), models::catalogue(), at::kCPU);
    recipe::Generator& generator = recipe::generator_of(loaded.players);
    const auto [a, b] = side_by_side(
        3, [&] { made.engine->generate(requests, [](size_t, const image::Image&) {}); },
        [&] {
          for (const data::Request& request : requests)
            recipe::image_of_request(generator, request, loaded.config.map, loaded.recipe->needs(), plain);
        });
    print(fmt::format("| {} images with `{}`, {} px, s | {} | {} | {:.2f} |\n", kSmallImages, name, kSmallSide,
                      a.text(), b.text(), b.median() / a.median()));
  }
}

std::string generation_row(const Flags& flags) {
  const MadeEngine made(flags.size, flags.threads);
  const auto requests = made.requests(flags.images);
  bench::PlainUNet plain(
      bench::PlainOptions{.in_channels = made.map_channels + 1, .size_px = flags.size, .width = 32, .resize = true});
  plain->eval();
  size_t bytes = 0;
  const auto [a, b] = side_by_side(
      std::max<int64_t>(3, flags.repeats / 2),
      [&] {
        made.engine->generate(requests,
                              [&](size_t, const image::Image& image) { bytes += image::encode_png(image).size(); });
      },
      [&] {
        const torch::NoGradGuard guard;
        for (int64_t i = 0; i < flags.images; ++i) {
          const at::Tensor image = plain->forward(torch::randn({1, made.map_channels + 1, flags.size, flags.size}));
          bytes += image::encode_png(tensor::images_of(image).front()).size();
        }
      });
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
  app.add_flag("--gpu", flags.gpu, "Only training on a GPU: dermgan, pgan, stylegan2");
  app.add_option("--memory", flags.memory, "Only the greatest memory of a few steps, MB: pix2pix, plain-pix2pix, ...");
  app.add_option("--profile", flags.profile,
                 "Only a profile: of a training step of this recipe or of mobilenet_v2, or of generation");
  CLI11_PARSE(app, argc, argv);
  torch::manual_seed(1);
  derm::tensor::ComputeOptions compute;
  if (flags.gpu && !torch::cuda::is_available()) {
    std::cout << "No CUDA device was at hand.\n";
    return 0;
  }
  compute.device = flags.gpu ? "cuda" : "cpu";
  compute.threads = flags.threads;
  const derm::tensor::ComputePolicy policy = derm::tensor::choose_policy(compute);
  flags.threads = policy.threads;
  if (flags.gpu) {
    std::cout << fmt::format("{}; {} px, {} repeats\n\n", policy.text(), flags.size, flags.repeats);
    derm::gpu_rows(flags, policy);
    return 0;
  }
  if (!flags.memory.empty()) {
    std::cout << derm::memory_of(flags, policy);
    return 0;
  }
  if (!flags.profile.empty()) {
    std::cout << fmt::format("{}; {} px\n\n", policy.text(), flags.size)
              << (flags.profile == "generation"     ? derm::generation_profile(flags)
                  : flags.profile == "mobilenet_v2" ? derm::classifier_profile(flags, policy)
                                                    : derm::step_profile(flags, policy));
    return 0;
  }
  std::cout << fmt::format("{}; {} px, {} repeats after one that warms up; plain: fp32, NCHW, the same threads\n\n",
                           policy.text(), flags.size, flags.repeats)
            << "| what | ours | plain | ratio |\n|---|---|---|---|\n"
            << derm::generation_row(flags) << std::flush;
  derm::training_rows(flags, policy);
  derm::further_rows(flags, policy);
  derm::generation_rows(flags, policy);
}
