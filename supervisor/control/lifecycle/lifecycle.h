// What the operators' API needs of the lifecycle: desired state in, agents as they are out.
// Implemented by Engine (engine.h). Every method is thread-safe; callbacks run on the core thread
// and must not block.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "policy/agent_spec.h"

namespace flodea::control {

enum class AgentState {
  kPending,
  kPreparing,
  kStarting,
  kRunning,
  kStopping,
  kStopped,
  kBackoff,
  kFailed
};
const char* state_name(AgentState state);  // "running"

struct PhaseTime {
  std::string name;
  Nanos duration{};
};

struct AgentUsage {
  std::uint64_t cpu_nanos = 0, memory_bytes = 0, memory_peak_bytes = 0;
  std::uint32_t pids = 0;
  std::uint64_t disk_used_bytes = 0, disk_size_bytes = 0;
  std::uint64_t calls = 0, calls_throttled = 0, log_bytes = 0, log_dropped = 0;
  Nanos log_throttled{};
  std::map<std::string, std::uint64_t> denied_syscalls;
  std::uint32_t worker_pid = 0;
  std::uint32_t landlock_abi = 0;  // that its worker says holds it; 0: none
  Nanos read{};                    // monotonic: when
};

// Each "ok", "failing (2 of 3)", "unknown", or empty when the manifest does not ask for it.
struct HealthView {
  std::string startup, readiness, liveness;
  std::string message;  // of the last failure
  bool operator==(const HealthView&) const = default;
};

struct AgentView {
  AgentId id;
  AgentManifest manifest;
  std::uint64_t revision = 1;
  std::uint64_t proven_revision = 0;
  std::uint64_t observed_revision = 0;  // that its instance, or the last one, runs
  bool desired_running = true;
  bool frozen = false;  // for want of memory of the host
  AgentState state = AgentState::kPending;
  std::string reason;
  std::string message;
  Generation generation;
  std::uint32_t restarts = 0;
  Nanos state_since{};  // wall
  Nanos created{};
  std::optional<int> exit_code;
  std::optional<Nanos> next_start;  // wall
  std::vector<PhaseTime> start_phases;
  std::optional<AgentUsage> usage;   // while it runs
  std::optional<HealthView> health;  // while an instance is judged
  std::uint32_t uid_base = 0;
  std::string seccomp_profile;
  std::string volume_backend;        // "vault", "luks"
  std::uint32_t landlock_abi = 0;    // in force, while it runs
  std::vector<std::string> missing;  // what this host cannot enforce
};

struct ApplyOutcome {
  enum class Kind { kCreated, kChanged, kUnchanged } kind = Kind::kCreated;
  AgentView agent;
};

// Whether somebody still wants the answer; empty: yes. Any thread, and it must not block.
using StillWanted = std::function<bool()>;

// How an operator asks. `by` is who it is, as events tell it: "uid 1000"; empty: not known.
struct Asked {
  Asked(bool wait,
        std::string by = {},  // NOLINT(google-explicit-constructor): a wait alone will do
        StillWanted wanted = {})
      : wait(wait), by(std::move(by)), wanted(std::move(wanted)) {}
  bool wait = false;  // answer when it is so, not when it is wanted
  std::string by;
  StillWanted wanted;
};

struct ApplyOptions {
  bool start = false;  // also where an operator stopped it
  bool wait = false;
  std::string by;
  StillWanted wanted;
};

// An error of one manifest of several: its field begins with "manifests[N].".
inline Error of_manifest(Error error, std::size_t index) {
  error.field =
      "manifests[" + std::to_string(index) + "]" + (error.field.empty() ? "" : "." + error.field);
  return error;
}

// A manifest that an agent has or had.
struct RevisionView {
  AgentManifest manifest;
  std::uint64_t revision = 1;
  Nanos created{};  // wall; 0: not known
  std::string author;
  std::string digest;  // of the manifest: "sha256:…"
  bool current = false;
  bool restorable = true;  // its bundle is still stored
};

struct RollbackOrder {
  std::string name;
  std::uint64_t revision = 0;  // 0: the one before the current
};

struct RemovalReceipt {
  AgentId id;
  std::string key_digest;
  Nanos destroyed{};
};

struct ServiceStatus {
  std::string name;
  bool up = true;
  std::uint64_t restarts = 0;
};

struct NodeStatus {
  std::string kernel, cgroup, volume_backend, boot_id;
  std::uint32_t landlock_abi = 0;
  bool vault_takeover = false;
  std::uint64_t memory_bytes = 0;
  std::uint32_t cpus = 0;
  std::map<std::string, std::string> runtimes;
  std::vector<std::string> missing, limits;
  Epoch epoch;
  Nanos started{};  // wall, of this control
  std::uint64_t memory_promised = 0, disk_promised = 0, disk_free = 0;
  std::vector<ServiceStatus> services;
  std::map<std::string, std::uint64_t> kept_volumes;  // bytes by the name of who had it
};

class Lifecycle {
 public:
  template <class T>
  using Callback = std::function<void(Result<T>)>;
  virtual ~Lifecycle() = default;

  // Answers once the desired state is on disk; with `wait`, once the agent runs, has stopped by
  // itself, or has failed (the view says which).
  virtual void apply(AgentManifest manifest, ApplyOptions options, Callback<ApplyOutcome> done) = 0;
  // What applying them all would answer, in their order; nothing is stored, prepared or started.
  // Each is judged with the others in mind; the field of an error begins with "manifests[N].".
  virtual void plan(std::vector<AgentManifest> manifests,
                    Callback<std::vector<ApplyOutcome>> done) = 0;
  // As an `apply` that waits, for what was applied before. kAborted: that revision (0: the
  // current one) was put back or replaced, or the agent is being removed.
  virtual void await(std::string name, std::uint64_t revision, Asked asked,
                     Callback<AgentView> done) = 0;
  // Applies the manifest of an earlier revision as a new one.
  virtual void rollback(RollbackOrder order, Asked asked, Callback<ApplyOutcome> done) = 0;
  virtual void start(std::string name, Asked asked, Callback<AgentView> done) = 0;
  virtual void stop(std::string name, Asked asked, Callback<AgentView> done) = 0;
  virtual void restart(std::string name, Asked asked, Callback<AgentView> done) = 0;
  virtual void remove(std::string name, bool keep_data, std::string by,
                      Callback<RemovalReceipt> done) = 0;
  virtual void get(std::string name, Callback<AgentView> done) = 0;
  // Those of these names that there are, without their usage.
  virtual void look(std::vector<std::string> names, Callback<std::vector<AgentView>> done) = 0;
  // Newest first.
  virtual void revisions(std::string name, Callback<std::vector<RevisionView>> done) = 0;
  virtual void list(Callback<std::vector<AgentView>> done) = 0;
  virtual void node(Callback<NodeStatus> done) = 0;
};

}  // namespace flodea::control
