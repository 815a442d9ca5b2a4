#include "derm/generation/engine.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>

#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/base/log.h"
#include "derm/base/system.h"
#include "derm/base/text.h"
#include "derm/recipe/bundle.h"
#include "derm/recipe/directions.h"
#include "derm/recipe/style.h"
#include "derm/tensor/convert.h"
#include "derm/tensor/policy.h"
#include "derm/tensor/recorded.h"
#include "derm/tensor/state.h"

namespace derm::generation {
namespace {

/// A GPU is asked for this many images at a time, always: another size could choose another kernel and other bytes.
constexpr size_t kDeviceBatch = 8;

/// Makes libtorch work on the calling thread alone. Its first parallel region on a thread takes over the process-wide
/// count, so that has to be over before the thread's own is set.
void use_one_thread() {
  at::get_num_threads();
  at::set_num_threads(1);
}

}  // namespace

/// A GPU's batch as a recorded graph: its inputs lie where they are read from, its images where they are written.
struct RecordedBatch {
  tensor::Inputs inputs;
  at::Tensor images;
  std::optional<tensor::Recorded> work;
};

struct Engine::Impl {
  recipe::LoadedGenerator model;
  recipe::Needs needs;
  recipe::Generator* generator = nullptr;
  tensor::ComputePolicy policy;
  std::string sha256, bundle;
  int threads = 1;
  double truncation = 1;
  std::optional<recipe::Directions> directions;
  std::unique_ptr<RecordedBatch> recorded;
  bool may_record = true;  ///< until it was tried

  image::Image alone(const data::Request& request) const {
    if (request.directions.empty())
      return recipe::image_of_request(*generator, request, model.config.map, needs, policy);
    const torch::NoGradGuard no_grad;
    const tensor::Inputs inputs = recipe::on_device(recipe::inputs_of(request, model.config.map, needs), policy);
    return tensor::images_of(along(inputs, {request}).to(at::kCPU, at::kFloat)).at(0);
  }

  /// The images of a batch, moved along the directions as far as each of its requests asks.
  at::Tensor along(const tensor::Inputs& inputs, const std::vector<data::Request>& requests) const {
    std::vector<std::vector<double>> strengths;
    for (const data::Request& request : requests) strengths.push_back(request.directions);
    return recipe::generate_along(*generator, *directions, inputs, strengths);
  }

  /// Records the batch, if a recording makes what the generator makes, to the bit.
  void record(const tensor::Inputs& inputs, const at::Tensor& images) {
    may_record = false;
    try {
      auto batch = std::make_unique<RecordedBatch>();
      const auto copied = [](const at::Tensor& t) { return t.defined() ? t.clone() : t; };
      batch->inputs = {.latent = copied(inputs.latent), .label = copied(inputs.label), .map = copied(inputs.map)};
      batch->work.emplace(policy.device, [&, made = batch.get()] { made->images = generator->generate(made->inputs); });
      batch->images.zero_();
      batch->work->replay();
      if (!at::equal(batch->images, images)) throw std::runtime_error("its images differ");
      recorded = std::move(batch);
    } catch (const std::exception& e) {
      log_info("generation goes on kernel by kernel: it could not be recorded as one graph ({})", first_line(e.what()));
    }
  }

  at::Tensor replay(const tensor::Inputs& inputs) {
    const auto copy = [](at::Tensor& to, const at::Tensor& from) {
      if (to.defined()) to.copy_(from, /*non_blocking=*/true);
    };
    copy(recorded->inputs.latent, inputs.latent);
    copy(recorded->inputs.label, inputs.label);
    copy(recorded->inputs.map, inputs.map);
    recorded->work->replay();
    return recorded->images;
  }

