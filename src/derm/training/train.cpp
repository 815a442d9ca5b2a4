#include "derm/training/train.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <optional>

#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/base/log.h"
#include "derm/base/progress.h"
#include "derm/base/random.h"
#include "derm/base/system.h"
#include "derm/image/codec.h"
#include "derm/judges/judge.h"
#include "derm/judges/skin_encoder.h"
#include "derm/loader/upload.h"
#include "derm/nn/ema.h"
#include "derm/nn/shared_statistics.h"
#include "derm/recipe/bundle.h"
#include "derm/recipe/growing.h"
#include "derm/tensor/pth.h"
#include "derm/tensor/random.h"
#include "derm/tensor/state.h"
#include "derm/training/adam.h"
#include "derm/training/card.h"
#include "derm/training/gradients.h"
#include "derm/training/run_directory.h"
#include "derm/training/run_report.h"
#include "derm/training/samples.h"
#include "derm/training/tensorboard.h"

namespace derm::training {
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

constexpr double kDefaultEpochs = 200;
constexpr double kYoungKimg = 5;  // a run that has not been varied yet is not said to collapse before
constexpr const char *kVaried = "varied", *kCollapsed = "collapsed";
constexpr double kLogSeconds = 5;  // at most this often, and at every snapshot
constexpr int64_t kCheckEveryOnDevice =
    16;  // a GPU's losses are looked at in bundles, so that no step waits for the host

data::DataSet opened(const TrainOptions& options) {
  const data::DataSet all = data::DataSet::open(options.data);
  return options.conditions.empty() ? all : all.only(options.conditions);
}

/// A loss value that has not been looked at yet.
struct PendingTerm {
  int64_t step;
  std::string name;
  at::Tensor value;
};

/// Everything that a step needs, built and checked before the first one.
class Trainer {
 public:
  Trainer(const TrainOptions& options, recipe::Recipe& recipe, ranks::Group* group = nullptr)
      : options_(options),
        recipe_(recipe),
        growing_(dynamic_cast<recipe::Growing*>(&recipe)),
        group_(group),
        preparing_(std::in_place, group),
        data_(opened(options)) {
    options_.validate();
    if (options_.size_px == 0) options_.size_px = data_.size_px();
    if (options_.size_px == 0)
      throw UsageError("{}: the images differ in size; give size_px (--size), or run `dermgan prepare` on them",
                       options_.data);
    if (options_.batch == 0) options_.batch = recipe.default_batch();
    shape_ = data::shape_from_name(options_.region_shape);
    rows_ = data_.usable("train");
    if (rows_.empty())
      throw DataError(
          "{}: no row of the split \"train\" can be trained on (a condition, a box or mask, a skin colour and a "
          "quality "
          "of at least {} are needed); run `dermgan prepare` on it",
          options_.data, data_.min_quality());
    validation_rows_ = data_.usable("validation");
    spec_ = recipe::image_spec(recipe, options_.size_px, data_.conditions());
    for (const std::string& condition : spec_.conditions)
      spec_.counts.push_back(std::count_if(rows_.begin(), rows_.end(),
                                           [&](size_t row) { return data_.records()[row].condition == condition; }));
    recipe.validate(spec_);
    if (options_.kimg == 0 && options_.minutes == 0)
      options_.kimg = kDefaultEpochs * static_cast<double>(rows_.size()) / 1000;
    if (growing_) growing_->settle(spec_, options_.kimg);
    needs_ = recipe.needs();
    kept_ = recipe::kept_player(recipe.kind());
    judges_ = recipe::is_judge(recipe.kind());
    map_ = data::MapSpec{
        .encoding = needs_.encoding, .conditions = data_.conditions(), .size_px = static_cast<int>(options_.size_px)};
    offer_ = data::offer_of(data_);
    offer_.shape = shape_ == data::Shape::mask ? data::Shape::blob : shape_;

    policy_ = tensor::choose_policy(compute_of_rank(options_.compute, group_));
    check_parts(options_.batch);
    if (group_ && policy_.device.is_cuda() && options_.batch_statistics == "synchronised")
      log_info(
          "batch statistics are synchronised through the host, which a GPU waits for; batch_statistics = \"rank\" does "
          "without");
    at::Generator random =
        at::detail::createCPUGenerator(mix_seed(static_cast<uint64_t>(options_.seed), hash_text("weights")));
    players_ = recipe.make_players(spec_, random);
    average_ = recipe.make_players(spec_, random).at(kept_);
    for (auto& [name, player] : players_) player->to(policy_.device);
    average_->to(policy_.device);
    if (!options_.init_from.empty()) initialise_from(options_.init_from);
    nn::copy_state(*average_, *players_.at(kept_));
    average_->eval();
    for (auto& [name, player] : players_) {
      std::vector<std::pair<std::string, at::Tensor>> parameters;
      for (auto& item : player->named_parameters()) parameters.emplace_back(item.key(), item.value());
      optimisers_.emplace(name, Adam(std::move(parameters), recipe.optimiser(name)));
    }
    phases_ = recipe.phases(players_);

    loader::LoaderOptions loading;
    loading.batch = options_.batch;
    loading.seed = static_cast<uint64_t>(options_.seed);
    loading.threads = policy_.device.is_cpu() ? std::max(1, policy_.threads / 2) : policy_.threads;
    loading.map = map_;
    loading.with_map = needs_.map;
    loading.shape = shape_;
    loading.augment = options_.augment;
    if (options_.pixel_cache) loading.pixel_file = pixel_file();
    if (group_) loading.part = group_->rank(), loading.parts = group_->world();
    loading.pinned = policy_.device.is_cuda();
    loader_ = std::make_unique<loader::Loader>(data_, rows_, loading);
    batches_.emplace(*loader_, policy_.device, /*ahead=*/policy_.device.is_cuda());
  }

