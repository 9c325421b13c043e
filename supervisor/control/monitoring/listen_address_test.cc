#include "supervisor/control/monitoring/listen_address.h"

#include <netinet/in.h>

#include <catch2/catch_test_macros.hpp>

#include "base/unique_fd.h"

namespace flodea::control {
namespace {

TEST_CASE("addresses are read with their port, and known as loopback or not") {
  struct Case {
    const char* text;
    std::uint16_t port;
    bool loopback;
  };
  for (const Case& c : {Case{"127.0.0.1:9464", 9464, true}, Case{"127.8.0.1:1", 1, true},
                        Case{"[::1]:9464", 9464, true}, Case{"0.0.0.0:9464", 9464, false},
                        Case{"[::]:80", 80, false}, Case{"10.0.0.1:65535", 65535, false},
                        Case{"[::ffff:10.0.0.1]:1", 1, false}, Case{"128.0.0.1:0", 0, false}}) {
    INFO(c.text);
    auto address = parse_listen_address(c.text);
    REQUIRE(address);
    CHECK(address->port == c.port);
    CHECK(address->loopback() == c.loopback);
  }
}

TEST_CASE("what is no address is refused with an example") {
  for (const char* text : {"", "9464", ":9464", "localhost:9464", "127.0.0.1", "127.0.0.1:",
                           "127.0.0.1:x", "127.0.0.1:70000", "127.0.0.1:-1", "::1:9464", "[::1]",
                           "127.0.0.1:80,0.0.0.0:81", "127.0.0.1:80s", "300.0.0.1:1"}) {
    INFO(text);
    auto address = parse_listen_address(text);
    REQUIRE(!address);
    CHECK(address.error().code == Code::kInvalidArgument);
    CHECK(address.error().remedy.find("127.0.0.1:9464") != std::string::npos);
  }
}

TEST_CASE("a taken port and a foreign address are told apart") {
  UniqueFd taken(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in here{.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  REQUIRE(::bind(taken.get(), reinterpret_cast<sockaddr*>(&here), sizeof here) == 0);
  REQUIRE(::listen(taken.get(), 1) == 0);
  socklen_t size = sizeof here;
  REQUIRE(::getsockname(taken.get(), reinterpret_cast<sockaddr*>(&here), &size) == 0);
  auto text = "127.0.0.1:" + std::to_string(ntohs(here.sin_port));
  auto used = check_free(*parse_listen_address(text));
  REQUIRE(!used);
  CHECK(used.error().message == text + " is in use by another program");
  CHECK(check_free(*parse_listen_address("192.0.2.1:9464"))
            .error()
            .message.find("not an address of this host") != std::string::npos);
  CHECK(check_free(*parse_listen_address("127.0.0.1:0")));
}

}  // namespace
}  // namespace flodea::control
