#pragma once
// A small blocking HTTP client for loopback: what tests and the load test ask with. Free of Boost.
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace derm::http {

struct Answer {
  int status = 0;                              ///< 0: the connection ended without an answer
  std::map<std::string, std::string> headers;  ///< names in lower case
  std::string body;
};

/// One connection to 127.0.0.1, kept open between requests and opened again when the server has closed it.
class Client {
 public:
  explicit Client(int port, double timeout_s = 30) : port_(port), timeout_s_(timeout_s) {}
  ~Client() { close(); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  using Headers = std::vector<std::pair<std::string, std::string>>;
  Answer request(const std::string& method, const std::string& target, const std::string& body = "",
                 const Headers& headers = {});
  Answer get(const std::string& target, const Headers& headers = {}) { return request("GET", target, "", headers); }
  Answer post_json(const std::string& target, const std::string& json, const Headers& headers = {});

  /// Sends exactly these bytes over a fresh connection and reads one answer; for requests that are no HTTP.
  Answer raw(std::string_view bytes);
  void close();

 private:
  bool connect();
  bool send(std::string_view bytes);
  Answer receive(bool head);
  int port_;
  double timeout_s_;
  int socket_ = -1;
  std::string rest_;
};

}  // namespace derm::http