  const TrainOptions& options() const { return options_; }
  bool trains_a_judge() const { return judges_; }
  /// Features of the validation KID.
  void use_extractor(std::unique_ptr<metrics::Extractor> extractor) { extractor_ = std::move(extractor); }

  TrainOutcome run(const fs::path& run) {
    run_ = run;
    if (!leads()) return follow();
    const LogFile log(run / "log.txt");
    const std::string sizes = [&] {
      std::string text;
      for (const auto& [name, player] : players_)
        text += fmt::format("{}{} {:.2f} M", text.empty() ? "" : ", ", name,
                            static_cast<double>(tensor::parameter_count(*player)) / 1e6);
      return text;
    }();
    log_info("{}: {} images to train on, {} to validate on, {} px, batch {}; {}; {}{}", run.string(), rows_.size(),
             validation_rows_.size(), options_.size_px, options_.batch, policy_.text(), sizes,
             group_ ? "; " + group_->text() : "");
    TensorBoardWriter board(run);
    board_ = &board;
    std::optional<FixedSamples> samples;
    std::optional<ValidationKid> kid;
    std::optional<Diversity> diversity;
    std::optional<ValidationFigures> figures;
    if (judges_) {
      figures_ = &figures.emplace(recipe_, data_, validation_rows_, map_, shape_);
      if (!figures->available()) log_info("there are no validation images: no figures, and `best` follows `latest`");
    } else {
      samples_ = &samples.emplace(recipe_, offer_, map_);
      if (Diversity::possible(rows_.size()) && !interrupt_requested())
        diversity_ = &diversity.emplace(recipe_, data_, rows_, map_, shape_, static_cast<uint64_t>(options_.seed));
      kid_ = &kid.emplace(recipe_, data_, validation_rows_, map_, shape_, std::move(extractor_));
      if (!kid->available())
        log_info("{} validation images are fewer than 64: no KID, and `best` follows `latest`",
                 validation_rows_.size());
    }
    if (!fs::exists(run / "reals.png")) {
      image::write_png(run / "reals.png", reals_sheet(data_, rows_, options_.size_px));
      if (!judges_) write_fakes(0);
    }
    seek();
    last_log_images_ = images_;
    started_ = Clock::now();
    last_log_ = last_snapshot_ = started_;
    last_snapshot_kimg_ = kimg();
    const bool by_clock = options_.minutes > 0 && options_.kimg == 0;
    Progress progress("training", by_clock ? options_.minutes * 60 : options_.kimg * 1000, by_clock ? "s" : "images");
    progress.update(by_clock ? elapsed() : kimg() * 1000);  // what was done before a resume stays out of the rate
    while (goes_on()) {
      one_step();
      progress.update(by_clock ? elapsed() : kimg() * 1000, note_);
      if (seconds_since(last_log_) >= kLogSeconds) write_stats();
      const bool due =
          (options_.snapshot_minutes > 0 && seconds_since(last_snapshot_) >= options_.snapshot_minutes * 60) ||
          // A hair less, so that rounding costs no step.
          (options_.snapshot_kimg > 0 && kimg() - last_snapshot_kimg_ >= options_.snapshot_kimg - 1e-9);
      if (due && progress_share() < 1.0) snapshot();
    }
    progress.finish();
    if (step_ > last_snapshot_step_) snapshot();
    if (interrupted_)
      log_info("stopped as asked at step {}; go on with: dermgan train --resume {}", step_, run.string());
    if (group_) group_->barrier();
    return outcome();
  }

  void load_checkpoint(const fs::path& checkpoint) {
    const auto state = nlohmann::json::parse(read_file(checkpoint / "state.json"));
    step_ = state.at("step");
    images_ = state.value("images", step_ * options_.batch);
    elapsed_before_ = state.at("elapsed_s");
    if (state.contains("best_kid")) best_ = state.at("best_kid");
    if (state.contains("best_figure")) best_ = state.at("best_figure");
    diversity_state_ = state.value("diversity", std::string());
    for (auto& [name, player] : players_) {
      const fs::path file = checkpoint / (name + ".safetensors");
      tensor::load_state(*player, tensor::read_safetensors(file), file.string(), recipe_.hint());
    }
    const fs::path average = checkpoint / "average.safetensors";
    tensor::load_state(*average_, tensor::read_safetensors(average), average.string(), recipe_.hint());
    const fs::path optimiser = checkpoint / "optimiser.safetensors";
    const auto moments = tensor::read_safetensors(optimiser);
    for (auto& [name, adam] : optimisers_) adam.load(moments, name + "/", optimiser.string());
    last_snapshot_step_ = step_;
  }

