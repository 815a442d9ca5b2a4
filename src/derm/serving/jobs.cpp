#include "derm/serving/jobs.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <mutex>
#include <optional>
#include <thread>

#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/base/log.h"
#include "derm/base/suggest.h"
#include "derm/base/system.h"
#include "derm/data/dataset.h"
#include "derm/data/semantic_map.h"
#include "derm/generation/output.h"
#include "derm/http/message.h"
#include "derm/image/codec.h"
#include "derm/serving/zip.h"

namespace derm::serving {

namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kMostWatches = 2048;  // clients that wait for jobs; more are told at once how far theirs is

double seconds_between(Clock::time_point a, Clock::time_point b) {
  return std::chrono::duration<double>(b - a).count();
}
Clock::duration seconds(double s) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(s));
}

struct Job {
  std::string id;
  size_t model = 0;
  uint64_t number = 0;
  Ask ask;
  std::shared_ptr<const std::vector<data::Request>> requests;
  State state = State::queued;
  size_t taken = 0, made = 0, fetched = 0;
  std::vector<std::shared_ptr<const std::string>> images;  // PNG
  std::vector<bool> was_fetched;
  std::vector<nlohmann::json> measured;
  std::shared_ptr<const nlohmann::json> all_measured;
  std::shared_ptr<const std::string> zip;
  std::string error;
  uint64_t bytes = 0;
  Clock::time_point asked, begun, ended, touched;
};

struct Watch {
  std::string id;
  Clock::time_point until;
  std::function<void()> done;
};

/// One image on its way.
struct Piece {
  std::shared_ptr<Job> job;
  size_t index;
};

/// A temporary folder, removed with everything in it.
struct Scratch {
  std::filesystem::path path = std::filesystem::temp_directory_path() / ("dermgan-serve-" + http::random_hex(8));
  Scratch() { std::filesystem::create_directory(path); }
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
};

}  // namespace

std::string state_name(State state) {
  static const char* names[] = {"queued", "running", "packing", "done", "failed", "cancelled", "expired"};
  return names[static_cast<size_t>(state)];
}

nlohmann::ordered_json to_json(const JobView& job) {
  nlohmann::ordered_json json = {{"id", job.id},
                                 {"state", state_name(job.state)},
                                 {"model", job.model},
                                 {"format", job.format == Format::dataset ? "dataset" : "png"},
                                 {"count", job.requests->size()},
                                 {"made", job.made},
                                 {"jobs_ahead", job.ahead},
                                 {"waited_ms", std::round(job.waited_s * 1e4) / 10},
                                 {"made_ms", std::round(job.made_s * 1e4) / 10},
                                 {"seed", job.requests->front().seed},
                                 {"requests", nlohmann::ordered_json::array()},
                                 {"results", nlohmann::ordered_json::array()}};
  for (const data::Request& request : *job.requests) json["requests"].push_back(echo_of(request, *job.offer));
  if (job.has_result) {
    const size_t results = job.format == Format::dataset ? 1 : job.requests->size();
    for (size_t i = 0; i < results; ++i)
      json["results"].push_back(fmt::format("/v1/jobs/{}/result{}", job.id, i == 0 ? "" : fmt::format("?index={}", i)));
  }
  if (job.measured) json["measured"] = *job.measured;
  if (!job.error.empty()) json["error"] = job.error;
  return json;
}

struct Jobs::Impl {
  std::vector<Model> models;
  JobLimits limits;
  Measure measure;

  mutable std::mutex mutex;
  std::condition_variable work, pack, tick;
  std::map<std::string, std::shared_ptr<Job>> jobs;
  std::deque<std::shared_ptr<Job>> active;   // not final, in the order they came
  std::deque<std::shared_ptr<Job>> to_pack;  // all images made; still to be measured or zipped
  std::vector<Watch> watches;
  bool stop = false, stopping = false;
  uint64_t next_number = 0, result_bytes = 0;
  size_t images_active = 0;
  std::string canary_fault;

