#pragma once
// The REST API and the studio, on a server of derm::http. Torch-free.
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "derm/http/server.h"
#include "derm/serving/jobs.h"

namespace derm::serving {

struct ServiceOptions {
  http::ServerOptions http;
  JobLimits jobs;
  AskLimits ask;
  size_t max_request_bytes = 4 << 20;  ///< of the JSON of POST /v1/generate, masks in it
  size_t max_photo_bytes = 16 << 20;   ///< of a photograph sent to /v1/skin
  uint64_t max_photo_pixels = 40 * 1000 * 1000;
};

/// What the routes need from outside.
struct Instruments {
  /// The result of each control, of one image. Called from several threads at a time.
  Measure measure;
  std::vector<std::string> quantities;  ///< what it measures, for /v1/capabilities
};

class Service {
 public:
  Service(std::vector<Model> models, Instruments instruments, ServiceOptions options);
  ~Service();
  void start();
  std::string url() const;
  /// No further jobs; answers go on until every accepted job is done and its result fetched, or `seconds` have passed
  /// since the last of them was done.
  /// @return whether every result was fetched
  bool stop(double seconds);
  Jobs& jobs();
  http::Server& server();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// The OpenAPI document, as served at /openapi.json.
const std::string& openapi_text();

/// A page of the studio, as the program carries it.
struct StudioFile {
  std::string path, content_type, bytes;
};
const std::vector<StudioFile>& studio_files();

}  // namespace derm::serving