  /// Seconds a step at the end of the run, after one that warms up.
  double measure_step(int steps) {
    images_ = options_.kimg > 0 ? static_cast<int64_t>(options_.kimg * 1000) : int64_t{1} << 40;
    seek();
    one_step();
    const auto start = Clock::now();
    for (int i = 0; i < steps; ++i) one_step();
    check_pending();
    return seconds_since(start) / steps;
  }

  int64_t first_batch() const { return growing_ ? growing_->batch_at(0, options_.batch) : options_.batch; }
  double total_kimg() const { return options_.kimg; }
  int64_t checkpoint_bytes() const {
    int64_t weights = 0;
    for (const auto& [name, player] : players_) weights += tensor::parameter_count(*player);
    const int64_t generator = tensor::parameter_count(*average_);
    return 4 * (3 * weights + generator) + 2 * generator;  // weights and two moments, the average, the bundle in fp16
  }
  const tensor::ComputePolicy& policy() const { return policy_; }
  size_t rows() const { return rows_.size(); }
  const data::DataSet& data() const { return data_; }

 private:
  /// One for each choice of rows and size, so that runs which take turns do not make each other's anew.
  fs::path pixel_file() const {
    std::string names;
    for (const size_t row : rows_) names += data_.records()[row].file_name + '\n';
    return data_.root() / ".cache" / fmt::format("pixels-{}-{}.bin", options_.size_px, sha256_hex(names).substr(0, 12));
  }

  bool leads() const { return !group_ || group_->leads(); }
  TrainOutcome outcome() const { return {.run = run_, .steps = step_, .kimg = kimg(), .interrupted = interrupted_}; }

  /// What a rank does that writes nothing: the steps.
  TrainOutcome follow() {
    seek();
    while (goes_on()) one_step();
    group_->barrier();  // until the first rank has written the last checkpoint
    return outcome();
  }

  static tensor::ComputeOptions compute_of_rank(tensor::ComputeOptions compute, ranks::Group* group) {
    if (!group) return compute;
    compute.threads = ranks::threads_of(group->place(), compute.threads);
    if (compute.device == "cuda") compute.device = fmt::format("cuda:{}", group->place().local_rank);
    return compute;
  }

  void check_parts(int64_t batch) const {
    if (group_ && batch % group_->world() != 0)
      throw UsageError("batch = {}, expected a multiple of the {} ranks, which share each batch", batch,
                       group_->world());
  }

  /// False when the run is over or is to stop: on all ranks at the same step, by the first one's clock.
  bool goes_on() {
    preparing_.reset();
    elapsed_ = elapsed();
    interrupted_ = interrupt_requested();
    if (group_) {
      std::vector<double> both = {leads() ? elapsed_ : 0, interrupted_ ? 1.0 : 0.0};
      group_->sum(both);
      elapsed_ = both[0];
      interrupted_ = both[1] > 0;
    }
    const bool over = progress_share() >= 1.0;
    if (over) interrupted_ = false;  // nothing is left to be interrupted
    return !over && !interrupted_;
  }

  double kimg() const { return static_cast<double>(images_) / 1000; }
  double elapsed() const { return elapsed_before_ + seconds_since(started_); }

  /// The part of the run that is done: by images, by the clock, whichever is further.
  double progress_share() const {
    double share = 0;
    if (options_.kimg > 0) share = std::max(share, kimg() / options_.kimg);
    if (options_.minutes > 0) share = std::max(share, elapsed_ / (options_.minutes * 60));
    return share;
  }

  void initialise_from(const std::string& source) {
    fs::path directory = source, kept_file, discriminator_file;
    if (fs::is_directory(directory)) {
      if (fs::exists(directory / "state.json")) {  // a checkpoint
        kept_file = directory / "average.safetensors";
        discriminator_file = directory / "discriminator.safetensors";
      } else {
        directory = recipe::find_bundle(directory);
        kept_file = directory / "model.safetensors";
        discriminator_file = directory / "discriminator.safetensors";
      }
    } else {
      kept_file = directory;
    }
    const auto take = [&](const std::string& player, const fs::path& file) {
      if (!players_.contains(player) || !fs::exists(file)) return;
      auto& module = *players_.at(player);
      const auto missing = tensor::load_matching(module, tensor::read_weights(file).state);
      const auto all = tensor::state_of(module).size();
      if (missing.size() == all)
        throw UsageError("{}: none of its tensors fits {}; give a file of the same recipe", file.string(),
                         recipe_.hint());
      log_info("{} starts from {}: {} of {} tensors fit", player, file.string(), all - missing.size(), all);
    };
    if (!fs::exists(kept_file))
      throw UsageError("{}: there is nothing to start from; give a bundle, a checkpoint, or a safetensors or .pth file",
                       source);
    take(kept_, kept_file);
    take("discriminator", discriminator_file);
  }

  int64_t batch_now() const { return growing_ ? growing_->batch_at(kimg(), options_.batch) : options_.batch; }

  /// The loader goes on from where the run is, with the batch that the recipe has there.
  void seek() {
    batch_ = batch_now();
    check_parts(batch_);
    batches_->seek(images_, batch_);
  }

