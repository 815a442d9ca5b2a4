#include "derm/http/server.h"

#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <deque>
#include <future>
#include <limits>
#include <list>
#include <mutex>
#include <optional>
#include <set>
#include <thread>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include "derm/base/error.h"
#include "derm/base/log.h"

namespace derm::http {

namespace net = boost::asio;
namespace beast = boost::beast;
namespace bhttp = boost::beast::http;
using tcp = net::ip::tcp;
using Clock = std::chrono::steady_clock;
using boost::system::error_code;

namespace {

constexpr size_t kBufferBytes = 64 << 10;   // of a connection; headers and pieces of a body pass through it
constexpr size_t kLongestParam = 200;       // bytes of a {name}
constexpr size_t kMostDiscarded = 1 << 20;  // bytes read off a connection that was refused, so that it sees why
constexpr std::array kBuckets = {0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0};  // seconds

std::vector<std::string> segments_of(std::string_view path) {
  std::vector<std::string> segments;
  size_t from = 1;
  while (from < path.size()) {
    const size_t to = std::min(path.find('/', from), path.size());
    segments.emplace_back(path.substr(from, to - from));
    from = to + 1;
  }
  return segments;
}

bool is_param(const std::string& segment) { return segment.starts_with('{') && segment.ends_with('}'); }

bool is_request_id(std::string_view text) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
           c == '_';
  };
  return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), fits);
}

std::string view(boost::beast::string_view text) { return {text.data(), text.size()}; }

std::string time_text() {
  const auto now = std::chrono::system_clock::now();
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count() % 1000;
  return fmt::format("{}.{:03}Z", text, ms);
}

/// A handler's threads and what waits for them.
class Crew {
 public:
  void start(int threads) {
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
  }
  /// False if `most` wait already, or the crew has ended.
  bool take(std::function<void()> task, size_t most) {
    const std::lock_guard lock(mutex_);
    if (ended_ || tasks_.size() >= most) return false;
    tasks_.push_back(std::move(task));
    ready_.notify_one();
    return true;
  }
  void end() {
    {
      const std::lock_guard lock(mutex_);
      ended_ = true;
      tasks_.clear();
      ready_.notify_all();
    }
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

 private:
  void work() {
    for (;;) {
      std::function<void()> task;
      {
        std::unique_lock lock(mutex_);
        ready_.wait(lock, [&] { return ended_ || !tasks_.empty(); });
        if (ended_) return;
        task = std::move(tasks_.front());
        tasks_.pop_front();
      }
      task();
    }
  }
  std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<std::function<void()>> tasks_;
  std::vector<std::thread> threads_;
  bool ended_ = false;
};

struct Route {
  std::string method, pattern;
  std::vector<std::string> segments;
  DeferredHandler handler;
  RouteOptions options;
  bool blocks = true;  ///< runs on the crew's threads
  // Written by the thread that moves bytes, read by whoever asks for metrics.
  std::map<int, uint64_t> by_status;
  std::array<uint64_t, kBuckets.size() + 1> durations{};
  double seconds = 0;

  bool matches(const std::vector<std::string>& path, std::map<std::string, std::string>& params) const {
    if (path.size() != segments.size()) return false;
    std::map<std::string, std::string> found;
    for (size_t i = 0; i < path.size(); ++i) {
      if (is_param(segments[i])) {
        if (path[i].size() > kLongestParam) return false;
        found[segments[i].substr(1, segments[i].size() - 2)] = path[i];
      } else if (path[i] != segments[i]) {
        return false;
      }
    }
    params = std::move(found);
    return true;
  }
};

/// What a handler threw, as an answer. Called where the exception is being handled.
Response answer_of_exception(const std::string& id) {
  try {
    throw;
  } catch (const HttpError& error) {
    return Response::error(error, id);
  } catch (const UsageError& error) {
    return Response::error(HttpError(400, "bad_request", "{}", error.what()), id);
  } catch (const DataError& error) {
    return Response::error(HttpError(422, "bad_data", "{}", error.what()), id);
  } catch (const std::exception& error) {
    log_line(LogLevel::error, fmt::format("request {}: {}", id, error.what()));
  } catch (...) {
    log_line(LogLevel::error, fmt::format("request {}: an unknown exception", id));
  }
  return Response::error(HttpError(500, "internal", "the server failed; its log has the details under this request_id"),
                         id);
}

}  // namespace