  struct Replica {
    std::optional<Clock::time_point> busy_since;
    Clock::time_point canary_made;
    std::string canary_sha;
    bool alive = true;
  };
  std::vector<std::vector<Replica>> replicas;  // by model

  // Counters.
  std::map<State, uint64_t> ended_jobs;
  uint64_t accepted = 0, refused = 0, images_made = 0, batches = 0, canaries = 0;
  double busy_seconds = 0;
  double rate = 0;  // images a second, fading

  std::vector<std::thread> threads;

  generation::Maker maker(const Model& m) const { return {m.recipe, m.bundle_sha256, m.size_px, m.offer.heeds}; }

  std::shared_ptr<Job> find(const std::string& id) const {
    const auto found = jobs.find(id);
    if (found == jobs.end())
      throw http::HttpError(404, "no_job",
                            "there is no such job; its result was kept for a while and is gone, or it never was");
    return found->second;
  }

  JobView view(const Job& job) const {
    JobView v;
    v.id = job.id;
    v.model = models[job.model].name;
    v.offer = &models[job.model].offer;
    v.state = job.state;
    v.format = job.ask.format;
    v.requests = job.requests;
    v.made = job.made;
    const auto now = Clock::now();
    const bool begun = job.taken > 0;
    v.waited_s = seconds_between(job.asked, begun ? job.begun : is_final(job.state) ? job.ended : now);
    v.made_s = begun ? seconds_between(job.begun, is_final(job.state) ? job.ended : now) : 0;
    if (!is_final(job.state))
      for (const auto& other : active) v.ahead += other->number < job.number;
    v.measured = job.all_measured;
    v.error = job.error;
    v.has_result = job.state == State::done && (job.zip || !job.images.empty());
    return v;
  }

  /// Under the lock. Callbacks are collected and called without it.
  std::vector<std::function<void()>> end(const std::shared_ptr<Job>& job, State state) {
    job->state = state;
    job->ended = job->touched = Clock::now();
    ++ended_jobs[state];
    images_active -= job->requests->size();
    std::erase(active, job);
    if (state != State::done) forget_result(*job);
    std::vector<std::function<void()>> calls;
    std::erase_if(watches, [&](Watch& w) {
      if (w.id != job->id) return false;
      calls.push_back(std::move(w.done));
      return true;
    });
    tick.notify_all();
    return calls;
  }
  static void call(const std::vector<std::function<void()>>& calls) {
    for (const auto& one : calls) one();
  }

  void forget_result(Job& job) {
    result_bytes -= job.bytes;
    job.bytes = 0;
    job.images.clear();
    job.zip.reset();
    job.measured.clear();
  }

  /// Too many results: those that were fetched already go, the longest untouched first.
  void make_room() {
    while (result_bytes >= limits.max_result_bytes) {
      Job* oldest = nullptr;
      for (const auto& [id, job] : jobs)
        if (job->bytes > 0 && is_fetched(*job) && (!oldest || job->touched < oldest->touched)) oldest = job.get();
      if (!oldest) return;
      forget_result(*oldest);
    }
  }
  static bool is_fetched(const Job& job) {
    return job.state == State::done && job.fetched >= (job.ask.format == Format::dataset ? 1 : job.requests->size());
  }

