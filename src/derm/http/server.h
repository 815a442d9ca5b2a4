#pragma once
// A small HTTP/1.1 server that faces hostile clients. Free of Boost and of libtorch.
//
// One thread moves all bytes, so that a connection costs memory and never a thread; handlers run on a few threads of
// their own. Every wait has a deadline, every input a limit, and when there are too many connections those that have
// waited longest without a whole request make room for new ones.
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "derm/http/message.h"

namespace derm::http {

struct ServerOptions {
  std::string address = "127.0.0.1";  ///< to listen on; "0.0.0.0" or "::" for every interface
  int port = 0;                       ///< 0: any free one, see Server::port()
  std::vector<std::string> hosts;     ///< further Host names that are answered (a reverse proxy's)
  std::vector<std::string> origins;   ///< further origins that may ask, "https://lab.example"
  std::string token;                  ///< "" or what `Authorization: Bearer` has to hold, but for routes marked `open`

  int handler_threads = 4;
  size_t max_waiting = 256;                   ///< requests that wait for a handler's thread; more get 503
  size_t max_body_bytes = size_t{256} << 20;  ///< of all requests under way together; more get 503
  size_t max_connections = 4096;              ///< cut to what the process may open
  size_t max_header_bytes = 16 << 10;
  int header_timeout_s = 10;  ///< from a request's first byte to its last header; a slow client gets 408
  int body_timeout_s = 60;    ///< for the body
  int idle_timeout_s = 20;    ///< between requests, and before the first byte of the first one
  int write_timeout_s = 60;   ///< for an answer, and a second more for every 64 KiB of it

  /// Of every answer that brings no own one.
  std::string content_security_policy =
      "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
      "font-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

  /// One call a request, from the thread that moves bytes: time, id, peer, method, path (without the query), route,
  /// status, bytes in and out, milliseconds. Must be quick.
  std::function<void(const nlohmann::ordered_json&)> log;

  void validate() const;  ///< throws UsageError: an address that is none, a port outside 0 to 65535, limits of 0
};

struct RouteOptions {
  size_t max_body = 0;         ///< bytes; 0: a request with a body gets 413
  std::string body_type = {};  ///< what a body must be: "application/json", "image/" for any image; "" for whatever
  bool threaded = false;       ///< of route_deferred(): the handler runs on a handler's thread, and may block
  bool open = false;           ///< answered without the token
};

using Handler = std::function<Response(const Request&)>;

/// Answers a request from any thread, once; further calls do nothing. If every copy goes away unused, the client gets
/// 500.
using Reply = std::function<void(Response)>;
/// A handler that answers later: it must not block, unless its route is `threaded`.
using DeferredHandler = std::function<void(std::shared_ptr<const Request>, Reply)>;

class Server {
 public:
  explicit Server(ServerOptions options);
  ~Server();  ///< stops at once
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// Before start(). `pattern` is "/v1/jobs/{id}": segments in braces match one segment of at most 200 bytes. What a
  /// handler throws is answered: HttpError as it says, UsageError 400 "bad_request", DataError 422 "bad_data", all else
  /// 500 "internal" (and in the log).
  void route(const std::string& method, const std::string& pattern, Handler handler, RouteOptions options = {});
  void route_deferred(const std::string& method, const std::string& pattern, DeferredHandler handler,
                      RouteOptions options = {});
  /// A GET route for bytes that do not change, with an ETag; open.
  void page(const std::string& path, std::string content_type, std::string bytes);

  /// Listens. @throws UsageError if the address cannot be listened on
  void start();
  int port() const;
  std::string url() const;  ///< "http://127.0.0.1:8080"

  /// No further connections; those between requests are closed; running requests are answered, for at most `seconds`.
  void stop(double seconds = 10);

  /// (method, pattern) of every route.
  std::vector<std::pair<std::string, std::string>> routes() const;

  struct Impl;  // of server.cpp alone
  size_t connections() const;
  /// Requests by route and status, their durations, and connections, in Prometheus' text format.
  std::string prometheus() const;

 private:
  std::shared_ptr<Impl> impl_;
};

}  // namespace derm::http
