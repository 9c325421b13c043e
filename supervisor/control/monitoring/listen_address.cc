#include "supervisor/control/monitoring/listen_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <cstring>

#include "base/number.h"
#include "base/unique_fd.h"

namespace flodea::control {
namespace {

Result<std::uint16_t> parse_port(std::string_view text) {
  if (auto port = parse_number<std::uint16_t>(text)) return *port;
  return fail(Code::kInvalidArgument, "\"" + std::string(text) + "\" is not a port");
}

template <class Address>
void store(ListenAddress& into, const Address& address) {
  std::memcpy(&into.storage, &address, sizeof address);
  into.size = sizeof address;
}

Result<ListenAddress> parse(const std::string& text) {
  auto colon = text.rfind(':');
  if (colon == std::string::npos)
    return fail(Code::kInvalidArgument, "\"" + text + "\" has no port");
  ListenAddress address{.text = text};
  address.port = TRY(parse_port(std::string_view(text).substr(colon + 1)));
  std::string host = text.substr(0, colon);
  sockaddr_in v4{.sin_family = AF_INET, .sin_port = htons(address.port)};
  sockaddr_in6 v6{.sin6_family = AF_INET6, .sin6_port = htons(address.port)};
  bool brackets = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (::inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1) {
    store(address, v4);
  } else if (brackets &&
             ::inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &v6.sin6_addr) == 1) {
    store(address, v6);
  } else {
    return fail(Code::kInvalidArgument, "\"" + host + "\" is not an IP address");
  }
  return address;
}

}  // namespace

bool ListenAddress::loopback() const {
  if (storage.ss_family == AF_INET) {
    auto v4 = reinterpret_cast<const sockaddr_in*>(&storage)->sin_addr;
    return (ntohl(v4.s_addr) >> 24) == 127;
  }
  return IN6_IS_ADDR_LOOPBACK(&reinterpret_cast<const sockaddr_in6*>(&storage)->sin6_addr);
}

Result<ListenAddress> parse_listen_address(const std::string& text) {
  auto address = parse(text);
  if (address) return address;
  return tl::unexpected(
      std::move(address).error().with_remedy("write ADDR:PORT, as 127.0.0.1:9464 or [::1]:9464"));
}

Status check_free(const ListenAddress& address) {
  UniqueFd fd =
      TRY(adopt_fd(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
  int yes = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);  // as the server sets it
  auto* where = reinterpret_cast<const sockaddr*>(&address.storage);
  if (::bind(fd.get(), where, address.size) == 0 && ::listen(fd.get(), 1) == 0) return {};
  switch (errno) {
    case EADDRINUSE:
      return fail(Code::kUnavailable, address.text + " is in use by another program");
    case EADDRNOTAVAIL:
      return fail(Code::kUnavailable, address.text + " is not an address of this host");
    case EACCES:
      return fail(Code::kPermissionDenied,
                  "the port of " + address.text + " is reserved (below 1024)");
    default:
      return fail_errno("listen on " + address.text);
  }
}

Status knock(const ListenAddress& address, std::uint16_t port) {
  auto to = TRY(parse(address.text.substr(0, address.text.rfind(':') + 1) + std::to_string(port)));
  UniqueFd fd = TRY(adopt_fd(
      ::socket(to.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket"));
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&to.storage), to.size) != 0 &&
      errno != EINPROGRESS)
    return fail_errno("connect");
  return {};
}

}  // namespace flodea::control