  /// Images of several jobs at a time.
  std::vector<Piece> take(size_t model, size_t side_by_side) {
    size_t waiting = 0;
    for (const auto& job : active)
      if (job->model == model && !is_final(job->state)) waiting += job->requests->size() - job->taken;
    // A long queue is worked off in larger pieces, since the last image of each leaves other threads idle for a moment.
    const size_t most = waiting >= 4 * side_by_side ? 4 * side_by_side : side_by_side;
    // The oldest job always gets on; the rest goes to those that have had least, so that one image waits behind no
    // crowd of large jobs.
    std::vector<std::shared_ptr<Job>> open;
    for (const auto& job : active)
      if (job->model == model && job->taken < job->requests->size()) open.push_back(job);
    std::vector<Piece> pieces;
    const auto take_one = [&](const std::shared_ptr<Job>& job) {
      if (job->taken == 0) {
        job->state = State::running;
        job->begun = Clock::now();
      }
      pieces.push_back({job, job->taken++});
    };
    if (!open.empty()) take_one(open.front());
    while (pieces.size() < most) {
      const auto next = std::min_element(open.begin(), open.end(), [](const auto& x, const auto& y) {
        const bool x_full = x->taken == x->requests->size(), y_full = y->taken == y->requests->size();
        return x_full != y_full ? y_full : x->taken < y->taken;  // of equals the oldest
      });
      if (next == open.end() || (*next)->taken == (*next)->requests->size()) break;
      take_one(*next);
    }
    return pieces;
  }

  void run_replica(size_t model, size_t number);
  void make_batch(size_t model, Painter& painter, const std::vector<Piece>& pieces);
  void sing_canary(size_t model, Painter& painter, size_t number);
  void run_packer();
  std::string zip_of(const Job& job) const;
  void run_clock();
};

void Jobs::Impl::make_batch(size_t model, Painter& painter, const std::vector<Piece>& pieces) {
  std::vector<data::Request> requests;
  for (const Piece& piece : pieces) requests.push_back((*piece.job->requests)[piece.index]);
  const auto begin = Clock::now();
  std::vector<std::function<void()>> calls;
  try {
    painter.paint(requests, [&](size_t i, image::Image image) {
      const Piece& piece = pieces[i];
      {
        const std::lock_guard lock(mutex);
        if (is_final(piece.job->state)) return;  // cancelled meanwhile
      }
      auto png = std::make_shared<const std::string>(
          image::encode_png(image, generation::provenance(requests[i], maker(models[model]))));
      std::vector<std::function<void()>> done;
      {
        const std::lock_guard lock(mutex);
        Job& job = *piece.job;
        if (is_final(job.state)) return;
        job.bytes += png->size();
        result_bytes += png->size();
        job.images[piece.index] = std::move(png);
        ++images_made;
        if (++job.made == job.requests->size()) {
          if (job.ask.measure || job.ask.format == Format::dataset) {
            job.state = State::packing;
            to_pack.push_back(piece.job);
            pack.notify_one();
          } else {
            done = end(piece.job, State::done);
          }
        }
      }
      call(done);
    });
  } catch (const std::exception& error) {
    const std::string id = http::random_hex(4);
    log_line(LogLevel::error, fmt::format("serve: fault {}: {}", id, error.what()));
    const std::lock_guard lock(mutex);
    for (const Piece& piece : pieces) {
      if (is_final(piece.job->state)) continue;
      piece.job->error = fmt::format("the model failed; the server's log has the details under {}", id);
      for (auto& one : end(piece.job, State::failed)) calls.push_back(std::move(one));
    }
  }
  call(calls);
  const double took = seconds_between(begin, Clock::now());
  const std::lock_guard lock(mutex);
  ++batches;
  busy_seconds += took;
  const double now = static_cast<double>(pieces.size()) / std::max(took, 1e-3);
  rate = rate == 0 ? now : 0.9 * rate + 0.1 * now;
}

void Jobs::Impl::sing_canary(size_t model, Painter& painter, size_t number) {
  std::string sha, fault;
  try {
    painter.paint({models[model].canary}, [&](size_t, const image::Image& image) {
      sha = sha256_hex({reinterpret_cast<const char*>(image.pixels.data()), image.pixels.size()});
    });
  } catch (const std::exception& error) {
    fault = error.what();
  }
  const std::lock_guard lock(mutex);
  Replica& replica = replicas[model][number];
  replica.canary_made = Clock::now();
  ++canaries;
  if (fault.empty() && replica.canary_sha.empty()) replica.canary_sha = sha;
  if (fault.empty() && replica.canary_sha != sha)
    fault = "the image of the canary's request is another than at the start; memory or the processor is at fault";
  if (!fault.empty()) {
    canary_fault = fmt::format("{}: {}", models[model].name, fault);
    log_line(LogLevel::error, "serve: " + canary_fault);
  }
}