  void one_step() {
    if (batch_now() != batch_) seek();
    tensor::Batch batch = batches_->next();
    batch.inputs = recipe::on_device(batch.inputs, policy_);

    // What a step draws depends on (seed, step) alone, dropout included: nothing has to be stored to resume. Latents
    // are those of the whole batch, of which a rank takes its part; what else is drawn is each rank's own.
    const uint64_t seed = mix_seed(static_cast<uint64_t>(options_.seed), static_cast<uint64_t>(step_));
    at::Generator random = tensor::seeded_default(policy_.device, seed);
    const auto draw = [&](at::IntArrayRef shape) {
      const at::Tensor all = at::randn(shape, random, at::TensorOptions().device(policy_.device));
      if (!group_) return all;
      const int64_t part = batch_ / group_->world();
      return all.narrow(0, group_->rank() * part, part);
    };
    if (needs_.noise_planes > 0)
      batch.inputs.latent = draw({batch_, needs_.noise_planes, options_.size_px, options_.size_px});
    else if (needs_.latent > 0)
      batch.inputs.latent = draw({batch_, needs_.latent});

    if (!leads())
      random = tensor::seeded_default(policy_.device, mix_seed(seed, static_cast<uint64_t>(group_->rank())));
    std::optional<nn::SharedStatistics> shared;
    if (group_ && options_.batch_statistics == "synchronised")
      shared.emplace([this](std::vector<double>& values) { group_->sum(values); });

    recipe::StepMemo memo;
    // A vector has no map beside it that would say in which type to compute.
    if (batch.inputs.latent.defined()) batch.inputs.latent = policy_.activations(batch.inputs.latent);
    recipe::StepContext context{
        .batch = batch, .step = step_, .kimg = kimg(), .random = random, .memo = memo, .policy = policy_};
    lr_factor_ = recipe_.lr_factor(std::min(1.0, progress_share()));
    for (const auto& phase : phases_) {
      if (step_ % phase.every != 0) continue;
      auto terms = phase.losses(context);
      at::Tensor total;
      for (const auto& term : terms) {
        const at::Tensor weighted = term.value.to(at::kFloat) * term.weight;
        total = total.defined() ? total + weighted : weighted;
        pending_.push_back({step_, phase.name + "/" + term.name, term.value.detach()});
      }
      Adam& adam = optimisers_.at(phase.player);
      adam.step(gradients_of(total, adam.parameters(), group_), lr_factor_);
    }
    const double half_life = options_.ema_kimg * 1000;
    const double decay = half_life > 0 ? std::pow(0.5, static_cast<double>(batch_) / half_life) : 0;
    // Early on the average follows quickly, so that the first pictures show the network and not its initial weights.
    const double warm = static_cast<double>(step_ + 1) / static_cast<double>(step_ + 10);
    nn::update_average(*average_, *players_.at(kept_), std::min(decay, warm));
    ++step_;
    images_ += batch_;
    if (policy_.device.is_cpu() || step_ % kCheckEveryOnDevice == 0) check_pending();
  }

  /// Looks at the losses since the last time. @throws DataError at the first that is not finite
  void check_pending() {
    if (pending_.empty()) return;
    std::vector<at::Tensor> values;
    for (const auto& term : pending_) values.push_back(term.value.to(at::kFloat).reshape({1}));
    const at::Tensor together = at::cat(values).cpu();
    const float* v = together.data_ptr<float>();
    for (size_t i = 0; i < pending_.size(); ++i) {
      if (!std::isfinite(v[i])) {
        const std::string found = fmt::format("{}", v[i]);
        throw DataError(
            "{}: the loss {} became {} at step {}; the run stopped, its last good checkpoint is {}. A smaller lr or "
            "compute.precision=fp32 may help",
            run_.string(), pending_[i].name, found, pending_[i].step,
            last_snapshot_step_ > 0 ? fmt::format("step {}", last_snapshot_step_) : "none yet");
      }
      auto& sum = sums_[pending_[i].name];
      sum.first += v[i];
      sum.second += 1;
    }
    pending_.clear();
  }

  void write_stats() {
    check_pending();
    if (sums_.empty()) return;
    nlohmann::json losses;
    note_.clear();
    for (const auto& [name, sum] : sums_) {
      const double mean = sum.first / sum.second;
      losses[name] = mean;
      board_->scalar("loss/" + name, mean, step_);
    }
    const double seconds = seconds_since(last_log_), images = static_cast<double>(images_ - last_log_images_);
    const double s_per_kimg = images > 0 ? seconds / images * 1000 : 0;
    append_line(run_ / "stats.jsonl", {{"step", step_},
                                       {"kimg", kimg()},
                                       {"elapsed_s", elapsed()},
                                       {"s_per_kimg", s_per_kimg},
                                       {"lr_factor", lr_factor_},
                                       {"waited_s", loader_->waited_s()},
                                       {"ranks_waited_s", group_ ? group_->waited_s() : 0},
                                       {"resident_bytes", resident_memory_bytes()},
                                       {"losses", losses}});
    board_->scalar("progress/kimg", kimg(), step_);
    board_->scalar("progress/s_per_kimg", s_per_kimg, step_);
    board_->scalar("progress/data_waited_s", loader_->waited_s(), step_);
    board_->flush();
    note_ = fmt::format("step {}, {:.2f} kimg, {:.1f} images/s", step_, kimg(), seconds > 0 ? images / seconds : 0.0);
    if (losses.contains("g_main/adversarial"))
      note_ += fmt::format(", adversarial {:.2f}", losses["g_main/adversarial"].get<double>());
    sums_.clear();
    last_log_ = Clock::now();
    last_log_images_ = images_;
  }

