// One agent's side of control: its modules' services, built with its id, their gRPC server, and the
// guarded connection to its worker. Thread-safe.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <mutex>
#include <optional>

#include "modules/agent/self_service.h"
#include "modules/kernel/clock_service.h"
#include "modules/storage/store_service.h"
#include "supervisor/control/agents/call_meter.h"
#include "supervisor/control/guard/guard.h"

namespace flodea::control {

// What all endpoints share.
struct EndpointParts {
  Guard& guard;
  kernel::Sleeper& sleeper;
  SelfBackend& self;
  const Clock& clock;
  const FrameLimits& limits;
  const CallObserver& on_call;
  const MethodNames& methods;
  std::shared_ptr<CallMarks> marks = {};  // none: its calls are not noted
};

class AgentEndpoint {
 public:
  static Result<std::shared_ptr<AgentEndpoint>> create(
      AgentContext context, const EndpointParts& parts,
      std::shared_ptr<SerialExecutor::Strand> disk);

  // A fresh connection, in place of the one before; the worker's end. kResourceExhausted: too
  // often.
  Result<UniqueFd> connect();
  void notify_stop(const StopNotice& notice);
  GatewayUsage usage() const;

  // The end, in this order. The worker sees EOF, and no connection is made any more.
  void disconnect();
  // Waits until every call has ended: on a thread that may wait.
  void shut_down();
  // What waits for the store is dropped and the store closed, then `closed`. Beside shut_down.
  void close_store(std::function<void()> closed);

 private:
  AgentEndpoint(AgentContext context, const EndpointParts& parts, CallMarks::Row mark,
                std::shared_ptr<SerialExecutor::Strand> disk);
  Status start_server();

  // agent.v1.Self's view of the rest of control, for this agent.
  class Self;

  EndpointParts parts_;
  std::shared_ptr<GuardedAgent> guarded_;
  std::shared_ptr<CallMeter> meter_;
  std::unique_ptr<agent::SelfPort> self_;
  agent::StopBoard stop_;
  std::shared_ptr<storage::StoreQueue> store_;
  kernel::ClockService clock_service_;
  storage::StoreService store_service_;
  agent::SelfService self_service_;

  mutable std::mutex mutex_;
  std::optional<Relay::ConnectionId> connection_;  // under mutex_
  TokenBucket connects_;                           // under mutex_
  bool ended_ = false;                             // under mutex_
  std::unique_ptr<grpc::Server> server_;           // under mutex_; last: its calls use the rest
};

}  // namespace flodea::control
