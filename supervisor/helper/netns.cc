#include "supervisor/helper/netns.h"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

namespace flodea::helper {

static Status bring_up_loopback() {
  auto socket = TRY(adopt_fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket"));
  ifreq request{};
  request.ifr_name[0] = 'l';
  request.ifr_name[1] = 'o';
  request.ifr_flags = IFF_UP;
  if (::ioctl(socket.get(), SIOCSIFFLAGS, &request) != 0) return fail_errno("bring up loopback");
  return {};
}

Result<UniqueFd> make_network_namespace() {
  if (::unshare(CLONE_NEWNET) != 0) return fail_errno("unshare the network namespace");
  TRY(bring_up_loopback());
  return adopt_fd(::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), "open the network namespace");
}

}  // namespace flodea::helper
