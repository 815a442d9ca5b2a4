#pragma once
// What readers' browsers ask of the server of a study. docs/study.md describes the answers.
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "derm/http/server.h"
#include "derm/study/store.h"
#include "derm/study/study.h"

namespace derm::study {

/// Why an image is implausible, as readers may mark it: code and what the page says.
const std::vector<std::pair<std::string, std::string>>& mark_reasons();

/// An answer from a browser, checked field by field. @throws HttpError 400 "bad_answer" that names the field, what
/// stood there and what is expected
Answer parse_answer(const nlohmann::json& body, const Description& description);

class Service {
 public:
  /// Opens the study and reads its images. The key is not opened, and need not be there; if it is, its hash is checked.
  /// @throws UsageError: no study there. DataError: an image of another length, another key
  explicit Service(const std::filesystem::path& study);

  /// The page and the routes under /v1/study.
  void add_routes(http::Server& server);

  const Description& description() const { return description_; }
  Store& store() { return store_; }

 private:
  Reader reader_of(const http::Request& request);
  nlohmann::ordered_json state_of(const Reader& reader) const;
  http::Response info() const;
  http::Response image(const http::Request& request);
  http::Response answer(const http::Request& request);
  http::Response undo(const http::Request& request);

  std::filesystem::path folder_;
  Description description_;
  Store store_;
  std::map<std::string, std::shared_ptr<const std::string>> images_;

  /// Wrong codes of an address, to slow down whoever tries many.
  struct Failures {
    int count = 0;
    int64_t since_ms = 0;
  };
  std::mutex failures_mutex_;
  std::map<std::string, Failures> failures_;
};

}  // namespace derm::study
