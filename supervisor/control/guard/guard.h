// The guard stands between every agent's socket and its gRPC server: one thread for all agents,
// which relays bytes and checks HTTP/2 frame headers (frame_scanner.h). Without it a hostile worker
// takes control's memory through gRPC itself; with it, at most what docs/guard.md promises.
//
// Thread-safe. Owns the descriptors given to it. Removing is asynchronous: the peers see EOF soon.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "supervisor/control/guard/relay.h"

namespace flodea::control {

class Guard {
 public:
  // Both are called on the guard's thread and must not block. `failed`, at most once: the guard can
  // serve nobody any more; every agent's calls hang until this process is another one.
  static Result<std::unique_ptr<Guard>> create(const Clock& clock, LimitObserver observer,
                                               std::function<void(const Error&)> failed);
  ~Guard();  // ends the thread, closes all connections

  Relay::ConnectionId add(UniqueFd outer, UniqueFd inner, std::shared_ptr<GuardedAgent> agent);
  void remove(Relay::ConnectionId id);

 private:
  Guard(std::unique_ptr<Relay> relay, UniqueFd wake, std::function<void(const Error&)> failed);
  void post(std::function<void(Relay&)> command);
  void run_posted();
  void loop();

  std::unique_ptr<Relay> relay_;
  UniqueFd wake_;
  std::function<void(const Error&)> failed_;
  std::mutex mutex_;
  std::vector<std::function<void(Relay&)>> posted_;  // under mutex_
  Relay::ConnectionId last_id_ = 0;                  // under mutex_
  std::atomic<bool> stopped_{false};
  std::thread thread_;
};

}  // namespace flodea::control
