// What agent.v1.Self asks of control (agents/gateway.h), answered from the meters, the log store
// and the engine. Thread-safe.
#pragma once

#include <functional>

#include "supervisor/control/agents/gateway.h"
#include "supervisor/control/lifecycle/meters.h"
#include "supervisor/control/monitoring/log_store.h"

namespace flodea::control {

class SelfHost final : public SelfBackend {
 public:
  using Ready = std::function<void(const AgentId&, Generation)>;  // on gRPC threads
  SelfHost(const Meters& meters, LogStore& logs, Ready ready)
      : meters_(meters), logs_(logs), ready_(std::move(ready)) {}

  SelfUsage usage(const AgentId& agent) override {
    auto reading = meters_.read(agent);
    if (!reading) return {};
    return {.cpu_nanos = reading->cgroup.cpu_nanos,
            .memory_bytes = reading->cgroup.memory_current,
            .memory_peak_bytes = reading->cgroup.memory_peak,
            .pids = static_cast<std::uint32_t>(reading->cgroup.pids),
            .disk_used_bytes = reading->disk_used};
  }
  Status log(const AgentId& agent, Generation generation, std::string line) override {
    return logs_.append(agent, generation, LogStream::kStructured, std::move(line));
  }
  void ready(const AgentId& agent, Generation generation) override { ready_(agent, generation); }

 private:
  const Meters& meters_;
  LogStore& logs_;
  Ready ready_;
};

}  // namespace flodea::control
