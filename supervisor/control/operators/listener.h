// Accepts operators on a listening unix socket, on a thread of its own: checks who they are, bounds
// how many, hands the connection on.
#pragma once

#include <sys/types.h>

#include <functional>
#include <map>
#include <memory>
#include <thread>

#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "supervisor/control/operators/peer.h"

namespace flodea::control {

class Listener {
 public:
  static constexpr std::size_t kMaxConnections =
      128;  // followers (kMaxStreams) leave room for others
  using Handover =
      std::function<void(UniqueFd connection, const Peer& peer)>;  // on the listener's thread

  static Result<std::unique_ptr<Listener>> start(UniqueFd listening, gid_t operators_group,
                                                 Handover handover);
  ~Listener();  // ends the thread; connections handed on are not its own

 private:
  Listener(UniqueFd listening, gid_t operators_group, Handover handover,
           std::unique_ptr<EventLoop> loop);
  void accept_all();
  void admit(UniqueFd connection);
  Status keep_watch(int connection);
  void rest();

  UniqueFd listening_;
  gid_t operators_group_;
  Handover handover_;
  std::unique_ptr<EventLoop> loop_;
  // Second descriptors of the connections, by which their end is seen: gRPC owns the first and does
  // not say.
  std::map<int, UniqueFd> open_;
  std::thread thread_;
};

}  // namespace flodea::control
