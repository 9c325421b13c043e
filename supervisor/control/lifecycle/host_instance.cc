#include "supervisor/control/lifecycle/host_instance.h"

#include <spdlog/spdlog.h>

#include <algorithm>

namespace flodea::control {

// One that was adopted had no request.
void HostInstance::begin_health(Nanos executed) {
  bool adopted = order.received == Nanos{};
  if (!releasing && !exit) health.begin(order.manifest.spec, executed, adopted);
}

LaunchOrder HostInstance::launch_order() const {
  const AgentSpec& spec = order.manifest.spec;
  LaunchOrder launch{.plan = {},
                     .open_files = spec.resources.open_files,
                     .pids = spec.resources.pids,
                     .drop_logs = spec.logs.drop_when_full,
                     .startup = spec.startup,
                     .readiness = spec.readiness.probe,
                     .liveness = spec.liveness.probe};
  if (auto runtime = find_runtime(spec.runtime.type))
    launch.plan = (*runtime)->launch_plan(order.manifest);
  return launch;
}

HealthSources HostInstance::health_sources() {
  return {.loop = surroundings.loop,
          .clock = surroundings.clock,
          .page =
              [this] {
                auto read = page ? page->read_health() : Result<HealthSnapshot>(HealthSnapshot{});
                return read ? std::optional(*read) : std::nullopt;
              },
          .strain = [this] { return surroundings.strain(order.id); },
          .report =
              [this](const HealthReport& report) {
                surroundings.events.on_health(order.id, order.generation, report);
              },
          .cannot_judge =
              [this](const std::string& why) {
                surroundings.events.on_health_unjudged(order.id, order.generation, why);
              }};
}

Status HostInstance::attach(UniqueFd socket, UniqueFd calls) {
  link = TRY(WorkerLink::create(surroundings.loop, std::move(socket), surroundings.epoch, *this,
                                CallMarks::add_if_possible(surroundings.marks, order.id)));
  link->attach(launch_order(), std::move(calls));
  return {};
}

void HostInstance::attach_again(UniqueFd calls) {
  if (link) link->attach(launch_order(), std::move(calls));
}

std::optional<StatusSnapshot> HostInstance::snapshot() const {
  if (!page) return std::nullopt;
  auto read = page->read();
  return read ? std::optional(std::move(*read)) : std::nullopt;
}

// What a worker says of time is taken only where it can be true: between the request and now.
Nanos HostInstance::monotonic_of(Nanos boot) const {
  const Clock& clock = surroundings.clock;
  return clock.monotonic() - std::clamp(clock.boot() - boot, Nanos{}, clock.monotonic());
}

std::optional<Nanos> HostInstance::executed_at() const {
  auto seen = snapshot();
  if (!seen || seen->started == Nanos{}) return std::nullopt;
  return monotonic_of(seen->started);
}

void HostInstance::on_hello(const WorkerHello& hello) {
  if (hello.min_protocol > WorkerLink::kProtocol || hello.max_protocol < WorkerLink::kProtocol) {
    spdlog::error(
        "agent={} error=\"its worker ({}) speaks attach protocol {} to {}, this control {}\"",
        order.manifest.name, hello.version, hello.min_protocol, hello.max_protocol,
        WorkerLink::kProtocol);
    return surroundings.kill(key(), "worker");
  }
  // Its execve may have been told to an earlier control.
  auto executed = executed_at();
  if (!executed) return;
  surroundings.events.on_executed(order.id, order.generation, *executed, {});
  begin_health(*executed);
}

void HostInstance::on_started(Nanos exec_boot, std::vector<PhaseTime> worker_phases) {
  exec_boot =
      std::clamp(exec_boot, order.received, std::max(order.received, surroundings.clock.boot()));
  std::vector<PhaseTime> all = phases;
  Nanos total = exec_boot - order.received;
  for (PhaseTime& phase : worker_phases)  // what it says of time goes into everybody's histogram
    all.push_back({"worker " + phase.name, std::min(phase.duration, total)});
  if (order.received != Nanos{}) all.push_back({"total", total});
  Nanos executed = monotonic_of(exec_boot);
  surroundings.events.on_executed(order.id, order.generation, executed, std::move(all));
  begin_health(executed);
}

void HostInstance::on_refused(const std::string& why) {
  spdlog::warn("agent={} error=\"its worker refuses: {}\"", order.manifest.name, why);
}

void HostInstance::on_probe_result(ProbeKind kind, const std::string& output) {
  health.on_result(kind, output);
}

void HostInstance::on_probe_slow(ProbeKind kind) { health.on_slow(kind); }

void HostInstance::on_denied(const std::vector<DeniedSyscall>& calls) {
  std::string text;
  for (const DeniedSyscall& call : calls)
    text += (text.empty() ? "" : ", ") + call.name + " × " + std::to_string(call.count);
  surroundings.events.on_denied(order.id, order.generation, text);
}

}  // namespace flodea::control
