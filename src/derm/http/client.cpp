#include "derm/http/client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cmath>

#include <fmt/format.h>

namespace derm::http {

void Client::close() {
  if (socket_ >= 0) ::close(socket_);
  socket_ = -1;
  rest_.clear();
}

bool Client::connect() {
  close();
  socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (socket_ < 0) return false;
  timeval limit{};
  limit.tv_sec = static_cast<time_t>(timeout_s_);
  limit.tv_usec = static_cast<suseconds_t>((timeout_s_ - std::floor(timeout_s_)) * 1e6);
  ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  ::setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  const int on = 1;
  ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(port_));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(socket_, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0) return true;
  close();
  return false;
}

bool Client::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

Answer Client::receive(bool head) {
  const auto more = [this] {
    char buffer[16384];
    ssize_t got;
    do got = ::recv(socket_, buffer, sizeof buffer, 0);
    while (got < 0 && errno == EINTR);
    if (got > 0) rest_.append(buffer, static_cast<size_t>(got));
    return got > 0;
  };
  Answer answer;
  size_t end;
  for (;;) {
    while ((end = rest_.find("\r\n\r\n")) == std::string::npos)
      if (!more()) return {};
    if (rest_.size() < 12 || !rest_.starts_with("HTTP/1.1 ")) return {};
    if (rest_.substr(9, 3) != "100") break;
    rest_.erase(0, end + 4);  // 100 Continue
  }
  answer.status = std::atoi(rest_.substr(9, 3).c_str());
  size_t from = rest_.find("\r\n") + 2;
  while (from < end + 2) {
    const size_t to = rest_.find("\r\n", from);
    const size_t colon = rest_.find(':', from);
    if (colon < to) {
      std::string name = rest_.substr(from, colon - from);
      std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
      size_t start = colon + 1;
      while (start < to && rest_[start] == ' ') ++start;
      answer.headers[name] = rest_.substr(start, to - start);
    }
    from = to + 2;
  }
  rest_.erase(0, end + 4);
  const size_t length =
      head || !answer.headers.contains("content-length") ? 0 : std::stoul(answer.headers["content-length"]);
  while (rest_.size() < length)
    if (!more()) return {};
  answer.body = rest_.substr(0, length);
  rest_.erase(0, length);
  if (answer.headers["connection"] == "close") close();
  return answer;
}

Answer Client::request(const std::string& method, const std::string& target, const std::string& body,
                       const Headers& headers) {
  std::string head = fmt::format("{} {} HTTP/1.1\r\n", method, target);
  bool host = false;
  for (const auto& [name, value] : headers) {
    host = host || name == "Host";
    head += name + ": " + value + "\r\n";
  }
  if (!host) head += fmt::format("Host: 127.0.0.1:{}\r\n", port_);
  if (!body.empty() || method == "POST" || method == "PUT") head += fmt::format("Content-Length: {}\r\n", body.size());
  head += "\r\n";
  for (int attempt = 0; attempt < 2; ++attempt) {
    const bool fresh = socket_ < 0;
    if (fresh && !connect()) return {};
    send(head) && send(body);
    Answer answer = receive(method == "HEAD");
    if (answer.status != 0 || fresh) return answer;
    close();  // it was kept open from before, and the server has closed it meanwhile
  }
  return {};
}

Answer Client::post_json(const std::string& target, const std::string& json, const Headers& headers) {
  Headers all = headers;
  all.emplace_back("Content-Type", "application/json");
  return request("POST", target, json, all);
}

Answer Client::raw(std::string_view bytes) {
  if (!connect()) return {};
  send(bytes);
  return receive(false);
}

}  // namespace derm::http