void Jobs::Impl::run_replica(size_t model, size_t number) {
  Painter& painter = *models[model].replicas[number];
  sing_canary(model, painter, number);
  for (;;) {
    std::vector<Piece> pieces;
    {
      std::unique_lock lock(mutex);
      Replica& replica = replicas[model][number];
      replica.busy_since.reset();
      const auto next_canary = replica.canary_made + seconds(limits.canary_s);
      const bool woken = work.wait_until(lock, next_canary, [&] {
        if (stop) return true;
        pieces = take(model, painter.side_by_side());
        return !pieces.empty();
      });
      if (stop) return;
      replica.busy_since = Clock::now();
      if (!woken) pieces.clear();
    }
    if (pieces.empty())
      sing_canary(model, painter, number);
    else
      make_batch(model, painter, pieces);
  }
}

std::string Jobs::Impl::zip_of(const Job& job) const {
  const Model& m = models[job.model];
  const generation::Maker made_by = maker(m);
  Scratch scratch;
  std::filesystem::create_directory(scratch.path / "images");
  const bool masks = made_by.heeded("region");
  if (masks) std::filesystem::create_directory(scratch.path / "masks");
  std::vector<data::Record> records;
  nlohmann::ordered_json requests = nlohmann::ordered_json::array();
  for (size_t i = 0; i < job.requests->size(); ++i) {
    const data::Request& request = (*job.requests)[i];
    records.push_back(generation::record_of(request, made_by, fmt::format("images/{:06}.png", i),
                                            masks ? fmt::format("masks/{:06}.png", i) : std::string()));
    write_file(scratch.path / records.back().file_name, *job.images[i]);
    if (masks)
      write_file(scratch.path / records.back().mask_file_name,
                 image::encode_png(data::region_mask(request, m.size_px)));
    requests.push_back(nlohmann::ordered_json(data::to_json(request)));
  }
  data::write_data_set(scratch.path, records, generation::facts_of_set(made_by, records.size(), true));
  ZipWriter zip;
  const auto add = [&](const std::string& name) { zip.add(name, read_file(scratch.path / name)); };
  add("metadata.csv");
  add("dataset.json");
  zip.add("requests.json", requests.dump(2) + "\n");
  for (const data::Record& record : records) {
    add(record.file_name);
    if (masks) add(record.mask_file_name);
  }
  return zip.finish();
}

/// Measures and zips on a thread of its own, so that the replicas go on.
void Jobs::Impl::run_packer() {
  for (;;) {
    std::shared_ptr<Job> job;
    {
      std::unique_lock lock(mutex);
      pack.wait(lock, [&] { return stop || !to_pack.empty(); });
      if (stop) return;
      job = to_pack.front();
      to_pack.pop_front();
      if (is_final(job->state)) continue;
    }
    std::vector<std::function<void()>> calls;
    try {
      // The images of a job that is being packed are taken by nobody else, but cancelling forgets them: copied first.
      Job copy;
      {
        const std::lock_guard lock(mutex);
        copy = *job;
        if (is_final(job->state)) continue;
      }
      nlohmann::json measured;
      if (copy.ask.measure) {
        measured = nlohmann::json::array();
        for (size_t i = 0; i < copy.requests->size(); ++i)
          measured.push_back(
              measure((*copy.requests)[i], image::decode_image(*copy.images[i], "image"), models[copy.model].offer));
      }
      std::shared_ptr<const std::string> zip;
      if (copy.ask.format == Format::dataset) zip = std::make_shared<const std::string>(zip_of(copy));
      const std::lock_guard lock(mutex);
      if (!is_final(job->state)) {
        if (copy.ask.measure) job->all_measured = std::make_shared<const nlohmann::json>(std::move(measured));
        if (zip) {
          result_bytes -= job->bytes;
          job->images.clear();
          job->bytes = zip->size();
          job->zip = std::move(zip);
          result_bytes += job->bytes;
        }
        calls = end(job, State::done);
      }
    } catch (const std::exception& error) {
      log_line(LogLevel::error, fmt::format("serve: job {}: {}", job->id, error.what()));
      const std::lock_guard lock(mutex);
      if (!is_final(job->state)) {
        job->error = "the result could not be packed; the server's log has the details under this job's id";
        calls = end(job, State::failed);
      }
    }
    call(calls);
  }
}

