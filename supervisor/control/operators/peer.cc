#include "supervisor/control/operators/peer.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

namespace flodea::control {
namespace {

Result<std::vector<gid_t>> groups_of(int socket) {
  std::vector<gid_t> groups(64);
  for (;;) {
    auto length = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
    if (::getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &length) == 0) {
      groups.resize(length / sizeof(gid_t));
      return groups;
    }
    bool longer = errno == ERANGE && length / sizeof(gid_t) > groups.size();
    if (!longer) return fail_errno("SO_PEERGROUPS");
    groups.resize(length / sizeof(gid_t));
  }
}

}  // namespace

Result<Peer> peer_of(int socket) {
  ucred credentials{};
  socklen_t length = sizeof credentials;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0)
    return fail_errno("SO_PEERCRED");
  Peer peer{.uid = credentials.uid, .gid = credentials.gid, .pid = credentials.pid};
  peer.groups = TRY(groups_of(socket));
  return peer;
}

bool may_operate(const Peer& peer, gid_t operators_group) {
  return peer.uid == 0 || peer.gid == operators_group ||
         std::ranges::find(peer.groups, operators_group) != peer.groups.end();
}

}  // namespace flodea::control
