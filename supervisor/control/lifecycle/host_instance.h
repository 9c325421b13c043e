// One instance as HostEffects keeps it: what flodead handed over, and how far it is. Hears its
// worker. Core thread only.
#pragma once

#include "base/mapped_status_page.h"
#include "supervisor/control/lifecycle/health_watch.h"
#include "supervisor/control/lifecycle/host_effects.h"

namespace flodea::control {

// What an instance needs of HostEffects, which outlives it.
struct InstanceSurroundings {
  EventLoop& loop;
  const Clock& clock;
  EffectEvents& events;
  Epoch epoch;
  std::function<void(const InstanceKey&, const std::string& reason)> kill;
  std::function<std::optional<CgroupStrain>(const AgentId&)> strain;
  std::shared_ptr<CallMarks> marks;
};

struct HostInstance final : WorkerEvents {
  HostInstance(InstanceSurroundings around, StartOrder start_order)
      : surroundings(std::move(around)), order(std::move(start_order)), health(health_sources()) {}

  InstanceKey key() const { return {order.id, order.generation}; }
  // Makes the link to the worker and sends what to launch (ignored by one whose agent runs).
  Status attach(UniqueFd socket, UniqueFd calls);
  void attach_again(UniqueFd calls);
  // The status page, or nothing when it is not there or cannot be trusted.
  std::optional<StatusSnapshot> snapshot() const;
  std::optional<Nanos> executed_at() const;  // monotonic, by the page
  LaunchOrder launch_order() const;
  HealthSources health_sources();
  void begin_health(Nanos executed);
  Nanos monotonic_of(Nanos boot) const;

  void on_hello(const WorkerHello& hello) override;
  void on_started(Nanos exec_boot, std::vector<PhaseTime> worker_phases) override;
  void on_refused(const std::string& why) override;
  void on_denied(const std::vector<DeniedSyscall>& calls) override;
  void on_probe_result(ProbeKind kind, const std::string& output) override;
  void on_probe_slow(ProbeKind kind) override;

  InstanceSurroundings surroundings;
  StartOrder order;
  std::unique_ptr<WorkerLink> link;
  std::optional<StatusPageReader> page;
  HealthWatch health;  // reads the page
  UniqueFd log_pipe;   // until the log store has it
  std::vector<PhaseTime> phases;
  std::int32_t worker_pid = 0;
  bool sent = false;        // flodead was asked for it
  bool is_present = false;  // flodead's reply is here
  bool gateway_attached = false;
  bool log_attached = false;
  bool releasing = false;
  bool release_sent = false;
  int parts_in_use = 0;  // of gateway and log, while releasing
  int log_attempts = 0;
  Nanos retry_delay = std::chrono::seconds(1);
  std::optional<InstanceExit> exit;  // seen
};

}  // namespace flodea::control
