// serve_load PORT CLIENTS SECONDS: so many clients ask a running `dermgan serve` for an image each, again and again,
// fetch it, and wait where the server says 429. Prints one JSON document.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "derm/http/client.h"

namespace {

using Clock = std::chrono::steady_clock;
using nlohmann::json;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

double metric(const std::string& text, const std::string& name) {
  const size_t at = text.find("\n" + name + " ");
  return at == std::string::npos ? -1 : std::atof(text.c_str() + at + name.size() + 2);
}

struct Tally {
  std::mutex mutex;
  std::vector<double> latencies;        // s, from the request that was accepted to the last byte of its image
  std::map<std::string, size_t> other;  // what was neither an image nor a 429
  std::atomic<size_t> images = 0, busy = 0, accepted = 0;
};

void client(int port, int number, double seconds, Tally& tally) {
  derm::http::Client http(port, 90);
  const auto begin = Clock::now();
  const auto fault = [&](const std::string& what) {
    const std::lock_guard lock(tally.mutex);
    ++tally.other[what];
  };
  for (int i = 0; seconds_since(begin) < seconds; ++i) {
    const auto asked = Clock::now();
    const json body = {{"seed", number * 100000 + i}, {"wait_s", 30}};
    const derm::http::Answer answer = http.post_json("/v1/generate", body.dump());
    if (answer.status == 429) {
      ++tally.busy;
      const auto after = answer.headers.find("retry-after");
      if (after == answer.headers.end()) fault("429 without Retry-After");
      std::this_thread::sleep_for(
          std::chrono::seconds(after == answer.headers.end() ? 1 : std::atoi(after->second.c_str())));
      continue;
    }
    json job = json::parse(answer.body, nullptr, false);
    if ((answer.status != 200 && answer.status != 202) || job.is_discarded()) {
      fault(fmt::format("generate {}", answer.status));
      continue;
    }
    ++tally.accepted;
    const std::string id = job["id"];
    while (job["state"] == "queued" || job["state"] == "running") {
      const derm::http::Answer later = http.get("/v1/jobs/" + id + "?wait_s=30");
      job = json::parse(later.body, nullptr, false);
      if (later.status != 200 || job.is_discarded()) {
        fault(fmt::format("job {}", later.status));
        job = {{"state", "lost"}};
      }
    }
    if (job["state"] != "done") {
      fault("job ended as " + job["state"].get<std::string>());
      continue;
    }
    const derm::http::Answer image = http.get("/v1/jobs/" + id + "/result");
    if (image.status != 200 || !image.body.starts_with("\x89PNG")) {
      fault(fmt::format("result {}", image.status));
      continue;
    }
    ++tally.images;
    const std::lock_guard lock(tally.mutex);
    tally.latencies.push_back(seconds_since(asked));
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "serve_load PORT CLIENTS SECONDS\n");
    return 2;
  }
  const int port = std::atoi(argv[1]), clients = std::atoi(argv[2]);
  const double seconds = std::atof(argv[3]);
  Tally tally;
  std::atomic<bool> ended = false;
  json memory = json::array();
  std::thread watch([&] {
    derm::http::Client http(port);
    for (int i = 0; !ended; ++i) {
      if (i % 50 == 0) memory.push_back(metric(http.get("/metrics").body, "dermgan_resident_bytes") / 1e6);
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
  });
  const auto begin = Clock::now();
  std::vector<std::thread> threads;
  for (int i = 0; i < clients; ++i) threads.emplace_back([&, i] { client(port, i, seconds, tally); });
  for (std::thread& thread : threads) thread.join();
  const double took = seconds_since(begin);
  ended = true;
  watch.join();
  std::sort(tally.latencies.begin(), tally.latencies.end());
  const auto quantile = [&](double q) {
    if (tally.latencies.empty()) return 0.0;
    return tally.latencies[static_cast<size_t>(q * static_cast<double>(tally.latencies.size() - 1))];
  };
  const json report = {{"clients", clients},
                       {"seconds", took},
                       {"images", tally.images.load()},
                       {"images_per_s", static_cast<double>(tally.images) / took},
                       {"answered_429", tally.busy.load()},
                       {"lost_jobs", tally.accepted - tally.images},
                       {"other_failures", tally.other},
                       {"latency_s", {{"p50", quantile(0.5)}, {"p99", quantile(0.99)}, {"max", quantile(1)}}},
                       {"resident_mb_every_5_s", memory}};
  std::printf("%s\n", report.dump(2).c_str());
  return tally.other.empty() ? 0 : 1;
}
