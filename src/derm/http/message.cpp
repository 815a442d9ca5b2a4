#include "derm/http/message.h"

#include <arpa/inet.h>
#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "derm/base/files.h"
#include "derm/base/text.h"

namespace derm::http {
namespace {

constexpr size_t kLongestTarget = 4096, kMostQueryFields = 32;

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

[[noreturn]] void refuse_target(const char* why) { throw HttpError(400, "bad_target", "the address {}", why); }

std::string decoded(std::string_view text, bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '+' && plus_is_space) {
      c = ' ';
    } else if (c == '%') {
      if (i + 2 >= text.size() || hex_digit(text[i + 1]) < 0 || hex_digit(text[i + 2]) < 0)
        refuse_target("holds a '%' without two hexadecimal digits");
      c = static_cast<char>(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2]));
      i += 2;
    }
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) refuse_target("holds a control character");
    out += c;
  }
  if (find_non_utf8(out) != std::string::npos) refuse_target("is not UTF-8");
  return out;
}

void check_path(const std::string& path) {
  if (path.find('\\') != std::string::npos) refuse_target("holds a backslash");
  if (path == "/") return;
  size_t from = 1;
  for (;;) {
    const size_t to = std::min(path.find('/', from), path.size());
    const std::string_view segment = std::string_view(path).substr(from, to - from);
    if (segment.empty()) refuse_target("holds an empty segment");
    if (segment == "." || segment == "..") refuse_target("holds a segment of dots");
    if (to == path.size()) return;
    from = to + 1;
  }
}

}  // namespace

const std::string& Request::header(const std::string& name) const {
  static const std::string none;
  const auto found = headers.find(name);
  return found == headers.end() ? none : found->second;
}

std::optional<std::string> Request::cookie(std::string_view name) const {
  std::string_view rest = header("cookie");
  while (!rest.empty()) {
    const size_t end = std::min(rest.find(';'), rest.size());
    std::string_view pair = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    while (pair.starts_with(' ')) pair.remove_prefix(1);
    const size_t equals = pair.find('=');
    if (equals != std::string_view::npos && pair.substr(0, equals) == name) return std::string(pair.substr(equals + 1));
  }
  return std::nullopt;
}

nlohmann::json Request::json(int max_depth) const { return parse_json(body, max_depth); }

Response Response::json(const nlohmann::ordered_json& value, int status) {
  Response response;
  response.status = status;
  response.body = value.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  return response;
}

Response Response::text(std::string body, std::string content_type) {
  return bytes(std::move(body), std::move(content_type));
}

Response Response::bytes(std::string body, std::string content_type) {
  Response response;
  response.body = std::move(body);
  response.content_type = std::move(content_type);
  return response;
}

Response Response::error(const HttpError& error, const std::string& request_id) {
  Response response =
      json({{"code", error.code()}, {"message", error.what()}, {"request_id", request_id}}, error.status());
  if (error.retry_after_s() > 0) response.with("Retry-After", std::to_string(error.retry_after_s()));
  return response;
}

nlohmann::json parse_json(std::string_view text, int max_depth) {
  // The parser keeps its stack on the heap; the limit is for those who walk through the value later.
  const auto guard = [&](int depth, nlohmann::json::parse_event_t event, nlohmann::json&) {
    const bool opens =
        event == nlohmann::json::parse_event_t::object_start || event == nlohmann::json::parse_event_t::array_start;
    if (opens && depth >= max_depth) {
      throw HttpError(400, "bad_json", "the JSON is nested deeper than {} levels", max_depth);
    }
    return true;
  };
  try {
    return nlohmann::json::parse(text, guard);
  } catch (const nlohmann::json::parse_error& error) {
    throw HttpError(400, "bad_json", "the body is not JSON: it goes wrong at byte {} of {}", error.byte, text.size());
  } catch (const nlohmann::json::exception&) {
    throw HttpError(400, "bad_json", "the body is not JSON: it holds a number that is too large");
  }
}

Target parse_target(std::string_view target) {
  if (target.size() > kLongestTarget) refuse_target("is too long");
  if (!target.starts_with('/')) refuse_target("does not start with '/'");
  Target result;
  const size_t mark = std::min(target.find('?'), target.size());
  result.path = decoded(target.substr(0, mark), false);
  check_path(result.path);
  std::string_view rest = target.substr(std::min(mark + 1, target.size()));
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('&'), rest.size());
    const std::string_view pair = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (pair.empty()) continue;
    const size_t equals = std::min(pair.find('='), pair.size());
    result.query[decoded(pair.substr(0, equals), true)] = decoded(pair.substr(std::min(equals + 1, pair.size())), true);
    if (result.query.size() > kMostQueryFields) refuse_target("has too many fields behind '?'");
  }
  return result;
}

std::optional<std::string> host_name(std::string_view host) {
  std::string_view name = host, port;
  if (host.starts_with('[')) {
    const size_t close = host.find(']');
    if (close == std::string_view::npos) return std::nullopt;
    name = host.substr(1, close - 1);
    const std::string_view rest = host.substr(close + 1);
    if (!rest.empty() && (rest[0] != ':' || rest.size() == 1)) return std::nullopt;
    if (!rest.empty()) port = rest.substr(1);
    in6_addr address{};
    if (::inet_pton(AF_INET6, std::string(name).c_str(), &address) != 1) return std::nullopt;
  } else {
    const size_t colon = host.find(':');
    if (colon != std::string_view::npos) {
      name = host.substr(0, colon);
      port = host.substr(colon + 1);
      if (port.empty()) return std::nullopt;
    }
    const auto fits = [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
             c == '_';
    };
    if (!std::all_of(name.begin(), name.end(), fits)) return std::nullopt;
  }
  if (name.empty() || name.size() > 253) return std::nullopt;
  if (port.size() > 5 || !std::all_of(port.begin(), port.end(), [](char c) { return c >= '0' && c <= '9'; }))
    return std::nullopt;
  return lower(name);
}

bool is_ip_literal(const std::string& host) {
  in_addr four{};
  in6_addr six{};
  return ::inet_pton(AF_INET, host.c_str(), &four) == 1 || ::inet_pton(AF_INET6, host.c_str(), &six) == 1;
}

bool is_loopback_name(const std::string& host) {
  if (host == "localhost") return true;
  in_addr four{};
  if (::inet_pton(AF_INET, host.c_str(), &four) == 1) return (ntohl(four.s_addr) >> 24) == 127;
  in6_addr six{};
  return ::inet_pton(AF_INET6, host.c_str(), &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

std::string random_hex(size_t count) {
  std::string bytes(count, '\0');
  size_t done = 0;
  while (done < count) {
    const ssize_t got = ::getrandom(bytes.data() + done, count - done, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) throw std::runtime_error("the system gives no random numbers");
    done += static_cast<size_t>(got);
  }
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const char c : bytes) {
    text += kDigits[static_cast<unsigned char>(c) >> 4];
    text += kDigits[static_cast<unsigned char>(c) & 15];
  }
  return text;
}

bool equal_in_constant_time(std::string_view a, std::string_view b) {
  // Hashes have one length, so that not even the token's own is told.
  const std::string x = sha256_hex(a), y = sha256_hex(b);
  unsigned differ = 0;
  for (size_t i = 0; i < x.size(); ++i) differ |= static_cast<unsigned char>(x[i]) ^ static_cast<unsigned char>(y[i]);
  return differ == 0;
}

std::string etag_of(std::string_view bytes) { return '"' + sha256_hex(bytes).substr(0, 32) + '"'; }

}  // namespace derm::http
