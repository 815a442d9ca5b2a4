#pragma once
// What a route is given and what it answers. Free of Boost and of libtorch.
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace derm::http {

/// A failure that the client is told: status, a code for programs, a sentence for people.
class HttpError : public std::runtime_error {
 public:
  template <class... Args>
  HttpError(int status, std::string code, fmt::format_string<Args...> format, Args&&... args)
      : std::runtime_error(fmt::format(format, std::forward<Args>(args)...)), status_(status), code_(std::move(code)) {}
  int status() const { return status_; }
  const std::string& code() const { return code_; }
  /// Seconds after which asking again makes sense: the Retry-After of a 429 or 503.
  HttpError& retry_after(int seconds) {
    retry_after_s_ = seconds;
    return *this;
  }
  int retry_after_s() const { return retry_after_s_; }

 private:
  int status_;
  std::string code_;
  int retry_after_s_ = 0;
};

struct Request {
  std::string method;                          ///< GET (HEAD too: its body is dropped by the server), POST, PUT, DELETE
  std::string path;                            ///< percent-decoded, UTF-8, "/v1/jobs/7"; no "..", no empty segment
  std::map<std::string, std::string> query;    ///< decoded; of a name given twice the last value
  std::map<std::string, std::string> headers;  ///< names in lower case; of a name given twice the values joined by ", "
  std::map<std::string, std::string> params;   ///< what stood at the route's {name}
  std::string body;                            ///< at most the route's max_body bytes
  std::string peer;                            ///< address of the other end, "127.0.0.1"
  std::string id;                              ///< request id, also in the answer and in the log

  /// "" if it is not there. `name` in lower case.
  const std::string& header(const std::string& name) const;
  /// The route's {name}; it is always there.
  const std::string& param(const std::string& name) const { return params.at(name); }
  /// A cookie's value; nothing if it is not there.
  std::optional<std::string> cookie(std::string_view name) const;
  /// The body as JSON. @throws HttpError 400 "bad_json": not JSON, broken UTF-8, nested deeper than `max_depth`
  nlohmann::json json(int max_depth = 16) const;
};

struct Response {
  int status = 200;
  std::string content_type = "application/json; charset=utf-8";
  std::string body;
  std::shared_ptr<const std::string> shared_body;  ///< instead of `body`: bytes that many answers share
  std::vector<std::pair<std::string, std::string>> headers;

  static Response json(const nlohmann::ordered_json& value, int status = 200);
  static Response text(std::string body, std::string content_type = "text/plain; charset=utf-8");
  static Response bytes(std::string body, std::string content_type);
  /// {"code", "message", "request_id"}
  static Response error(const HttpError& error, const std::string& request_id);
  Response& with(std::string name, std::string value) {
    headers.emplace_back(std::move(name), std::move(value));
    return *this;
  }
  const std::string& content() const { return shared_body ? *shared_body : body; }
};

/// JSON from outside. @throws HttpError 400 "bad_json" that says where
nlohmann::json parse_json(std::string_view text, int max_depth = 16);

/// The part of a request line's target before '?' decoded, and the query. @throws HttpError 400 "bad_target": no
/// leading
/// '/', bad percent-encoding, control characters, broken UTF-8, a backslash, "." or ".." or an empty segment, too long.
struct Target {
  std::string path;
  std::map<std::string, std::string> query;
};
Target parse_target(std::string_view target);

/// The host of a Host header or of an origin: "localhost:8080" gives "localhost", "[::1]:80" gives "::1", lower case.
/// Nothing if it is not well-formed.
std::optional<std::string> host_name(std::string_view host);

bool is_ip_literal(const std::string& host);     ///< "10.0.0.7", "::1" (no DNS name can lead there)
bool is_loopback_name(const std::string& host);  ///< "localhost", 127.0.0.0/8, "::1"

/// `count` bytes from the system's generator, as hexadecimal digits.
std::string random_hex(size_t count);

/// Compares in a time that tells nothing of where two texts differ.
bool equal_in_constant_time(std::string_view a, std::string_view b);

/// "sha256-..." cut short, in quotation marks: an ETag for bytes that do not change.
std::string etag_of(std::string_view bytes);

}  // namespace derm::http
