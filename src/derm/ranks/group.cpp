#include "derm/ranks/group.h"

#include "derm/base/error.h"

#ifdef USE_C10D_GLOO

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <sstream>
#include <thread>

#include <torch/torch.h>
// These after torch.h, whose macros they use.
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#ifdef DERM_HAS_NCCL
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#endif

#include "derm/base/log.h"
#include "derm/base/text.h"

namespace derm::ranks {
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

constexpr auto kBeat = std::chrono::milliseconds(1000);
constexpr int kOurFault = 1;  // the program's exit code for what is not the user's doing

enum State : char { works = 'w', waits = 'c', busy = 'b', done = 'd', failed = 'f' };

/// A sign of life.
struct Beat {
  int64_t number = 0;    ///< goes up every second
  int64_t progress = 0;  ///< goes up with everything done together
  char state = works;
  int64_t process = 0;
  std::string host;

  std::string text() const { return fmt::format("{} {} {} {} {}", number, progress, state, process, host); }
  static Beat parse(const std::string& text) {
    Beat beat;
    std::istringstream in(text);
    in >> beat.number >> beat.progress >> beat.state >> beat.process >> beat.host;
    return beat;
  }
};

std::string host_name() {
  char name[256] = {};
  return gethostname(name, sizeof(name) - 1) == 0 && name[0] != 0 ? name : "unknown";
}

/// libtorch 2 has a store on libuv as well, and asks for it by default; not every build holds it.
template <class Options>
void without_libuv(Options& options) {
  if constexpr (requires { options.useLibUV; }) options.useLibUV = false;
}

std::vector<uint8_t> bytes(const std::string& text) { return {text.begin(), text.end()}; }

}  // namespace

struct Group::Impl {
  Place place;
  GroupOptions options;
  std::string attempt;                              // of the job
  c10::intrusive_ptr<c10d::TCPStore> store, beats;  // two connections: the first waits in collectives
  c10::intrusive_ptr<c10d::ProcessGroupGloo> gloo;
#ifdef DERM_HAS_NCCL
  c10::intrusive_ptr<c10d::ProcessGroupNCCL> nccl;  // from the first tensor on a GPU on
#endif

  c10::intrusive_ptr<c10d::Work> all_reduce(std::vector<at::Tensor>& tensors) {
#ifdef DERM_HAS_NCCL
    if (tensors.front().is_cuda()) {
      if (!nccl)
        nccl = c10::make_intrusive<c10d::ProcessGroupNCCL>(
            c10::make_intrusive<c10d::PrefixStore>(attempt + "/nccl", store), place.rank, place.world);
      return nccl->allreduce(tensors);
    }
#endif
    return gloo->allreduce(tensors);
  }

  std::atomic<char> state{works};
  std::atomic<int64_t> progress{0};
  std::atomic<double> longest_s{0};  // between two things done together
  std::atomic<int64_t> waiting_since_ms{0};
  Clock::time_point last_together = Clock::now();
  double waited_s = 0;
  const Clock::time_point start = Clock::now();

  std::mutex mutex;
  std::condition_variable stop_asked;
  bool stopping = false;
  std::thread watcher;

  struct Seen {
    Beat beat;
    Clock::time_point alive, moved;
  };
  std::map<int, Seen> seen;