void ServerOptions::validate() const {
  error_code failed;
  net::ip::make_address(address, failed);
  if (failed)
    throw UsageError("--host \"{}\" is not an address; 127.0.0.1 (this machine alone) or 0.0.0.0 (all) is", address);
  if (port < 0 || port > 65535)
    throw UsageError("--port {} is not a port; 0 (any free one) to 65535 is accepted", port);
  if (handler_threads < 1 || max_waiting < 1 || max_connections < 1 || max_header_bytes < 256 || header_timeout_s < 1 ||
      body_timeout_s < 1 || idle_timeout_s < 1 || write_timeout_s < 1)
    throw UsageError("server: a limit of 0 was set; every limit must be at least 1 (and headers 256 bytes)");
  for (const std::string& host : hosts)
    if (!host_name(host)) throw UsageError("--allow-host \"{}\" is not a host's name", host);
  for (const std::string& origin : origins) {
    const size_t scheme = origin.find("://");
    if (scheme == std::string::npos || !host_name(std::string_view(origin).substr(scheme + 3)))
      throw UsageError("--allow-origin \"{}\" is not an origin; one looks like https://lab.example", origin);
  }
}

class Session;

struct Server::Impl : std::enable_shared_from_this<Server::Impl> {
  explicit Impl(ServerOptions o) : options(std::move(o)) {}

  ServerOptions options;
  std::vector<std::unique_ptr<Route>> routes;
  net::io_context io{1};
  net::executor_work_guard<net::io_context::executor_type> work{io.get_executor()};  // handlers answer from outside
  tcp::acceptor acceptor{io};
  net::steady_timer pause{io};
  Crew crew;
  std::thread mover;
  std::set<std::shared_ptr<Session>> sessions;  // touched by the mover alone
  std::list<Session*> reading;                  // those without a whole request, longest first
  std::atomic<size_t> session_count = 0;
  std::atomic<bool> stopping = false;
  std::mutex end_mutex;
  bool ended = false;     // answers that come later go nowhere
  size_t body_bytes = 0;  // that requests under way may hold
  std::string id_prefix = random_hex(4);
  uint64_t id_count = 0;
  int port = 0;
  bool loopback = false, started = false;
  mutable std::mutex stats_mutex;
  uint64_t refused_connections = 0, evicted_connections = 0, slow_clients = 0;
  std::map<int, uint64_t> unrouted;  // by status: 404, 431, ...

  void accept();
  void make_room();
  void check_who_asks(const Request& request, bool open_route) const;
  Route* find(Request& request);
  void count(Route* route, int status, double seconds);
  std::string listed_origin(const std::string& origin) const;
};