  void write_fakes(int64_t step) {
    const auto sheet = samples_->sheet(dynamic_cast<recipe::Generator&>(*average_), policy_);
    image::write_png(run_ / fmt::format("fakes{:06d}.png", step), sheet);
    board_->image("fakes", sheet, step);
  }

  void snapshot() {
    const ranks::Group::Busy busy(group_);
    write_stats();
    for (const auto& [name, player] : players_)
      for (const auto& p : player->parameters())
        if (!at::isfinite(p).all().item<bool>())
          throw DataError("{}: weights of the {} are not finite at step {}; the last good checkpoint stands",
                          run_.string(), name, step_);
    nlohmann::json metric;
    bool is_best = true;
    if (judges_) {
      if (figures_->available()) {
        auto& judge = dynamic_cast<recipe::Judge&>(*average_);
        metric = figures_->measure(judge, policy_);
        metric["step"] = step_;
        metric["kimg"] = kimg();
        const std::string first = metric["first"];
        const double value = metric["figures"][first];
        is_best = !(value >= best_);
        if (is_best) best_ = value;
        append_line(run_ / "metric-judge.jsonl", metric);
        std::string text;
        for (const auto& [name, figure] : metric["figures"].items()) {
          board_->scalar("metric/" + name, figure.get<double>(), step_);
          text += fmt::format("{}{} {:.4f}", text.empty() ? "" : ", ", name, figure.get<double>());
        }
        log_info("step {}, {:.2f} kimg: {} ({} validation images){}", step_, kimg(), text, metric["n"].get<int64_t>(),
                 is_best ? ", best so far" : "");
      }
    } else if (kid_->available()) {
      metric = kid_->measure(dynamic_cast<recipe::Generator&>(*average_), policy_);
      metric["step"] = step_;
      metric["kimg"] = kimg();
      const double value = metric["kid"];
      is_best = !(value >= best_);
      if (is_best) best_ = value;
      append_line(run_ / fmt::format("metric-kid-{}.jsonl", metric["extractor"].get<std::string>()), metric);
      board_->scalar("metric/kid", value, step_);
      log_info("step {}, {:.2f} kimg: KID {:.4f} +- {:.4f} ({}, {} validation images){}", step_, kimg(), value,
               metric["deviation"].get<double>(), metric["extractor"].get<std::string>(),
               metric["n_real"].get<int64_t>(), is_best ? ", best so far" : "");
    }
    if (diversity_) look_at_diversity();
    if (!judges_) write_fakes(step_);
    const fs::path checkpoint = write_checkpoint(metric);
    point_to(run_, "latest", checkpoint);
    if (is_best) point_to(run_, "best", checkpoint);
    prune_checkpoints(run_, options_.keep_checkpoints);
    write_file(run_ / "README.md", read_file(checkpoint / "bundle" / "README.md"));
    write_run_report(run_);
    last_snapshot_ = Clock::now();
    last_snapshot_kimg_ = kimg();
    last_snapshot_step_ = step_;
  }

  /// Says when the images become much more alike than the real ones are: once, until they have become varied again.
  void look_at_diversity() {
    const DiversityFigures found = diversity_->measure(dynamic_cast<recipe::Generator&>(*average_), policy_);
    append_line(run_ / "metric-diversity.jsonl", {{"step", step_},
                                                  {"kimg", kimg()},
                                                  {"pairs", found.pairs},
                                                  {"nearest", found.nearest},
                                                  {"real_pairs", found.real_pairs},
                                                  {"real_nearest", found.real_nearest},
                                                  {"n", found.count},
                                                  {"reference", "train"},
                                                  {"ema", true}});
    board_->scalar("metric/diversity_pairs", found.pairs, step_);
    board_->scalar("metric/diversity_nearest", found.nearest, step_);
    const double threshold = options_.metrics.diversity_threshold;
    const bool low = std::min(found.pairs, found.nearest) < threshold;
    if (low && diversity_state_.empty() && kimg() < kYoungKimg) return;  // all images of a young run look alike
    if (low && diversity_state_ != kCollapsed)
      log_warning(
          "step {}, {:.2f} kimg: the images collapse: two of them differ by {:.2f} of what two photographs do, the two "
          "nearest by {:.2f} (threshold {}; {} samples). Look at the latest fakes*.png; model.augmentation, a smaller "
          "lr or another seed may help",
          step_, kimg(), found.pairs, found.nearest, threshold, found.count);
    if (!low && diversity_state_ == kCollapsed)
      log_info("step {}, {:.2f} kimg: the images are varied again: {:.2f} and {:.2f} of the photographs' differences",
               step_, kimg(), found.pairs, found.nearest);
    diversity_state_ = low ? kCollapsed : kVaried;
  }

