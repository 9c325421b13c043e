// Agents as operators see them.
#include <algorithm>

#include "base/text.h"
#include "supervisor/control/operators/spec_codec.h"
#include "supervisor/control/operators/wire_time.h"

namespace flodea::control {
namespace {

namespace pb = operators::v1;

pb::Usage encode_usage(const AgentUsage& usage) {
  pb::Usage wire;
  wire.set_cpu_nanos(usage.cpu_nanos);
  wire.set_memory_bytes(usage.memory_bytes);
  wire.set_memory_peak_bytes(usage.memory_peak_bytes);
  wire.set_pids(usage.pids);
  wire.set_disk_used_bytes(usage.disk_used_bytes);
  wire.set_disk_size_bytes(usage.disk_size_bytes);
  wire.set_calls(usage.calls);
  wire.set_calls_throttled(usage.calls_throttled);
  wire.set_log_bytes(usage.log_bytes);
  wire.set_log_dropped(usage.log_dropped);
  wire.set_log_throttled_nanos(
      static_cast<std::uint64_t>(std::max<std::int64_t>(0, usage.log_throttled.count())));
  wire.mutable_denied_syscalls()->insert(usage.denied_syscalls.begin(),
                                         usage.denied_syscalls.end());
  wire.set_worker_pid(usage.worker_pid);
  wire.set_read_nanos(static_cast<std::uint64_t>(usage.read.count()));
  return wire;
}

void encode_times(const AgentView& view, pb::Agent& wire) {
  *wire.mutable_state_since() = encode_time(view.state_since);
  *wire.mutable_created() = encode_time(view.created);
  if (view.next_start) *wire.mutable_next_start() = encode_time(*view.next_start);
  for (const PhaseTime& phase : view.start_phases) {
    pb::Phase* out = wire.add_start_phases();
    out->set_name(phase.name);
    out->set_nanos(static_cast<std::uint64_t>(std::max<std::int64_t>(0, phase.duration.count())));
  }
}

void encode_health(const HealthView& health, pb::Health& wire) {
  wire.set_startup(health.startup);
  wire.set_readiness(health.readiness);
  wire.set_liveness(health.liveness);
  wire.set_message(replace_invalid_utf8(health.message));
}

void encode_sandbox(const AgentView& view, pb::Agent& wire) {
  if (view.seccomp_profile.empty() && view.uid_base == 0) return;
  pb::Sandbox* sandbox = wire.mutable_sandbox();
  sandbox->set_uid_base(view.uid_base);
  sandbox->set_seccomp_profile(view.seccomp_profile);
  sandbox->set_volume_backend(view.volume_backend);
  sandbox->set_landlock_abi(view.landlock_abi);
  sandbox->mutable_missing()->Add(view.missing.begin(), view.missing.end());
}

}  // namespace

pb::State encode_state(AgentState state) {
  switch (state) {
    case AgentState::kPending:
      return pb::STATE_PENDING;
    case AgentState::kPreparing:
      return pb::STATE_PREPARING;
    case AgentState::kStarting:
      return pb::STATE_STARTING;
    case AgentState::kRunning:
      return pb::STATE_RUNNING;
    case AgentState::kStopping:
      return pb::STATE_STOPPING;
    case AgentState::kStopped:
      return pb::STATE_STOPPED;
    case AgentState::kBackoff:
      return pb::STATE_BACKOFF;
    case AgentState::kFailed:
      return pb::STATE_FAILED;
  }
  return pb::STATE_UNSPECIFIED;
}

pb::Agent encode_agent(const AgentView& view) {
  pb::Agent wire;
  wire.set_name(view.manifest.name);
  wire.set_id(view.id.text());
  wire.mutable_labels()->insert(view.manifest.labels.begin(), view.manifest.labels.end());
  *wire.mutable_spec() = encode_spec(view.manifest.spec);
  wire.set_state(encode_state(view.state));
  wire.set_reason(replace_invalid_utf8(view.reason));
  wire.set_message(replace_invalid_utf8(view.message));
  wire.set_desired_running(view.desired_running);
  wire.set_generation(view.generation.value);
  wire.set_restarts(view.restarts);
  wire.set_revision(view.revision);
  wire.set_proven_revision(view.proven_revision);
  wire.set_frozen(view.frozen);
  wire.set_observed_revision(view.observed_revision);
  if (view.exit_code) wire.set_exit_code(*view.exit_code);
  if (view.usage) *wire.mutable_usage() = encode_usage(*view.usage);
  if (view.health) encode_health(*view.health, *wire.mutable_health());
  encode_times(view, wire);
  encode_sandbox(view, wire);
  return wire;
}

}  // namespace flodea::control