/// Deadlines: of those who wait for a job, of jobs that wait, and of results that nobody fetches.
void Jobs::Impl::run_clock() {
  for (;;) {
    std::vector<std::function<void()>> calls;
    {
      std::unique_lock lock(mutex);
      tick.wait_for(lock, std::chrono::milliseconds(20), [&] { return stop; });
      if (stop) return;
      const auto now = Clock::now();
      std::erase_if(watches, [&](Watch& w) {
        if (now < w.until) return false;
        calls.push_back(std::move(w.done));
        return true;
      });
      const auto waiting = active;
      for (const auto& job : waiting) {
        // What was accepted before the server was told to stop is made, however long the queue.
        if (stopping || job->state != State::queued || seconds_between(job->asked, now) < limits.wait_s) continue;
        job->error = fmt::format("it had to wait for more than {} s", limits.wait_s);
        for (auto& one : end(job, State::expired)) calls.push_back(std::move(one));
      }
      std::erase_if(jobs, [&](const auto& entry) {
        Job& job = *entry.second;
        if (!is_final(job.state)) return false;
        const bool fetched = job.state != State::done || is_fetched(job);
        if (seconds_between(job.touched, now) < (fetched ? limits.keep_fetched_s : limits.keep_s)) return false;
        forget_result(job);
        return true;
      });
    }
    call(calls);
  }
}

Jobs::Jobs(std::vector<Model> models, JobLimits limits, Measure measure) : impl_(std::make_unique<Impl>()) {
  if (models.empty()) throw UsageError("serve: no model is given; at least one --bundle is needed");
  impl_->models = std::move(models);
  impl_->limits = limits;
  impl_->measure = std::move(measure);
  for (const Model& m : impl_->models) impl_->replicas.emplace_back(m.replicas.size());
  for (size_t m = 0; m < impl_->models.size(); ++m)
    for (size_t r = 0; r < impl_->models[m].replicas.size(); ++r)
      impl_->threads.emplace_back([this, m, r] {
        try {
          impl_->run_replica(m, r);
        } catch (const std::exception& error) {
          log_line(LogLevel::error,
                   fmt::format("serve: a replica of {} ended: {}", impl_->models[m].name, error.what()));
        }
        const std::lock_guard lock(impl_->mutex);
        impl_->replicas[m][r].alive = false;
      });
  impl_->threads.emplace_back([this] { impl_->run_packer(); });
  impl_->threads.emplace_back([this] { impl_->run_clock(); });
}

Jobs::~Jobs() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stop = true;
    impl_->work.notify_all();
    impl_->pack.notify_all();
    impl_->tick.notify_all();
  }
  for (std::thread& thread : impl_->threads) thread.join();
  for (const Watch& watch : impl_->watches) watch.done();
}

const std::vector<Model>& Jobs::models() const { return impl_->models; }

const Model& Jobs::model(const std::string& name) const {
  if (name.empty()) return impl_->models.front();
  std::vector<std::string> names;
  for (const Model& m : impl_->models) {
    if (m.name == name) return m;
    names.push_back(m.name);
  }
  throw UsageError("model: \"{}\" is not there{}", name, did_you_mean(name, names));
}