  std::vector<image::Image> padded_batch(const std::vector<data::Request>& requests, size_t start, size_t count) {
    const torch::NoGradGuard no_grad;
    std::vector<at::Tensor> latents, labels, maps;
    std::vector<data::Request> batch;
    for (size_t i = 0; i < kDeviceBatch; ++i) {
      batch.push_back(requests[start + std::min(i, count - 1)]);
      const tensor::Inputs one = recipe::inputs_of(batch.back(), model.config.map, needs);
      if (one.latent.defined()) latents.push_back(one.latent);
      if (one.label.defined()) labels.push_back(one.label);
      if (one.map.defined()) maps.push_back(one.map);
    }
    tensor::Inputs all;
    if (!latents.empty()) all.latent = at::cat(latents);
    if (!labels.empty()) all.label = at::cat(labels);
    if (!maps.empty()) all.map = at::cat(maps);
    const tensor::Inputs inputs = recipe::on_device(all, policy);
    const at::Tensor made = directions ? along(inputs, batch) : recorded ? replay(inputs) : generator->generate(inputs);
    const bool more = start + kDeviceBatch < requests.size();
    if (more && !directions && may_record && tensor::Recorded::possible(policy.device)) record(inputs, made);
    return tensor::images_of(made.narrow(0, 0, static_cast<int64_t>(count)).to(at::kCPU, at::kFloat));
  }

  void on_processor(const std::vector<data::Request>& requests,
                    const std::function<void(size_t, image::Image)>& ready) const;
};

/// Threads take the next request each; the calling thread hands the images over in order. At most a few images per
/// thread wait.
void Engine::Impl::on_processor(const std::vector<data::Request>& requests,
                                const std::function<void(size_t, image::Image)>& ready) const {
  const size_t workers = std::min(static_cast<size_t>(threads), requests.size());
  const size_t ahead = 4 * workers;
  std::mutex mutex;
  std::condition_variable made, room;
  std::vector<std::optional<image::Image>> slots(requests.size());
  std::exception_ptr failure;
  size_t next = 0, handed = 0;
  bool stop = false;

  const auto work = [&] {
    use_one_thread();
    for (;;) {
      size_t mine;
      {
        std::unique_lock lock(mutex);
        room.wait(lock, [&] { return stop || next >= requests.size() || next < handed + ahead; });
        if (stop || next >= requests.size()) return;
        mine = next++;
      }
      try {
        image::Image image = alone(requests[mine]);
        const std::lock_guard lock(mutex);
        slots[mine] = std::move(image);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!failure) failure = std::current_exception();
        stop = true;
        room.notify_all();
      }
      made.notify_one();
    }
  };

  struct Crew {  // joins whatever happens
    std::vector<std::thread> threads;
    std::function<void()> end;
    ~Crew() {
      end();
      for (std::thread& t : threads) t.join();
    }
  };
  const int before = at::get_num_threads();
  {
    Crew crew;
    crew.end = [&] {
      const std::lock_guard lock(mutex);
      stop = true;
      room.notify_all();
    };
    for (size_t i = 0; i < workers; ++i) crew.threads.emplace_back(work);
    for (size_t i = 0; i < requests.size(); ++i) {
      std::optional<image::Image> image;
      {
        std::unique_lock lock(mutex);
        // Woken now and then to see whether the user wants to stop.
        while (!slots[i] && !failure && !interrupt_requested()) made.wait_for(lock, std::chrono::milliseconds(100));
        if (failure) break;
        if (!slots[i]) throw Interrupted();
        image = std::move(slots[i]);
        slots[i].reset();
        handed = i + 1;
        room.notify_all();
      }
      ready(i, std::move(*image));
      throw_if_interrupted();
    }
  }
  at::set_num_threads(before);  // what later threads start from
  if (failure) std::rethrow_exception(failure);
}

