// The agents' side of control: one gRPC server per agent instance, on its own socketpair, behind
// the guard. Identity is the socket: the service objects are built with the AgentId; no message
// carries one.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/call_marks.h"
#include "base/ids.h"
#include "base/unique_fd.h"
#include "policy/agent_spec.h"
#include "supervisor/control/guard/frame_scanner.h"
#include "supervisor/control/guard/limit_notice.h"

namespace flodea::control {

struct SelfUsage {
  std::uint64_t cpu_nanos = 0;
  std::uint64_t memory_bytes = 0;
  std::uint64_t memory_peak_bytes = 0;
  std::uint32_t pids = 0;
  std::uint64_t disk_used_bytes = 0;
};

struct StopNotice {
  std::string reason;  // "operator", "shutdown", "replace"
  Nanos deadline{};    // wall time at which it will be killed
};

// What agent.v1.Self needs of the rest of control. Called on gRPC threads: every method is
// thread-safe and never blocks.
class SelfBackend {
 public:
  virtual ~SelfBackend() = default;
  virtual SelfUsage usage(const AgentId& agent) = 0;
  virtual Status log(const AgentId& agent, Generation generation, std::string line) = 0;
  virtual void ready(const AgentId& agent, Generation generation) = 0;
};

struct AgentContext {
  AgentId id;
  Generation generation;
  AgentManifest manifest;
  std::string spec_json;  // for Self/Describe
  std::uint32_t restarts = 0;
  UniqueFd store_directory;  // detached mount of store/, O_PATH
};

struct GatewayUsage {
  std::uint64_t calls = 0;
  std::uint64_t calls_throttled = 0;  // that waited for the agent's rate
  std::map<std::string, std::uint64_t> calls_by_code;
};

// A call that ended, for metrics. `method` is "flodea.kernel.v1.Clock/Now" or "unknown".
using CallObserver = std::function<void(const AgentId&, const std::string& method,
                                        const std::string& code, Nanos duration)>;

class Gateway {
 public:
  virtual ~Gateway() = default;
  // Makes the agent's server and its modules; the descriptor is the worker's end, to be sent with
  // Attach. An earlier attachment of the same agent is ended first. Thread-safe, and does not wait
  // for agents.
  virtual Result<UniqueFd> attach(AgentContext context) = 0;
  // A fresh connection to the same server (worker asked for one: its old one was closed by the
  // guard).
  virtual Result<UniqueFd> reconnect(const AgentId& agent) = 0;
  // Tells the agent's WatchStop streams.
  virtual void notify_stop(const AgentId& agent, const StopNotice& notice) = 0;
  // Ends server and modules, closes the store (synced); `done` runs on a thread of the gateway once
  // no descriptor of the store is open.
  virtual void detach(const AgentId& agent, std::function<void()> done) = 0;
  virtual GatewayUsage usage(const AgentId& agent) const = 0;
};

struct GatewayConfig {
  SelfBackend& self;
  const Clock& clock;
  CallObserver on_call;    // on gRPC's threads: must be quick and not block
  LimitObserver on_limit;  // on a thread of the gateway's own: may block
  // At most once, on a thread of the gateway's: no agent's call passes any more, this process is to
  // end. Must not block.
  std::function<void(const Error&)> on_failure;
  std::shared_ptr<CallMarks> marks = {};  // none: a crash in the midst of a call leaves no trace
  FrameLimits limits = {};
  unsigned disk_threads = 3;  // shared by all agents' stores
};

// What the configuration refers to outlives the gateway. Its destructor ends all agents' servers
// and closes their stores.
Result<std::unique_ptr<Gateway>> make_gateway(GatewayConfig config);

}  // namespace flodea::control