  fs::path write_checkpoint(const nlohmann::json& metric) {
    const fs::path path = run_ / "checkpoints" / fmt::format("step-{:06d}", step_);
    std::error_code ignored;
    fs::remove_all(path, ignored);  // of a run that was killed after writing it and resumed from the one before
    NewDirectory directory(path);
    for (const auto& [name, player] : players_)
      tensor::write_safetensors(directory.path() / (name + ".safetensors"), tensor::state_of(*player));
    tensor::write_safetensors(directory.path() / "average.safetensors", tensor::state_of(*average_));
    tensor::NamedTensors moments;
    for (const auto& [name, adam] : optimisers_)
      for (auto& item : adam.state(name + "/")) moments.push_back(item);
    tensor::write_safetensors(directory.path() / "optimiser.safetensors", moments);
    nlohmann::json state = {{"format", 1},    {"step", step_},          {"images", images_},
                            {"kimg", kimg()}, {"elapsed_s", elapsed()}, {"code_version", version()}};
    if (std::isfinite(best_)) state[judges_ ? "best_figure" : "best_kid"] = best_;
    if (!diversity_state_.empty()) state["diversity"] = diversity_state_;
    write_file(directory.path() / "state.json", state.dump(2) + "\n");

    recipe::BundleConfig config;
    config.recipe = options_.recipe;
    Options recipe_options;
    recipe_.bind(recipe_options);
    config.options = recipe_options.to_json();
    config.size_px = options_.size_px;
    config.conditions = data_.conditions();
    config.map = map_;
    config.offer = offer_;
    config.training = {{"kimg", kimg()},
                       {"steps", step_},
                       {"seed", options_.seed},
                       {"batch", options_.batch},
                       {"ema", true},
                       {"ema_kimg", options_.ema_kimg},
                       {"images", rows_.size()},
                       {"data", data_.root().filename().string()},
                       {"data_fingerprint", data_.fingerprint()},
                       {"code_version", version()},
                       {"metric", metric},
                       {"region_shape", options_.region_shape},
                       {"elapsed_s", elapsed()},
                       {"init_from", options_.init_from}};
    config.kind = recipe_.kind();
    if (judges_) {
      config.name = recipe_.judge_name().empty() ? options_.recipe : recipe_.judge_name();
      config.canary = recipe::make_judge_canary(dynamic_cast<recipe::Judge&>(*average_), config.size_px);
    } else {
      config.canary = recipe::make_canary(dynamic_cast<recipe::Generator&>(*average_), config, needs_);
    }
    recipe::BundleFiles files{.config = config, .generator = average_.get(), .card = model_card(config, needs_, data_)};
    if (options_.with_discriminator && players_.contains("discriminator"))
      files.discriminator = players_.at("discriminator").get();
    recipe::write_bundle(directory.path() / "bundle", files);
    directory.commit();
    return path;
  }

  TrainOptions options_;
  recipe::Recipe& recipe_;
  recipe::Growing* growing_;                     ///< the recipe again, or none
  ranks::Group* group_;                          ///< of several ranks, or none
  std::optional<ranks::Group::Busy> preparing_;  ///< until the first step, which the other ranks wait for
  data::DataSet data_;
  std::vector<size_t> rows_, validation_rows_;
  data::Shape shape_ = data::Shape::mask;
  std::string kept_;  ///< the player that bundles keep
  bool judges_ = false;
  recipe::ImageSpec spec_;
  recipe::Needs needs_;
  data::MapSpec map_;
  data::Offer offer_;
  tensor::ComputePolicy policy_;
  recipe::Players players_;
  std::shared_ptr<torch::nn::Module> average_;
  std::map<std::string, Adam> optimisers_;
  std::vector<recipe::Phase> phases_;
  std::unique_ptr<loader::Loader> loader_;
  std::optional<loader::Upload> batches_;  ///< the loader's, on the device

  fs::path run_;
  TensorBoardWriter* board_ = nullptr;
  FixedSamples* samples_ = nullptr;  ///< of a generator
  std::unique_ptr<metrics::Extractor> extractor_ = metrics::random_extractor();
  ValidationKid* kid_ = nullptr;          ///< of a generator
  ValidationFigures* figures_ = nullptr;  ///< of a judge
  Diversity* diversity_ = nullptr;        ///< of a generator with enough images to learn from
  std::string diversity_state_;           ///< what was found last, kVaried or kCollapsed; "": nothing yet
  int64_t step_ = 0, last_snapshot_step_ = 0;
  int64_t images_ = 0, last_log_images_ = 0;  ///< shown so far
  int64_t batch_ = 0;                         ///< images in this step
  double elapsed_before_ = 0, last_snapshot_kimg_ = 0, lr_factor_ = 1;
  double elapsed_ = 0;        ///< seconds of training when the step began, the same on all ranks
  bool interrupted_ = false;  ///< likewise
  double best_ = std::numeric_limits<double>::infinity();
  Clock::time_point started_ = Clock::now(), last_log_ = started_, last_snapshot_ = started_;
  std::vector<PendingTerm> pending_;
  std::map<std::string, std::pair<double, int64_t>> sums_;
  std::string note_;
};

/// The extractor that `metrics` names; "auto" becomes what it comes to, so that a run that goes on measures as it
/// began.
std::unique_ptr<metrics::Extractor> open_extractor(MetricsOptions& metrics, const TrainOptions& options,
                                                   const recipe::Catalogue& catalogue) {
  std::string& name = metrics.extractor;
  if (name == "auto") {
    // A program with recipes of its own may know no "encoder", and cannot open the judge then.
    const std::vector<std::string> recipes = catalogue.names();
    const bool opens = std::find(recipes.begin(), recipes.end(), "encoder") != recipes.end();
    name = opens && !judges::find_judge_or_none(judges::kSkinEncoder).empty() ? "encoder" : "random";
  }
  if (name == "random") return metrics::random_extractor();
  judges::JudgeOptions judge;
  judge.bundle = name == "encoder" ? judges::find_judge(judges::kSkinEncoder) : fs::path(name);
  judge.device = options.compute.device;
  judge.threads = static_cast<int>(options.compute.threads);
  return std::make_unique<judges::SkinEncoder>(judge, catalogue);
}

void bind_all(Options& all, TrainOptions& options, recipe::Recipe& recipe) {
  options.bind(all);
  all.section("model", recipe);
}

nlohmann::json environment_of(const tensor::ComputePolicy& policy) {
  nlohmann::json facts = system_facts();
  facts["compute"] = policy.text();
  facts["libtorch"] = TORCH_VERSION;
  facts["dermgan"] = version();
  return facts;
}

}  // namespace

