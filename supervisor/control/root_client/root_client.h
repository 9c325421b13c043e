// Control's side of the root protocol (proto/flodea/root/v1): typed requests to flodead, their
// replies, and its events. Owner: control's core thread; every method and callback runs on it. No
// method blocks: what does not fit the socket waits in a queue. Every request is answered exactly
// once. flodead's verbs are idempotent, so one whose reply does not come is sent again
// (`attempts` times, each after `patience`), and only then answered with kDeadlineExceeded. A reply
// nobody waits for is dropped, its descriptors closed. When flodead is gone every pending request
// ends with kUnavailable and `on_root_lost` is called once.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/cgroup.h"
#include "base/event_loop.h"
#include "base/fd_message.h"
#include "base/ids.h"
#include "supervisor/control/lifecycle/lifecycle.h"

namespace flodea::control {

struct HostFacts {
  Epoch epoch;
  std::string boot_id, kernel, cgroup, volume_backend;
  std::uint32_t landlock_abi = 0, cpus = 0, uid_ranges = 0;
  bool vault_takeover = false;
  std::uint64_t memory_bytes = 0, volumes_free_bytes = 0;
  // What all agents together may have.
  std::uint64_t max_memory_bytes = 0, max_pids = 0;
  std::uint32_t max_agents = 0;
  std::vector<std::string> missing, limits;
  std::map<std::string, std::string> runtimes;
  std::vector<ServiceStatus> services;  // of flodead's table, as they were at its Hello
};

// What StartReply carries: owned by whoever takes it.
struct InstanceFds {
  UniqueFd attach;    // SEQPACKET, control's end
  UniqueFd log_pipe;  // read end
  UniqueFd page;      // sealed memfd
  UniqueFd store;     // O_PATH directory
};
struct StartedInstance {
  std::int32_t worker_pid = 0;
  std::uint32_t uid_base = 0;
  std::vector<PhaseTime> phases;
  std::vector<CgroupPath> cgroups;
  InstanceFds fds;  // empty in a listing
};

struct InstanceExit {
  AgentId agent;
  Generation generation;
  bool signaled = false;
  int value = 0;
  bool status_known = false;
  std::uint64_t oom_kills = 0, memory_peak = 0, cpu_nanos = 0;
  std::string killed_by;
};

struct ListedInstance {
  enum class State { kUnknown, kStarting, kRunning, kExited, kReleasing };
  AgentId agent;
  Generation generation;
  State state = State::kUnknown;
  InstanceExit exit;  // of kExited
};

struct StartRequest {
  AgentId agent;
  Generation generation;
  std::string hostname;
  BundleDigest bundle;
  std::string runtime;
  Resources resources;
  std::uint64_t tmp_bytes = 0;
  std::vector<BundleDigest> layers{};  // above the bundle, the first on top
};

// A program of flodead's table run once (proto/flodea/root/v1, RunJob).
struct JobRequest {
  BundleDigest bundle;
  std::string program;
  std::string input;
  std::vector<std::string> arguments;
  std::uint64_t memory_bytes = 0;
  std::uint32_t seconds = 0;
  std::uint64_t output_bytes = 0;
};
struct EndedJob {
  bool signaled = false;
  int value = 0;
  bool out_of_memory = false;
  UniqueFd output, messages;  // sealed memfds; of one that ran out of memory perhaps none
};

struct ServiceChange {
  std::string service;
  bool up = false;
  std::string why;
  std::uint64_t restarts = 0;
};

class RootEvents {
 public:
  virtual ~RootEvents() = default;
  virtual void on_instance_exited(const InstanceExit& exit) = 0;
  virtual void on_service_changed(const ServiceChange& change) = 0;
  virtual void on_shutdown_requested() = 0;
  virtual void on_root_lost(const Error& why) = 0;
};

class RootClient {
 public:
  template <class T>
  using Callback = std::function<void(Result<T>)>;
  static constexpr int kAttempts = 3;
  static constexpr Nanos kPatience = std::chrono::seconds(30);
  static constexpr Nanos kJobPatience = std::chrono::minutes(15);
  static constexpr Nanos kReloadPatience =
      std::chrono::minutes(2);  // flodead's own bounds are shorter

  // `events` must outlive the client. The socket is made non-blocking.
  static Result<std::unique_ptr<RootClient>> create(EventLoop& loop, UniqueFd socket,
                                                    RootEvents& events, Nanos patience = kPatience);
  virtual ~RootClient();

  void hello(Callback<HostFacts> done);
  void create_volume(const AgentId& agent, std::uint64_t size_bytes,
                     Callback<bool> done);  // true: it was made now
  void start(const StartRequest& request, Callback<StartedInstance> done);
  void adopt(const AgentId& agent, Generation generation, Callback<StartedInstance> done);
  void kill(const AgentId& agent, Generation generation, const std::string& reason,
            Callback<void> done);
  void release(const AgentId& agent, Generation generation,
               Callback<std::vector<std::string>> done);  // leftovers
  void destroy_volume(const AgentId& agent, Callback<RemovalReceipt> done);
  void list(Callback<std::vector<ListedInstance>> done);  // every page
  // Asked once, and waited for as long as the job may take.
  void run_job(const JobRequest& request, Callback<EndedJob> done);
  void set_deadline(const AgentId& agent, Generation generation, Nanos boot, Callback<void> done);
  // `done` hears only of a refusal: when it is not refused, this process is ended.
  void reload(Callback<void> done);
  void freeze(const AgentId& agent, Generation generation, bool frozen, Callback<void> done);

 private:
  class Impl;
  explicit RootClient(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace flodea::control