std::string Jobs::submit(Ask ask) {
  Impl& impl = *impl_;
  const Model& m = model(ask.model);
  const std::lock_guard lock(impl.mutex);
  if (impl.stopping)
    throw http::HttpError(503, "stopping", "the server is about to stop and takes no further jobs").retry_after(30);
  const size_t count = ask.requests.size();
  impl.make_room();
  const bool results_full = impl.result_bytes >= impl.limits.max_result_bytes;
  if (impl.active.size() >= impl.limits.max_jobs || impl.images_active + count > impl.limits.max_images ||
      results_full) {
    ++impl.refused;
    // As long as what waits will take, within reason.
    const double wait = impl.rate > 0 ? static_cast<double>(impl.images_active) / impl.rate : 1;
    const int after = static_cast<int>(std::clamp(std::ceil(wait / 2), 1.0, 30.0));
    if (results_full)
      throw http::HttpError(429, "results_full", "{} MB of results wait to be fetched; fetch or delete some",
                            impl.result_bytes >> 20)
          .retry_after(after);
    throw http::HttpError(429, "queue_full", "{} jobs with {} images wait already; ask again in {} s",
                          impl.active.size(), impl.images_active, after)
        .retry_after(after);
  }
  auto job = std::make_shared<Job>();
  job->id = http::random_hex(12);
  job->model = static_cast<size_t>(&m - impl.models.data());
  job->number = impl.next_number++;
  job->requests = std::make_shared<const std::vector<data::Request>>(std::move(ask.requests));
  job->ask = std::move(ask);
  job->images.resize(count);
  job->was_fetched.resize(count);
  job->asked = job->touched = Clock::now();
  impl.jobs[job->id] = job;
  impl.active.push_back(job);
  impl.images_active += count;
  ++impl.accepted;
  impl.work.notify_all();
  return job->id;
}

JobView Jobs::view(const std::string& id) const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->view(*impl_->find(id));
}

JobView Jobs::cancel(const std::string& id) {
  std::vector<std::function<void()>> calls;
  JobView view;
  {
    const std::lock_guard lock(impl_->mutex);
    const auto job = impl_->find(id);
    if (!is_final(job->state)) {
      job->taken = job->requests->size();
      calls = impl_->end(job, State::cancelled);
    } else {
      impl_->forget_result(*job);
      job->fetched = job->requests->size();
    }
    view = impl_->view(*job);
  }
  Impl::call(calls);
  return view;
}

JobResult Jobs::result(const std::string& id, size_t index) {
  const std::lock_guard lock(impl_->mutex);
  const auto job = impl_->find(id);
  if (!is_final(job->state))
    throw http::HttpError(409, "not_done", "the job is {}; ask for it with ?wait_s=30 until it is done",
                          state_name(job->state));
  if (job->state != State::done)
    throw http::HttpError(409, state_name(job->state), "the job is {}{}{}", state_name(job->state),
                          job->error.empty() ? "" : ": ", job->error);
  const bool zip = job->ask.format == Format::dataset;
  const size_t results = zip ? 1 : job->requests->size();
  if (index >= results)
    throw http::HttpError(404, "no_result", "there is no result {}; the last is {}", index, results - 1);
  if (zip ? !job->zip : job->images.empty()) throw http::HttpError(404, "no_result", "the result was deleted");
  job->touched = Clock::now();
  if (!job->was_fetched[index]) {
    job->was_fetched[index] = true;
    ++job->fetched;
    impl_->tick.notify_all();
  }
  if (zip) return {job->zip, "application/zip", fmt::format("dermgan-{}.zip", job->id.substr(0, 8))};
  return {job->images[index], "image/png", fmt::format("dermgan-{}-{:03}.png", job->id.substr(0, 8), index)};
}