void TrainOptions::bind(Options& o) {
  o.add("recipe", recipe, "the method; its options stand under [model]");
  o.add("data", data, "a data set as `dermgan prepare` writes it");
  o.add("conditions", conditions, "train on the images of these conditions alone; empty: all of the data set");
  o.add("out", out, "where the run directory is made");
  o.add("name", name, "added to the run directory's name");
  o.add("size_px", size_px, "side of the images; 0: the data set's");
  o.add("batch", batch, "images a step; 0: the recipe's own");
  o.add("kimg", kimg, "length in thousand images shown; with minutes 0 too: 200 epochs");
  o.add("minutes", minutes, "length by the clock; the learning rate follows whichever of the two is further");
  o.add("seed", seed, "of weights, order, augmentation and noise");
  o.add("ema_kimg", ema_kimg, "half-life of the average of the weights, in thousand images");
  o.add("region_shape", region_shape, "how a row's region is drawn: mask (where there is one), box, ellipse or blob");
  o.add("snapshot_minutes", snapshot_minutes, "between checkpoints; 0: off");
  o.add("snapshot_kimg", snapshot_kimg, "between checkpoints; 0: off");
  o.add("keep_checkpoints", keep_checkpoints, "how many to keep beside the best");
  o.add("init_from", init_from, "bundle, checkpoint, or safetensors or .pth file whose fitting weights start the run");
  o.add("batch_statistics", batch_statistics,
        "of batch norm over several ranks: synchronised, or rank (each of its own part of the batch)");
  o.add("with_discriminator", with_discriminator, "keep the discriminator in bundles, for further training");
  o.add("pixel_cache", pixel_cache, "keep decoded and resized images in the data set's folder (.cache), for all runs");
  o.section("augment", augment);
  o.section("compute", compute);
  o.section("metrics", metrics);
}

void MetricsOptions::bind(Options& o) {
  o.add("extractor", extractor,
        "features of the validation KID: auto (the skin encoder where it is there), encoder, random, or a folder");
  o.add("diversity_threshold", diversity_threshold,
        "images less varied than this part of the real ones are said to collapse, in the log; 0: never");
}

void TrainOptions::validate() const {
  const auto at_least = [](const char* field, double value, double least) {
    if (!(value >= least) || !std::isfinite(value))
      throw UsageError("{} = {}, expected a number of at least {}", field, value, least);
  };
  if (data.empty()) throw UsageError("no data set was named; give --data FOLDER, as `dermgan prepare` wrote it");
  at_least("size_px", static_cast<double>(size_px), 0);
  at_least("batch", static_cast<double>(batch), 0);
  at_least("kimg", kimg, 0);
  at_least("minutes", minutes, 0);
  at_least("ema_kimg", ema_kimg, 0);
  at_least("snapshot_minutes", snapshot_minutes, 0);
  at_least("snapshot_kimg", snapshot_kimg, 0);
  if (!(metrics.diversity_threshold >= 0 && metrics.diversity_threshold <= 1))
    throw UsageError("metrics.diversity_threshold = {}, expected a number from 0 to 1", metrics.diversity_threshold);
  at_least("keep_checkpoints", static_cast<double>(keep_checkpoints), 1);
  if (size_px != 0 && (size_px < 64 || size_px > 512 || (size_px & (size_px - 1)) != 0))
    throw UsageError("size_px = {}, expected 64, 128, 256 or 512", size_px);
  if (batch_statistics != "synchronised" && batch_statistics != "rank")
    throw UsageError("batch_statistics = \"{}\", expected synchronised or rank", batch_statistics);
  if (batch > 1024) throw UsageError("batch = {}, expected at most 1024", batch);
  data::shape_from_name(region_shape);
  augment.validate();
  compute.validate();
}

