// Counts and times every call of one agent, whatever its method: a gRPC interceptor, so that no
// module needs code for it. Methods that no module has share the label "unknown".
#pragma once

#include <grpcpp/support/server_interceptor.h>

#include <array>
#include <atomic>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "supervisor/control/agents/gateway.h"

namespace flodea::control {

// "/flodea.kernel.v1.Clock/Now", … of the services that the gateway hosts.
using MethodNames = std::set<std::string, std::less<>>;
MethodNames hosted_methods();

// Thread-safe. What it refers to outlives it.
class CallMeter {
 public:
  CallMeter(AgentId agent, const Clock& clock, const CallObserver& observer,
            const MethodNames& methods)
      : agent_(std::move(agent)), clock_(clock), observer_(observer), methods_(methods) {}

  const Clock& clock() const { return clock_; }
  void began() { calls_.fetch_add(1, std::memory_order_relaxed); }
  // The method's name as a label, or "unknown"; valid as long as the meter's list of methods.
  std::string_view label_of(std::string_view method) const;
  void ended(std::string_view label, grpc::StatusCode code, Nanos duration);

  std::uint64_t calls() const { return calls_.load(std::memory_order_relaxed); }
  std::map<std::string, std::uint64_t> calls_by_code() const;

 private:
  AgentId agent_;
  const Clock& clock_;
  const CallObserver& observer_;
  const MethodNames& methods_;
  std::atomic<std::uint64_t> calls_{0};
  std::array<std::atomic<std::uint64_t>, 17> by_code_{};  // by grpc::StatusCode
};

class CallMeterFactory final : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit CallMeterFactory(std::shared_ptr<CallMeter> meter) : meter_(std::move(meter)) {}
  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo* info) override;

 private:
  std::shared_ptr<CallMeter> meter_;
};

}  // namespace flodea::control