Engine::Engine(const EngineOptions& options, const recipe::Catalogue& catalogue) : impl_(std::make_unique<Impl>()) {
  if (options.threads < 0) throw UsageError("threads: {} was asked for, 0 (all) or more is accepted", options.threads);
  if (!(options.truncation >= 0 && options.truncation <= 2))
    throw UsageError("truncation: {} was asked for, 0 to 2 is accepted; 1 leaves the images as they are",
                     options.truncation);
  tensor::ComputeOptions compute;
  compute.device = options.device;
  compute.precision = options.precision;
  compute.threads = options.threads;
  compute.validate();
  const std::filesystem::path bundle = recipe::find_bundle(options.bundle);
  impl_->bundle = bundle.string();
  impl_->policy = tensor::choose_policy(compute);
  impl_->threads = options.threads > 0 ? options.threads : usable_cpus();
  impl_->model = recipe::load_bundle(bundle, catalogue, impl_->policy.device);
  impl_->needs = impl_->model.recipe->needs();
  impl_->model.players.erase("discriminator");
  impl_->generator = &recipe::generator_of(impl_->model.players);
  for (at::Tensor& p : impl_->generator->parameters()) p.set_requires_grad(false);
  impl_->sha256 = recipe::bundle_sha256(bundle);
  data::Offer& offer = impl_->model.config.offer;
  std::erase_if(offer.heeds, [&](const std::string& part) {
    const recipe::Needs& needs = impl_->needs;
    const bool by_map = needs.map && part != "seed";
    const bool by_label = needs.label && part == "condition";
    const bool by_noise = (needs.latent > 0 || needs.noise_planes > 0) && part == "seed";
    return !(by_map || by_label || by_noise);
  });
  if (!offer.directions.empty()) {
    const std::filesystem::path file = bundle / recipe::kDirectionsFile;
    impl_->directions = recipe::read_directions(file, impl_->sha256);
    recipe::check_fit(*impl_->directions, *impl_->generator, impl_->needs, file.string());
  }

  const recipe::Canary& canary = impl_->model.config.canary;
  if (options.check_canary && !canary.request.is_null()) {
    data::Request request;
    try {
      request = data::request_from_json(canary.request);
      data::validate(request, impl_->model.config.conditions);
    } catch (const std::exception& e) {
      throw DataError("{}: its canary's request cannot be used: {}", bundle.string(), e.what());
    }
    const std::string fault = recipe::canary_fault(canary, generate(request));
    if (!fault.empty()) {
      throw DataError(
          "{}: the canary's image is not what it should be: {}; the weights, this build or the processor's arithmetic "
          "({}) are at fault; try --precision fp32 or copy the bundle again",
          bundle.string(), fault, impl_->policy.text());
    }
  }
  // After the canary, whose image is not truncated.
  if (options.truncation != 1) {
    auto* styled = dynamic_cast<recipe::StyleGenerator*>(impl_->generator);
    if (!styled)
      throw UsageError("{}: truncation {} was asked for, but a {} has no style space; leave it out, or use a stylegan2",
                       bundle.string(), options.truncation, recipe_name());
    styled->set_truncation(options.truncation);
    impl_->truncation = options.truncation;
  }
}

Engine::~Engine() = default;

const data::Offer& Engine::offer() const { return impl_->model.config.offer; }
int Engine::size_px() const { return static_cast<int>(impl_->model.config.size_px); }
std::string Engine::bundle_sha256() const { return impl_->sha256; }
const std::string& Engine::recipe_name() const { return impl_->model.config.recipe; }
const std::vector<std::string>& Engine::conditions() const { return impl_->model.config.conditions; }
const std::string& Engine::bundle_path() const { return impl_->bundle; }
const nlohmann::json& Engine::training_facts() const { return impl_->model.config.training; }
std::string Engine::compute_text() const { return impl_->policy.text(); }
int64_t Engine::parameter_count() const { return tensor::parameter_count(*impl_->generator); }

const std::vector<std::string>& Engine::heeds() const { return offer().heeds; }
double Engine::truncation() const { return impl_->truncation; }

image::Image Engine::generate(const data::Request& request) {
  image::Image result;
  generate(std::vector<data::Request>{request}, [&](size_t, image::Image image) { result = std::move(image); });
  return result;
}

void Engine::generate(const std::vector<data::Request>& requests,
                      const std::function<void(size_t, image::Image)>& ready) {
  for (size_t i = 0; i < requests.size(); ++i) {
    try {
      data::validate(requests[i], conditions());
      if (requests[i].directions.size() > offer().directions.size())
        throw UsageError("request: it goes along {} directions, but the model has {}", requests[i].directions.size(),
                         offer().directions.size());
    } catch (const UsageError& e) {
      if (requests.size() == 1) throw;
      throw UsageError("request {} of {}: {}", i + 1, requests.size(), e.what());
    }
  }
  if (requests.empty()) return;
  try {
    if (impl_->policy.device.is_cpu()) {
      impl_->on_processor(requests, ready);
      return;
    }
    for (size_t start = 0; start < requests.size(); start += kDeviceBatch) {
      const size_t count = std::min(kDeviceBatch, requests.size() - start);
      std::vector<image::Image> images = impl_->padded_batch(requests, start, count);
      for (size_t i = 0; i < count; ++i) ready(start + i, std::move(images[i]));
      throw_if_interrupted();
    }
  } catch (const c10::Error& e) {
    throw std::runtime_error(std::string("generation: ") + e.what_without_backtrace());
  }
}

}  // namespace derm::generation