  std::string key(int rank) const { return fmt::format("{}/beat/{}", attempt, rank); }
  int64_t now_ms() const { return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start).count(); }

  void publish(int64_t number) {
    const Beat beat{.number = number,
                    .progress = progress,
                    .state = state,
                    .process = static_cast<int64_t>(getpid()),
                    .host = host_name()};
    beats->set(key(place.rank), bytes(beat.text()));
  }

  Beat read(int rank) {
    const std::vector<uint8_t> value = beats->get(key(rank));
    return Beat::parse(std::string(value.begin(), value.end()));
  }

  std::string named(int rank) const {
    const auto found = seen.find(rank);
    if (found == seen.end()) return fmt::format("rank {} of {}", rank, place.world);
    return fmt::format("rank {} of {} (process {} on {})", rank, place.world, found->second.beat.process,
                       found->second.beat.host);
  }

  /// The end of a process whose main thread may wait for ever. What stands on disk is whole.
  [[noreturn]] void leave(const std::string& sentence) {
    const std::string text = fmt::format(
        "rank {}: {}; start the job again, with --resume it goes on from its last "
        "checkpoint, on another number of ranks too",
        place.rank, sentence);
    log_line(LogLevel::error, text);
    std::fflush(nullptr);
    _exit(kOurFault);
  }

  void inspect() {
    const double patience = std::max(options.stuck_s, 10 * longest_s.load());
    const int64_t since = waiting_since_ms;
    const bool we_wait_long = state == waits && since > 0 && static_cast<double>(now_ms() - since) / 1000 > patience;
    for (int rank = 0; rank < place.world; ++rank) {
      if (rank == place.rank) continue;
      const Beat beat = read(rank);
      const auto [found, is_new] = seen.emplace(rank, Seen{beat, Clock::now(), Clock::now()});
      Seen& other = found->second;
      if (beat.number != other.beat.number) other.alive = Clock::now();
      if (beat.progress != other.beat.progress || beat.state == busy || beat.state == waits) other.moved = Clock::now();
      other.beat = beat;
      if (beat.state == done) continue;
      if (beat.state == failed) leave(named(rank) + " ended with an error, which its own messages name");
      if (seconds_since(other.alive) > options.silent_s)
        leave(
            fmt::format("{} has given no sign of life for {:.0f} s: its process has ended, stands still or cannot be "
                        "reached",
                        named(rank), seconds_since(other.alive)));
      if (we_wait_long && beat.state == works && seconds_since(other.moved) > patience)
        leave(fmt::format("{} hangs: the others have waited for it for {:.0f} s", named(rank),
                          seconds_since(other.moved)));
    }
  }

  void watch() {
    int64_t number = 0;
    try {
      for (;;) {
        publish(++number);
        inspect();
        std::unique_lock lock(mutex);
        if (stop_asked.wait_for(lock, kBeat, [&] { return stopping; })) return;
      }
    } catch (const std::exception& e) {  // the store is gone, and rank 0 holds it
      {
        const std::lock_guard lock(mutex);
        if (stopping) return;
      }
      leave(named(0) + " has ended: its store does not answer");
    }
  }

  /// Runs what all ranks do together.
  template <class Work>
  void together(Work&& work) {
    longest_s = std::max(longest_s.load(), seconds_since(last_together));
    waiting_since_ms = std::max<int64_t>(1, now_ms());
    const char before = state.exchange(waits);
    const auto begin = Clock::now();
    try {
      work();
    } catch (const std::exception& e) {
      // A rank that died closes its connections at once; who it was, the watcher knows when its signs of life end.
      std::this_thread::sleep_for(std::chrono::duration<double>(options.silent_s + 5));
      leave(fmt::format("the connection to another rank broke ({})", first_line(e.what())));
    }
    state = before;
    waiting_since_ms = 0;
    waited_s += seconds_since(begin);
    ++progress;
    last_together = Clock::now();
  }
};

struct Group::Sum::State {
  Group::Impl* group = nullptr;
  std::vector<at::Tensor> tensors;
  c10::intrusive_ptr<c10d::Work> work;
};