/// One connection. All of it happens on the mover's thread; handlers answer through Reply, which posts back.
class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(tcp::socket socket, Server::Impl& server)
      : owner_(server.shared_from_this()),
        server_(server),
        socket_(std::move(socket)),
        timer_(socket_.get_executor()),
        buffer_(kBufferBytes) {}

  void start() {
    error_code ignored;
    socket_.set_option(tcp::no_delay(true), ignored);
    const auto end = socket_.remote_endpoint(ignored);
    if (!ignored) peer_ = end.address().to_string(ignored);
    wait_for_request();
  }

  /// Closes a connection that has no whole request; used to make room, and when the server stops.
  void close() {
    leave_reading();
    error_code ignored;
    timer_.cancel();
    socket_.close(ignored);
  }
  bool between_requests() const { return in_reading_ && !partial_; }

 private:
  enum class Wait { idle, header, body, write };

  void release_bytes() {
    server_.body_bytes -= held_bytes_;
    held_bytes_ = 0;
  }

  void leave_reading() {
    if (!in_reading_) return;
    server_.reading.erase(place_);
    in_reading_ = false;
  }

  void end() {
    close();
    release_bytes();
    server_.sessions.erase(shared_from_this());
    server_.session_count = server_.sessions.size();
  }

  /// A deadline for what is being waited for: reading ends with 408, writing by closing.
  void set_deadline(Wait wait, std::chrono::milliseconds time) {
    wait_ = wait;
    timed_out_ = false;
    timer_.expires_after(time);
    timer_.async_wait([self = shared_from_this(), number = ++deadline_number_](error_code failed) {
      if (failed || number != self->deadline_number_) return;
      self->timed_out_ = true;
      error_code ignored;
      if (self->wait_ == Wait::write)
        self->socket_.close(ignored);
      else
        self->socket_.cancel(ignored);
    });
  }
  void clear_deadline() {
    ++deadline_number_;
    timer_.cancel();
  }

  void wait_for_request() {
    if (server_.stopping) return linger();
    parser_.emplace();
    parser_->header_limit(static_cast<std::uint32_t>(server_.options.max_header_bytes));
    parser_->body_limit(std::numeric_limits<std::uint64_t>::max());  // the route's, once it is known
    request_ = std::make_shared<Request>();
    route_ = nullptr;
    started_ = Clock::now();
    bytes_in_ = 0;
    partial_ = buffer_.size() > 0;
    place_ = server_.reading.insert(server_.reading.end(), this);
    in_reading_ = true;
    if (partial_) {
      set_deadline(Wait::header, std::chrono::seconds(server_.options.header_timeout_s));
      return read_header();
    }
    // The first byte may take as long as a connection may idle; from there the clock of the header runs.
    set_deadline(Wait::idle, std::chrono::seconds(server_.options.idle_timeout_s));
    socket_.async_wait(tcp::socket::wait_read, [self = shared_from_this()](error_code failed) {
      if (failed || !self->socket_.is_open()) return self->end();
      self->partial_ = true;
      self->started_ = Clock::now();
      self->set_deadline(Wait::header, std::chrono::seconds(self->server_.options.header_timeout_s));
      self->read_header();
    });
  }

  void read_header() {
    bhttp::async_read_header(socket_, buffer_, *parser_, [self = shared_from_this()](error_code failed, size_t bytes) {
      self->bytes_in_ += bytes;
      self->on_header(failed);
    });
  }

  /// What went wrong while reading, as a refusal; nothing if the other end is simply gone.
  std::optional<HttpError> refusal_of(error_code failed) {
    if (timed_out_ && socket_.is_open()) {
      {
        const std::lock_guard lock(server_.stats_mutex);
        ++server_.slow_clients;
      }
      return HttpError(408, "too_slow", "the request took longer than {} s to arrive",
                       wait_ == Wait::body ? server_.options.body_timeout_s : server_.options.header_timeout_s);
    }
    if (failed == bhttp::error::header_limit || failed == bhttp::error::buffer_overflow)
      return HttpError(431, "header_too_large", "the headers are larger than {} bytes",
                       server_.options.max_header_bytes);
    if (failed == bhttp::error::body_limit) return too_large();
    if (failed == bhttp::error::end_of_stream || failed == bhttp::error::partial_message) return std::nullopt;
    if (failed.category() == make_error_code(bhttp::error::bad_method).category())
      return HttpError(400, "bad_request", "this is not HTTP/1.1: {}", failed.message());
    return std::nullopt;
  }
  HttpError too_large() const {
    const size_t most = route_ ? route_->options.max_body : 0;
    if (most == 0) return HttpError(413, "body_too_large", "this route takes no body");
    return HttpError(413, "body_too_large", "the body is larger than {} bytes", most);
  }

  void on_header(error_code failed) {
    leave_reading();
    if (failed) {
      clear_deadline();
      if (!socket_.is_open()) return end();
      if (const auto refusal = refusal_of(failed)) return refuse(*refusal);
      return end();
    }
    request_->peer = peer_;
    const auto& head = parser_->get();
    const std::string asked_id = view(head["X-Request-Id"]);
    request_->id = is_request_id(asked_id) ? asked_id : fmt::format("{}-{}", server_.id_prefix, ++server_.id_count);
    keep_alive_ = head.keep_alive();
    head_only_ = head.method() == bhttp::verb::head;
    request_->method = head_only_ ? "GET" : view(head.method_string());
    size_t hosts = 0;
    for (const auto& field : head) {
      std::string name = view(field.name_string());
      for (char& c : name)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
      hosts += name == "host";
      std::string& value = request_->headers[name];
      if (!value.empty()) value += ", ";
      value += view(field.value());
    }
    try {
      Target target = parse_target(view(head.target()));
      request_->path = std::move(target.path);
      request_->query = std::move(target.query);
      if (hosts != 1) throw HttpError(400, "bad_host", "the request has {} Host headers, one is needed", hosts);
      if (request_->method == "OPTIONS") {
        server_.check_who_asks(*request_, true);
        return answer(preflight());
      }
      route_ = server_.find(*request_);
      server_.check_who_asks(*request_, route_->options.open);
      const auto length = parser_->content_length();
      if (length && *length > route_->options.max_body) throw too_large();
      if ((length && *length > 0) || parser_->chunked()) check_body_type();
    } catch (const HttpError& error) {
      return refuse(error);
    }
    parser_->body_limit(route_->options.max_body);
    if (!parser_->is_done()) {
      const auto length = parser_->content_length();
      const size_t wanted = length ? static_cast<size_t>(*length) : route_->options.max_body;
      if (server_.body_bytes + wanted > server_.options.max_body_bytes)
        return refuse(HttpError(503, "busy", "too much is being uploaded; ask again in a moment").retry_after(2));
      server_.body_bytes += wanted;
      held_bytes_ = wanted;
    }
    set_deadline(Wait::body, std::chrono::seconds(server_.options.body_timeout_s));
    if (!parser_->is_done() && request_->header("expect") == "100-continue") {
      auto go_on = std::make_shared<bhttp::response<bhttp::empty_body>>(bhttp::status::continue_, 11);
      bhttp::async_write(socket_, *go_on, [self = shared_from_this(), go_on](error_code bad, size_t) {
        if (bad) return self->end();
        self->read_body();
      });
      return;
    }
    read_body();
  }

  void check_body_type() const {
    const std::string& wanted = route_->options.body_type;
    if (wanted.empty()) return;
    std::string type = request_->header("content-type");
    type = type.substr(0, type.find(';'));
    while (type.ends_with(' ')) type.pop_back();
    const bool fits = wanted.ends_with('/') ? type.starts_with(wanted) : type == wanted;
    if (!fits)
      throw HttpError(415, "wrong_type", "the body's Content-Type is \"{}\", this route takes {}{}", type, wanted,
                      wanted.ends_with('/') ? "*" : "");
  }

  void read_body() {
    if (parser_->is_done()) return on_body({});
    bhttp::async_read(socket_, buffer_, *parser_, [self = shared_from_this()](error_code failed, size_t bytes) {
      self->bytes_in_ += bytes;
      self->on_body(failed);
    });
  }

  void on_body(error_code failed) {
    if (failed) {
      clear_deadline();
      if (!socket_.is_open()) return end();
      if (const auto refusal = refusal_of(failed)) return refuse(*refusal);
      return end();
    }
    clear_deadline();
    request_->body = std::move(parser_->get().body());
    hand_over();
  }

  /// Takes the answer once, from whatever thread; a handler that forgets to answer becomes a 500.
  struct Answering {
    std::shared_ptr<Session> session;
    std::string id;
    std::atomic<bool> used = false;
    void give(Response response) {
      if (used.exchange(true)) return;
      Server::Impl& server = session->server_;
      const std::lock_guard lock(server.end_mutex);
      if (server.ended) return;
      net::post(server.io, [s = session, r = std::move(response)]() mutable { s->answer(std::move(r)); });
    }
    ~Answering() {
      if (!used) give(Response::error(HttpError(500, "internal", "the server did not answer this request"), id));
    }
  };

  void hand_over() {
    auto answering = std::make_shared<Answering>();
    answering->session = shared_from_this();
    answering->id = request_->id;
    const auto work = [route = route_, request = request_, answering] {
      try {
        route->handler(request, [answering](Response response) { answering->give(std::move(response)); });
      } catch (...) {
        answering->give(answer_of_exception(request->id));
      }
    };
    if (!route_->blocks) return work();
    if (!server_.crew.take(work, server_.options.max_waiting)) {
      answering->used = true;
      refuse(HttpError(503, "busy", "too many requests wait; ask again in a moment").retry_after(1));
    }
  }

  /// An answer after which the connection ends, since what the client still sends is not wanted.
  void refuse(const HttpError& error) {
    keep_alive_ = false;
    if (request_->id.empty()) request_->id = fmt::format("{}-{}", server_.id_prefix, ++server_.id_count);
    answer(Response::error(error, request_->id));
  }

  Response preflight() const {
    Response response;
    response.status = 204;
    response.content_type.clear();
    response.with("Access-Control-Allow-Methods", "GET, POST, PUT, DELETE")
        .with("Access-Control-Allow-Headers", "Authorization, Content-Type, X-Request-Id")
        .with("Access-Control-Max-Age", "600");
    return response;
  }

  void answer(Response response) {
    if (!socket_.is_open()) return end();
    // The body of a refused request is still under way.
    if (!parser_->is_done()) keep_alive_ = false;
    if (server_.stopping) keep_alive_ = false;
    clear_deadline();
    given_ = std::make_shared<Response>(std::move(response));
    const std::string& content = given_->content();
    reply_.emplace(static_cast<bhttp::status>(given_->status), 11);
    auto& head = *reply_;
    const std::set<std::string> own = [&] {
      std::set<std::string> names;
      for (const auto& [name, value] : given_->headers) names.insert(name);
      return names;
    }();
    const auto put = [&](const char* name, const std::string& value) {
      if (!own.contains(name)) head.set(name, value);
    };
    head.set(bhttp::field::server, "dermgan");
    if (!given_->content_type.empty()) head.set(bhttp::field::content_type, given_->content_type);
    put("Cache-Control", "no-store");
    put("Content-Security-Policy", server_.options.content_security_policy);
    put("X-Content-Type-Options", "nosniff");
    put("X-Frame-Options", "DENY");
    put("Referrer-Policy", "no-referrer");
    put("Cross-Origin-Opener-Policy", "same-origin");
    put("Cross-Origin-Resource-Policy", "same-origin");
    put("Permissions-Policy", "camera=(), microphone=(), geolocation=()");
    put("X-Request-Id", request_->id);
    const std::string allowed = server_.listed_origin(request_->header("origin"));
    if (!allowed.empty()) {
      head.set("Access-Control-Allow-Origin", allowed);
      head.set("Access-Control-Expose-Headers", "Retry-After, X-Request-Id, Content-Disposition, ETag");
    }
    head.set(bhttp::field::vary, "Origin");
    for (const auto& [name, value] : given_->headers) head.insert(name, value);
    head.keep_alive(keep_alive_);
    const bool bodyless = given_->status == 204 || given_->status == 304;
    if (!bodyless) head.content_length(content.size());
    const bool with_body = !bodyless && !head_only_;
    // The bytes are not copied: given_ holds them until they are sent.
    head.body() = bhttp::span_body<const char>::value_type(content.data(), with_body ? content.size() : 0);
    bytes_out_ = with_body ? content.size() : 0;
    const auto allowance = std::chrono::seconds(server_.options.write_timeout_s) +
                           std::chrono::seconds(static_cast<int64_t>(bytes_out_ >> 16));
    set_deadline(Wait::write, allowance);
    bhttp::async_write(socket_, head,
                       [self = shared_from_this()](error_code failed, size_t) { self->on_sent(failed); });
  }

  void on_sent(error_code failed) {
    clear_deadline();
    const double seconds = std::chrono::duration<double>(Clock::now() - started_).count();
    server_.count(route_, given_->status, seconds);
    if (server_.options.log) {
      server_.options.log({{"time", time_text()},
                           {"id", request_->id},
                           {"peer", request_->peer},
                           {"method", head_only_ ? "HEAD" : request_->method},
                           {"path", request_->path},
                           {"route", route_ ? route_->pattern : ""},
                           {"status", given_->status},
                           {"bytes_in", bytes_in_},
                           {"bytes_out", bytes_out_},
                           {"ms", std::round(seconds * 1e5) / 1e2}});
    }
    reply_.reset();
    given_.reset();
    release_bytes();
    if (failed) return end();
    if (!keep_alive_) return linger();
    wait_for_request();
  }

  /// Ends the sending half and reads off what the client still sends, for a moment: closing at once would reset the
  /// connection, and the answer could be lost with it.
  void linger() {
    error_code ignored;
    socket_.shutdown(tcp::socket::shutdown_send, ignored);
    discarded_ = 0;
    set_deadline(Wait::write, std::chrono::seconds(2));
    discard();
  }
  void discard() {
    buffer_.clear();
    socket_.async_read_some(buffer_.prepare(16 << 10), [self = shared_from_this()](error_code failed, size_t bytes) {
      self->discarded_ += bytes;
      if (failed || self->discarded_ > kMostDiscarded) return self->end();
      self->discard();
    });
  }

  std::shared_ptr<Server::Impl> owner_;  // a handler may hold on to this session for longer than the server is there
  Server::Impl& server_;
  tcp::socket socket_;
  net::steady_timer timer_;
  beast::flat_buffer buffer_;
  std::optional<bhttp::request_parser<bhttp::string_body>> parser_;
  std::optional<bhttp::response<bhttp::span_body<const char>>> reply_;
  std::shared_ptr<Request> request_;
  std::shared_ptr<Response> given_;
  Route* route_ = nullptr;
  Clock::time_point started_;
  std::string peer_;
  std::list<Session*>::iterator place_;
  uint64_t deadline_number_ = 0;
  size_t bytes_in_ = 0, bytes_out_ = 0, discarded_ = 0, held_bytes_ = 0;
  Wait wait_ = Wait::idle;
  bool in_reading_ = false, partial_ = false, timed_out_ = false, keep_alive_ = false, head_only_ = false;
};

