#pragma once
// For tests that start ranks.
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace derm::ranks::testing {

/// A port of this machine that nobody listens on.
inline int free_port() {
  const int s = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  bind(s, reinterpret_cast<sockaddr*>(&address), sizeof(address));
  getsockname(s, reinterpret_cast<sockaddr*>(&address), &length);
  close(s);
  return ntohs(address.sin_port);
}

}  // namespace derm::ranks::testing
