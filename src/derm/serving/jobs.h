#pragma once
// Jobs: a bounded queue, replicas that take images of several jobs at a time, results that wait to be fetched.
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "derm/data/request.h"
#include "derm/image/image.h"
#include "derm/serving/ask.h"

namespace derm::serving {

/// A model as the server sees it. One instance is a replica and is used from one thread at a time.
class Painter {
 public:
  virtual ~Painter() = default;
  virtual size_t side_by_side() const = 0;  ///< images that it makes at the same time
  /// `ready(i, image)` in the order of the requests, from the calling thread.
  virtual void paint(const std::vector<data::Request>& requests,
                     const std::function<void(size_t, image::Image)>& ready) = 0;
};

/// What is the same for all replicas of a model.
struct Model {
  std::string name;  ///< the bundle's folder
  std::string recipe, bundle_sha256, compute;
  int size_px = 0;
  data::Offer offer;
  nlohmann::json training;                         ///< where it came from
  std::vector<std::unique_ptr<Painter>> replicas;  ///< at least one
  data::Request canary;                            ///< made now and then: its image must always be the same
};

struct JobLimits {
  size_t max_jobs = 256;                            ///< that wait or run; more get 429
  size_t max_images = 2048;                         ///< of all of them together
  double wait_s = 120;                              ///< a job that has not begun by then expires
  double keep_s = 300;                              ///< how long a result waits to be fetched
  double keep_fetched_s = 30;                       ///< and once it was
  uint64_t max_result_bytes = uint64_t{256} << 20;  ///< of results that wait; beyond, fetched ones go first, then 429
  double canary_s = 60;                             ///< how often an idle replica makes its canary again
  double stuck_s = 120;                             ///< a batch that takes longer makes the server not ready
};

enum class State { queued, running, packing, done, failed, cancelled, expired };
std::string state_name(State state);
inline bool is_final(State state) { return state >= State::done; }

/// What a job is at one moment.
struct JobView {
  std::string id, model;
  const data::Offer* offer = nullptr;  ///< the model's
  State state = State::queued;
  Format format = Format::png;
  std::shared_ptr<const std::vector<data::Request>> requests;
  size_t made = 0;                                 ///< images
  size_t ahead = 0;                                ///< jobs that came earlier and are not done
  double waited_s = 0;                             ///< until the first image was begun
  double made_s = 0;                               ///< from there to the last one
  std::shared_ptr<const nlohmann::json> measured;  ///< one an image, if it was asked for
  std::string error;                               ///< of a failed one
  bool has_result = false;
};
nlohmann::ordered_json to_json(const JobView& job);

struct JobResult {
  std::shared_ptr<const std::string> bytes;
  std::string content_type, file_name;
};

/// Measures one image, made by a model of this offer, against its request.
using Measure = std::function<nlohmann::json(const data::Request&, const image::Image&, const data::Offer&)>;

class Jobs {
 public:
  /// @param measure  what is measured of one image, as JSON
  Jobs(std::vector<Model> models, JobLimits limits, Measure measure);
  ~Jobs();  ///< drops what waits; stop accepting and drain() first
  Jobs(const Jobs&) = delete;
  Jobs& operator=(const Jobs&) = delete;

  const std::vector<Model>& models() const;
  /// @throws UsageError naming the models there are
  const Model& model(const std::string& name) const;

  /// @return the job's id. @throws http::HttpError 429 "queue_full" with Retry-After, 503 "stopping"
  std::string submit(Ask ask);
  /// @throws http::HttpError 404 "no_job"
  JobView view(const std::string& id) const;
  /// Takes a waiting or running job out; of a finished one, forgets the result.
  JobView cancel(const std::string& id);
  /// An image of the job, or its zip. @throws http::HttpError 404 "no_job", "no_result"; 409 "not_done", "failed"
  JobResult result(const std::string& id, size_t index);
  /// Calls back once the job is final, or after `seconds`, from another thread. At once if there is no such job, or if
  /// thousands wait already.
  void when_done(const std::string& id, double seconds, std::function<void()> done);

  /// "" when work gets done: every replica alive, its canary's image the same as at the start, none stuck.
  std::string fault() const;
  /// No further jobs. Waits until every accepted one is final, however long that takes; none expires meanwhile. Then
  /// results can be fetched for `seconds` more.
  /// @return whether all of them were
  bool drain(double seconds);
  bool stopping() const;
  std::string prometheus() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace derm::serving