/// @return the origin if it may read answers across origins; "" for the page's own (which needs no leave) and for none
std::string Server::Impl::listed_origin(const std::string& origin) const {
  return std::find(options.origins.begin(), options.origins.end(), origin) != options.origins.end() ? origin : "";
}

void Server::Impl::check_who_asks(const Request& request, bool open_route) const {
  // A name that an attacker's DNS leads here (rebinding) is told by Host: an address cannot be led anywhere.
  const std::string& host = request.header("host");
  const auto name = host_name(host);
  const auto listed = [&] {
    return std::any_of(options.hosts.begin(), options.hosts.end(),
                       [&](const std::string& h) { return host_name(h) == name; });
  };
  if (!name || !(is_loopback_name(*name) || (!loopback && is_ip_literal(*name)) || listed()))
    throw HttpError(403, "wrong_host", "this server does not answer for the host {}; start it with --allow-host",
                    nlohmann::json(host).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace));
  // A browser says where a request comes from; pages of other origins may not ask.
  const std::string& origin = request.header("origin");
  const bool origin_listed = !listed_origin(origin).empty();
  if (!origin.empty() && !origin_listed && origin != "http://" + host)
    throw HttpError(403, "wrong_origin", "pages of another origin may not ask; start the server with --allow-origin");
  const std::string& site = request.header("sec-fetch-site");
  const bool opens_page = request.method == "GET" && request.header("sec-fetch-mode") == "navigate" &&
                          request.header("sec-fetch-dest") == "document";
  if ((site == "cross-site" || site == "same-site") && !origin_listed && !opens_page)
    throw HttpError(403, "wrong_origin", "pages of another origin may not ask; start the server with --allow-origin");
  if (options.token.empty() || open_route) return;
  const std::string& given = request.header("authorization");
  if (!given.starts_with("Bearer ") || !equal_in_constant_time(given.substr(7), options.token))
    throw HttpError(401, "no_token", "the header \"Authorization: Bearer TOKEN\" is missing or holds another token");
}

