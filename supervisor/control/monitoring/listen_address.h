// "127.0.0.1:9464" and "[::1]:9464": an IP address and a port, checked before anything listens, so
// that what is wrong is said clearly.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>

#include "base/result.h"

namespace flodea::control {

struct ListenAddress {
  std::string text;  // as given
  sockaddr_storage storage{};
  socklen_t size = 0;
  std::uint16_t port = 0;
  bool loopback() const;
};

Result<ListenAddress> parse_listen_address(const std::string& text);
// Binds and lets go again. kUnavailable: taken, or not an address of this host. kPermissionDenied:
// a port below 1024.
Status check_free(const ListenAddress& address);
// Connects to what listens there, on `port` where the address has port 0, and hangs up, without
// waiting.
Status knock(const ListenAddress& address, std::uint16_t port);

}  // namespace flodea::control
