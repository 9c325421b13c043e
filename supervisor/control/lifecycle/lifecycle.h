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
};

class Lifecycle {
 public:
  template <class T>
  using Callback = std::function<void(Result<T>)>;
  virtual ~Lifecycle() = default;

  // Answers once the desired state is on disk; with `wait`, once the agent runs, has stopped by
  // itself, or has failed (the view says which).
  virtual void apply(AgentManifest manifest, bool start, bool wait,
                     Callback<ApplyOutcome> done) = 0;
  virtual void start(std::string name, bool wait, Callback<AgentView> done) = 0;
  virtual void stop(std::string name, bool wait, Callback<AgentView> done) = 0;
  virtual void restart(std::string name, bool wait, Callback<AgentView> done) = 0;
  virtual void remove(std::string name, bool keep_data, Callback<RemovalReceipt> done) = 0;
  virtual void get(std::string name, Callback<AgentView> done) = 0;
  virtual void list(Callback<std::vector<AgentView>> done) = 0;
  virtual void node(Callback<NodeStatus> done) = 0;
};

}  // namespace flodea::control