Route* Server::Impl::find(Request& request) {
  const std::vector<std::string> path = segments_of(request.path);
  std::string allowed;
  Route* with_params = nullptr;
  std::map<std::string, std::string> params;
  for (const auto& route : routes) {
    std::map<std::string, std::string> found;
    if (!route->matches(path, found)) continue;
    if (route->method != request.method) {
      allowed += (allowed.empty() ? "" : ", ") + route->method;
      continue;
    }
    // A route of plain words goes before one with {names}.
    if (found.empty()) return route.get();
    if (!with_params) {
      with_params = route.get();
      params = std::move(found);
    }
  }
  if (with_params) {
    request.params = std::move(params);
    return with_params;
  }
  if (!allowed.empty())
    throw HttpError(405, "wrong_method", "{} is not for this address; {} is", request.method, allowed);
  throw HttpError(404, "not_found", "there is nothing at this address; GET /openapi.json lists what there is");
}

void Server::Impl::count(Route* route, int status, double seconds) {
  const std::lock_guard lock(stats_mutex);
  if (!route) {
    ++unrouted[status];
    return;
  }
  ++route->by_status[status];
  size_t bucket = 0;
  while (bucket < kBuckets.size() && seconds > kBuckets[bucket]) ++bucket;
  ++route->durations[bucket];
  route->seconds += seconds;
}