TrainOutcome train(const TrainOptions& options, recipe::Recipe& recipe, const recipe::Catalogue& catalogue,
                   const std::string& command_line, ranks::Group* group) {
  Trainer trainer(options, recipe, group);
  if (group && !group->leads()) return trainer.run({});
  TrainOptions resolved = trainer.options();
  if (!trainer.trains_a_judge()) trainer.use_extractor(open_extractor(resolved.metrics, resolved, catalogue));
  const uint64_t needed =
      static_cast<uint64_t>(trainer.checkpoint_bytes()) * static_cast<uint64_t>(resolved.keep_checkpoints + 2);
  if (free_disk_bytes(resolved.out) < needed)
    throw DataError("{}: {} free, a run of this size needs {}; free some or choose another --out", resolved.out,
                    bytes_text(static_cast<double>(free_disk_bytes(resolved.out))),
                    bytes_text(static_cast<double>(needed)));
  const std::string set_name =
      resolved.name.empty() ? fs::absolute(resolved.data).lexically_normal().filename().string() : resolved.name;
  const fs::path run =
      new_run_directory(resolved.out, fmt::format("{}-{}-{}", resolved.recipe, set_name, resolved.size_px));
  Options all;
  bind_all(all, resolved, recipe);
  write_run_facts(
      run, all, command_line, environment_of(trainer.policy()),
      {{"data", resolved.data}, {"fingerprint", trainer.data().fingerprint()}, {"train_images", trainer.rows()}});
  return trainer.run(run);
}

TrainOutcome resume(const fs::path& run, const std::vector<std::string>& set, const recipe::Catalogue& catalogue,
                    const std::string& command_line, ranks::Group* group) {
  const fs::path checkpoint = latest_checkpoint(run);
  const fs::path config = run / "config.toml";
  TrainOptions options;
  // The recipe's name is needed before its options can be bound.
  options.recipe = recipe::read_bundle_config(checkpoint / "bundle").recipe;
  auto recipe = catalogue.make(options.recipe);
  Options all;
  bind_all(all, options, *recipe);
  all.read_toml_file(config);
  static const std::vector<std::string> changeable = {
      "kimg", "minutes", "snapshot_minutes",  "snapshot_kimg", "keep_checkpoints", "compute.threads",
      "data", "out",     "with_discriminator"};
  for (const auto& assignment : set) {
    const std::string key = assignment.substr(0, assignment.find('='));
    if (std::find(changeable.begin(), changeable.end(), key) == changeable.end())
      throw UsageError("\"{}\" cannot change on resume (only {}); start a new run with --init-from {}", key,
                       fmt::join(changeable, ", "), run.string());
    all.set(assignment);
  }
  const auto recorded = nlohmann::json::parse(read_file(run / "data_fingerprint.json"));
  Trainer trainer(options, *recipe, group);
  if (recorded.value("fingerprint", "") != trainer.data().fingerprint())
    throw DataError(
        "{}: the data set is another than the run began with (fingerprint {}, now {}); start a new run with "
        "--init-from {}",
        options.data, recorded.value("fingerprint", "").substr(0, 12), trainer.data().fingerprint().substr(0, 12),
        run.string());
  // Runs from before there was a choice say nothing: they measured with the random network.
  if (options.metrics.extractor == "auto") options.metrics.extractor = "random";
  trainer.load_checkpoint(checkpoint);
  if (group) group->barrier();  // all have read it before it may be pruned
  if (group && !group->leads()) return trainer.run(run);
  if (!trainer.trains_a_judge()) trainer.use_extractor(open_extractor(options.metrics, options, catalogue));
  const int64_t step = nlohmann::json::parse(read_file(checkpoint / "state.json")).at("step");
  for (const auto& entry : fs::directory_iterator(run))
    if (entry.path().extension() == ".jsonl") truncate_lines_after(entry.path(), step);
  write_run_facts(run, all, command_line, environment_of(trainer.policy()), recorded);
  log_info("going on with {} from step {}", run.string(), step);
  return trainer.run(run);
}

std::string dry_run(const TrainOptions& options, recipe::Recipe& recipe) {
  Trainer trainer(options, recipe);
  constexpr int kSteps = 3;
  const double seconds = trainer.measure_step(kSteps);
  const TrainOptions& o = trainer.options();
  std::string text =
      fmt::format("{} images, batch {}, {} px; {}\n", trainer.rows(), o.batch, o.size_px, trainer.policy().text());
  text += fmt::format("a step takes {:.2f} s ({:.1f} s/kimg), measured over {} steps\n", seconds,
                      seconds / static_cast<double>(o.batch) * 1000, kSteps);
  if (const int64_t first = trainer.first_batch(); first != o.batch)
    text += fmt::format("the run begins with {} images a step; all figures here are those of its end\n", first);
  const double steps_by_kimg = o.kimg * 1000 / static_cast<double>(o.batch);
  const double steps_by_clock = o.minutes * 60 / seconds;
  const double steps =
      o.kimg > 0 && o.minutes > 0 ? std::min(steps_by_kimg, steps_by_clock) : std::max(steps_by_kimg, steps_by_clock);
  text += fmt::format(
      "about {:.0f} steps, {:.2f} kimg ({:.1f} epochs), {}\n", steps, steps * static_cast<double>(o.batch) / 1000,
      steps * static_cast<double>(o.batch) / static_cast<double>(trainer.rows()), duration_text(steps * seconds));
  text += fmt::format("memory {} now; a checkpoint takes {}, {} are kept at most, {} free",
                      bytes_text(static_cast<double>(resident_memory_bytes())),
                      bytes_text(static_cast<double>(trainer.checkpoint_bytes())), o.keep_checkpoints + 1,
                      bytes_text(static_cast<double>(free_disk_bytes(o.out))));
  return text;
}

}  // namespace derm::training