Group::Group(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

std::unique_ptr<Group> Group::join(const Place& place, const GroupOptions& options) {
  if (place.world == 1) return nullptr;
  auto impl = std::make_unique<Impl>();
  impl->place = place;
  impl->options = options;
  const char* restarts = std::getenv("TORCHELASTIC_RESTART_COUNT");
  impl->attempt = fmt::format("dermgan-{}", restarts ? restarts : "0");
  const auto patience = std::chrono::milliseconds(static_cast<int64_t>(options.join_s * 1000));
  try {
    c10d::TCPStoreOptions store;
    without_libuv(store);
    store.port = static_cast<uint16_t>(place.port);
    store.isServer = place.rank == 0 && !place.store_is_there;
    // A store of torchrun's own counts nobody, and may hold what an earlier try of the job has left.
    if (place.store_is_there)
      store.waitWorkers = false;
    else
      store.numWorkers = static_cast<size_t>(place.world);
    store.timeout = patience;
    impl->store = c10::make_intrusive<c10d::TCPStore>(place.host, store);
    store.isServer = false;
    store.waitWorkers = false;
    impl->beats = c10::make_intrusive<c10d::TCPStore>(place.host, store);
    auto gloo = c10d::ProcessGroupGloo::Options::create();
    const bool one_machine = place.host == "127.0.0.1" || place.host == "localhost" || place.local_world == place.world;
    gloo->devices.push_back(one_machine ? c10d::ProcessGroupGloo::createDeviceForHostname("127.0.0.1")
                                        : c10d::ProcessGroupGloo::createDefaultDevice());
    gloo->timeout = std::chrono::hours(24);  // the watcher is who ends a wait
    impl->gloo = c10::make_intrusive<c10d::ProcessGroupGloo>(
        c10::make_intrusive<c10d::PrefixStore>(impl->attempt + "/gloo", impl->store), place.rank, place.world, gloo);
    impl->publish(0);
  } catch (const std::exception& e) {
    throw DataError(
        "rank {} of {}: the ranks did not come together at {}:{} within {:.0f} s ({}); start all of them, with the "
        "same MASTER_ADDR and MASTER_PORT, and with a port that is free",
        place.rank, place.world, place.host, place.port, options.join_s, first_line(e.what()));
  }
  impl->watcher = std::thread([raw = impl.get()] { raw->watch(); });
  return std::unique_ptr<Group>(new Group(std::move(impl)));
}

Group::~Group() {
  impl_->state = std::uncaught_exceptions() > 0 ? failed : done;
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
  }
  impl_->stop_asked.notify_all();
  impl_->watcher.join();
  try {
    impl_->publish(-1);
    // The store lives in rank 0: it stays until the others have taken their leave.
    const auto start = Clock::now();
    for (int rank = 1; leads() && rank < world();) {
      const char state = impl_->read(rank).state;
      if (state == done || state == failed || seconds_since(start) > impl_->options.silent_s)
        ++rank;
      else
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    // And so long that they hear of a failure.
    if (leads() && impl_->state == failed) std::this_thread::sleep_for(3 * kBeat);
  } catch (const std::exception&) {
    // Rank 0 has gone before us: there is nobody left to tell.
  }
}

const Place& Group::place() const { return impl_->place; }
int Group::rank() const { return impl_->place.rank; }
int Group::world() const { return impl_->place.world; }
std::string Group::text() const {
  return fmt::format("rank {} of {} ({}), {}", rank(), world(), impl_->place.starter,
                     sums_on(at::kCUDA) ? "Gloo and NCCL" : "Gloo");
}

void Group::sum(std::vector<double>& values) {
  std::vector<at::Tensor> tensors = {
      torch::from_blob(values.data(), {static_cast<int64_t>(values.size())}, torch::kDouble)};
  impl_->together([&] { impl_->gloo->allreduce(tensors)->wait(); });
}

void Group::sum(const at::Tensor& values) { start_sum(values).wait(); }

Group::Sum Group::start_sum(const at::Tensor& tensor) {
  TORCH_INTERNAL_ASSERT(sums_on(tensor.device()) && tensor.scalar_type() == at::kFloat && tensor.is_contiguous());
  Sum sum;
  sum.state_ = std::make_shared<Sum::State>();
  sum.state_->group = impl_.get();
  sum.state_->tensors = {tensor};
  sum.state_->work = impl_->all_reduce(sum.state_->tensors);
  return sum;
}

bool Group::sums_on(const at::Device& device) const {
#ifdef DERM_HAS_NCCL
  if (device.is_cuda()) return true;
#endif
  return device.is_cpu();
}

void Group::Sum::wait() {
  state_->group->together([&] { state_->work->wait(); });
}

double Group::waited_s() const { return impl_->waited_s; }

void Group::barrier() {
  std::vector<double> one = {1};
  sum(one);
}

std::string Group::of_first(const std::string& text) {
  std::vector<double> length = {leads() ? static_cast<double>(text.size()) : 0.0};
  sum(length);
  std::vector<double> letters(static_cast<size_t>(length[0]), 0.0);
  if (leads())
    std::transform(text.begin(), text.end(), letters.begin(), [](char c) { return static_cast<uint8_t>(c); });
  sum(letters);
  std::string result;
  for (const double letter : letters) result += static_cast<char>(static_cast<uint8_t>(letter));
  return result;
}

Group::Busy::Busy(Group* group) : group_(group) {
  if (group_) before_ = group_->impl_->state.exchange(busy);
}
Group::Busy::~Busy() {
  if (!group_) return;
  group_->impl_->state = before_;
  group_->impl_->last_together = Clock::now();  // what was done meanwhile is no measure of a step
}

}  // namespace derm::ranks

#else  // without Gloo there is one process

namespace derm::ranks {

struct Group::Impl {
  Place place;
};
struct Group::Sum::State {};

Group::Group(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Group::~Group() = default;

std::unique_ptr<Group> Group::join(const Place& place, const GroupOptions&) {
  if (place.world == 1) return nullptr;
  throw UsageError(
      "{} started {} processes, but this build has no Gloo and works in one; install Gloo's headers (Debian: "
      "libgloo-dev) and build again",
      place.starter, place.world);
}

const Place& Group::place() const { return impl_->place; }
int Group::rank() const { return 0; }
int Group::world() const { return 1; }
std::string Group::text() const { return ""; }
void Group::sum(std::vector<double>&) {}
void Group::sum(const at::Tensor&) {}
Group::Sum Group::start_sum(const at::Tensor&) { return {}; }
bool Group::sums_on(const at::Device& device) const { return device.is_cpu(); }
void Group::Sum::wait() {}
double Group::waited_s() const { return 0; }
void Group::barrier() {}
std::string Group::of_first(const std::string& text) { return text; }
Group::Busy::Busy(Group* group) : group_(group) {}
Group::Busy::~Busy() = default;

}  // namespace derm::ranks

#endif