/// One connection too many: the one that has waited longest without a whole request goes.
void Server::Impl::make_room() {
  while (sessions.size() >= options.max_connections && !reading.empty()) {
    const auto oldest = reading.front()->shared_from_this();
    oldest->close();
    sessions.erase(oldest);
    const std::lock_guard lock(stats_mutex);
    ++evicted_connections;
  }
}

void Server::Impl::accept() {
  acceptor.async_accept([this](error_code failed, tcp::socket socket) {
    if (failed == net::error::operation_aborted || !acceptor.is_open()) return;
    if (failed) {
      // Out of file descriptors, say: those that wait longest go, and the next try is a moment later.
      if (!reading.empty()) {
        const auto oldest = reading.front()->shared_from_this();
        oldest->close();
        sessions.erase(oldest);
      }
      pause.expires_after(std::chrono::milliseconds(20));
      pause.async_wait([this](error_code stopped) {
        if (!stopped) accept();
      });
      return;
    }
    make_room();
    if (sessions.size() >= options.max_connections) {
      const std::lock_guard lock(stats_mutex);
      ++refused_connections;  // all of them are being answered: closed unheard
    } else {
      const auto session = std::make_shared<Session>(std::move(socket), *this);
      sessions.insert(session);
      session_count = sessions.size();
      session->start();
    }
    accept();
  });
}