void Jobs::when_done(const std::string& id, double wait, std::function<void()> done) {
  {
    const std::lock_guard lock(impl_->mutex);
    const auto found = impl_->jobs.find(id);
    const bool room = impl_->watches.size() < kMostWatches;
    if (found != impl_->jobs.end() && !is_final(found->second->state) && wait > 0 && room) {
      impl_->watches.push_back({id, Clock::now() + seconds(wait), std::move(done)});
      return;
    }
  }
  done();
}

std::string Jobs::fault() const {
  const std::lock_guard lock(impl_->mutex);
  if (!impl_->canary_fault.empty()) return impl_->canary_fault;
  for (size_t m = 0; m < impl_->models.size(); ++m) {
    for (const Impl::Replica& replica : impl_->replicas[m]) {
      const std::string& name = impl_->models[m].name;
      if (!replica.alive) return name + ": a replica has ended";
      if (replica.canary_sha.empty()) return name + ": its canary has not been made yet";
      if (replica.busy_since && seconds_between(*replica.busy_since, Clock::now()) > impl_->limits.stuck_s)
        return fmt::format("{}: a batch takes longer than {} s", name, impl_->limits.stuck_s);
    }
  }
  return "";
}

bool Jobs::drain(double wait) {
  std::unique_lock lock(impl_->mutex);
  impl_->stopping = true;
  const auto can_be_made = [&](const std::shared_ptr<Job>& job) {
    const auto& replicas = impl_->replicas[job->model];
    return std::any_of(replicas.begin(), replicas.end(), [](const Impl::Replica& r) { return r.alive; });
  };
  while (std::any_of(impl_->active.begin(), impl_->active.end(), can_be_made))
    impl_->tick.wait_for(lock, std::chrono::milliseconds(100));
  return impl_->tick.wait_for(lock, seconds(wait), [&] {
    return std::none_of(impl_->jobs.begin(), impl_->jobs.end(), [](const auto& entry) {
      const Job& job = *entry.second;
      return job.state == State::done && job.fetched < (job.zip ? 1 : job.images.size());
    });
  });
}

bool Jobs::stopping() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->stopping;
}

std::string Jobs::prometheus() const {
  const std::lock_guard lock(impl_->mutex);
  const Impl& i = *impl_;
  std::string text;
  const auto add = [&](const char* name, const char* type, const char* help, auto value) {
    text += fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n{0} {3}\n", name, help, type, value);
  };
  size_t running = 0;
  for (const auto& job : i.active) running += job->state != State::queued;
  add("dermgan_jobs_queued", "gauge", "Jobs whose first image is not begun.", i.active.size() - running);
  add("dermgan_jobs_running", "gauge", "Jobs that are being made.", running);
  add("dermgan_jobs_kept", "gauge", "Finished jobs that can still be asked for.", i.jobs.size() - i.active.size());
  add("dermgan_jobs_accepted_total", "counter", "Jobs accepted.", i.accepted);
  add("dermgan_jobs_refused_total", "counter", "Jobs refused with 429.", i.refused);
  text += "# HELP dermgan_jobs_ended_total Jobs that ended, by how.\n# TYPE dermgan_jobs_ended_total counter\n";
  for (const State state : {State::done, State::failed, State::cancelled, State::expired}) {
    const auto found = i.ended_jobs.find(state);
    text += fmt::format("dermgan_jobs_ended_total{{state=\"{}\"}} {}\n", state_name(state),
                        found == i.ended_jobs.end() ? 0 : found->second);
  }
  add("dermgan_images_total", "counter", "Images made.", i.images_made);
  add("dermgan_batches_total", "counter", "Batches that replicas made.", i.batches);
  add("dermgan_busy_seconds_total", "counter", "Time that replicas spent on batches.", i.busy_seconds);
  add("dermgan_canaries_total", "counter", "Canaries made.", i.canaries);
  add("dermgan_result_bytes", "gauge", "Results that wait to be fetched.", i.result_bytes);
  add("dermgan_resident_bytes", "gauge", "Memory of the process.", resident_memory_bytes());
  return text;
}

}  // namespace derm::serving
