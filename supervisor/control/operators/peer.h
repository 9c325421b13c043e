// Who is at the other end of a unix socket, as the kernel knows it.
#pragma once

#include <sys/types.h>

#include <vector>

#include "base/result.h"

namespace flodea::control {

struct Peer {
  uid_t uid = 0;
  gid_t gid = 0;
  pid_t pid = 0;
  std::vector<gid_t> groups;  // supplementary
};

// As they were at connect(2).
Result<Peer> peer_of(int socket);
// Root, and members of the operators' group by primary or supplementary gid. Nobody else, whatever
// the socket's mode.
bool may_operate(const Peer& peer, gid_t operators_group);

}  // namespace flodea::control