Server::Server(ServerOptions options) {
  options.validate();
  impl_ = std::make_shared<Impl>(std::move(options));
}

Server::~Server() { stop(0); }

void Server::route_deferred(const std::string& method, const std::string& pattern, DeferredHandler handler,
                            RouteOptions options) {
  auto route = std::make_unique<Route>();
  route->method = method;
  route->pattern = pattern;
  route->segments = segments_of(pattern);
  route->handler = std::move(handler);
  route->options = std::move(options);
  route->blocks = route->options.threaded;
  impl_->routes.push_back(std::move(route));
}

void Server::route(const std::string& method, const std::string& pattern, Handler handler, RouteOptions options) {
  route_deferred(
      method, pattern,
      [handler = std::move(handler)](const std::shared_ptr<const Request>& request, const Reply& reply) {
        reply(handler(*request));
      },
      std::move(options));
  impl_->routes.back()->blocks = true;
}

void Server::page(const std::string& path, std::string content_type, std::string bytes) {
  const std::string etag = etag_of(bytes);
  const auto shared = std::make_shared<const std::string>(std::move(bytes));
  route_deferred("GET", path,
                 [etag, shared, type = std::move(content_type)](const std::shared_ptr<const Request>& request,
                                                                const Reply& reply) {
                   Response response;
                   response.content_type = type;
                   response.with("ETag", etag).with("Cache-Control", "no-cache");
                   if (request->header("if-none-match") == etag)
                     response.status = 304;
                   else
                     response.shared_body = shared;
                   reply(std::move(response));
                 },
                 {.open = true});
}

void Server::start() {
  Impl& impl = *impl_;
  // A soft limit of 1024 open files is common, and a connection is one.
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
    const rlim_t wanted = std::min<rlim_t>(files.rlim_max, impl.options.max_connections + 256);
    if (files.rlim_cur < wanted) {
      files.rlim_cur = wanted;
      ::setrlimit(RLIMIT_NOFILE, &files);
      ::getrlimit(RLIMIT_NOFILE, &files);
    }
    const size_t most = files.rlim_cur > 192 ? static_cast<size_t>(files.rlim_cur) - 128 : 64;
    impl.options.max_connections = std::min(impl.options.max_connections, most);
  }
  const auto address = net::ip::make_address(impl.options.address);
  impl.loopback = address.is_loopback();
  const tcp::endpoint end(address, static_cast<unsigned short>(impl.options.port));
  try {
    impl.acceptor.open(end.protocol());
    impl.acceptor.set_option(net::socket_base::reuse_address(true));
    impl.acceptor.bind(end);
    impl.acceptor.listen(4096);
  } catch (const boost::system::system_error& error) {
    throw UsageError("{} port {} cannot be listened on: {}; name another --port", impl.options.address,
                     impl.options.port, error.code().message());
  }
  impl.port = impl.acceptor.local_endpoint().port();
  impl.crew.start(impl.options.handler_threads);
  impl.accept();
  impl.started = true;
  impl.mover = std::thread([&impl] {
    for (;;) {
      try {
        impl.io.run();
        return;
      } catch (const std::exception& error) {
        log_line(LogLevel::error, fmt::format("server: {}", error.what()));
      }
    }
  });
}

int Server::port() const { return impl_->port; }

std::string Server::url() const {
  const bool six = impl_->options.address.find(':') != std::string::npos;
  std::string host = impl_->options.address;
  if (host == "0.0.0.0") host = "127.0.0.1";
  if (host == "::") host = "::1";
  return fmt::format("http://{}{}{}:{}", six ? "[" : "", host, six ? "]" : "", impl_->port);
}

void Server::stop(double seconds) {
  Impl& impl = *impl_;
  if (!impl.started) return;
  impl.started = false;
  net::post(impl.io, [&impl] {
    impl.stopping = true;
    error_code ignored;
    impl.acceptor.close(ignored);
    impl.pause.cancel();
    const auto all = impl.sessions;
    for (const auto& session : all)
      if (session->between_requests()) session->close();
  });
  const auto until = Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  while (Clock::now() < until && !(impl.stopping && impl.session_count == 0))
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  impl.crew.end();  // running handlers are waited for
  {
    const std::lock_guard lock(impl.end_mutex);
    impl.ended = true;
  }
  impl.io.stop();
  impl.mover.join();
  // What still waits holds on to its session, and that to all of this: closed, it comes back once and lets go.
  const auto all = impl.sessions;
  for (const auto& session : all) session->close();
  error_code ignored;
  impl.acceptor.close(ignored);
  impl.pause.cancel();
  impl.work.reset();
  impl.io.restart();
  impl.io.poll();
  impl.sessions.clear();
}

std::vector<std::pair<std::string, std::string>> Server::routes() const {
  std::vector<std::pair<std::string, std::string>> list;
  for (const auto& route : impl_->routes) list.emplace_back(route->method, route->pattern);
  return list;
}

size_t Server::connections() const { return impl_->session_count; }

std::string Server::prometheus() const {
  const std::lock_guard lock(impl_->stats_mutex);
  std::string text =
      "# HELP dermgan_http_requests_total Requests answered.\n# TYPE dermgan_http_requests_total counter\n";
  for (const auto& route : impl_->routes)
    for (const auto& [status, count] : route->by_status)
      text += fmt::format("dermgan_http_requests_total{{method=\"{}\",route=\"{}\",status=\"{}\"}} {}\n", route->method,
                          route->pattern, status, count);
  for (const auto& [status, count] : impl_->unrouted)
    text += fmt::format("dermgan_http_requests_total{{method=\"\",route=\"\",status=\"{}\"}} {}\n", status, count);
  text +=
      "# HELP dermgan_http_request_seconds From a request's first byte to the answer's last.\n"
      "# TYPE dermgan_http_request_seconds histogram\n";
  for (const auto& route : impl_->routes) {
    uint64_t below = 0;
    for (const uint64_t n : route->durations) below += n;
    if (below == 0) continue;
    const std::string labels = fmt::format("method=\"{}\",route=\"{}\"", route->method, route->pattern);
    uint64_t sum = 0;
    for (size_t i = 0; i < kBuckets.size(); ++i) {
      sum += route->durations[i];
      text += fmt::format("dermgan_http_request_seconds_bucket{{{},le=\"{}\"}} {}\n", labels, kBuckets[i], sum);
    }
    text += fmt::format(
        "dermgan_http_request_seconds_bucket{{{0},le=\"+Inf\"}} {1}\n"
        "dermgan_http_request_seconds_sum{{{0}}} {2}\ndermgan_http_request_seconds_count{{{0}}} {1}\n",
        labels, below, route->seconds);
  }
  const auto plain = [&](const char* name, const char* type, const char* help, uint64_t value) {
    text += fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n{0} {3}\n", name, help, type, value);
  };
  plain("dermgan_http_connections", "gauge", "Open connections.", impl_->session_count);
  plain("dermgan_http_connections_refused_total", "counter", "Connections closed unheard, all others being answered.",
        impl_->refused_connections);
  plain("dermgan_http_connections_evicted_total", "counter",
        "Connections closed to make room, for they had sent no whole request.", impl_->evicted_connections);
  plain("dermgan_http_slow_clients_total", "counter", "Requests that took too long to arrive (408).",
        impl_->slow_clients);
  return text;
}

}  // namespace derm::http
