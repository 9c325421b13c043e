// One start of an agent, from Start to Release: it owns what was made for it and undoes it in
// reverse order, also when a step fails. Thread: flodead's. Lives until `release` has ended; the
// supervisor keeps it that long.
#pragma once

#include "base/ids.h"
#include "flodea/root/v1/kept.pb.h"
#include "supervisor/root/earlier_life.h"
#include "supervisor/root/journal.h"
#include "supervisor/root/sandbox.h"
#include "supervisor/root/volumes.h"

namespace flodea::root {

// What instances are made with; wired in main, outlives them all.
struct InstanceContext {
  EventLoop& loop;
  Volumes& volumes;
  const CgroupTree& cgroups;
  UidRanges& uids;
  const Journal& journal;
  const SandboxTemplate& sandbox;
  const std::map<std::string, UniqueFd>&
      filters;       // sealed memfds by profile: "worker" and one per runtime
  int bundles = -1;  // directory of bundles
  std::string boot_id;
  std::function<void(const v1::InstanceExited&)> on_exit;
};

// Tasks of the worker itself (its threads), on top of the agent's own limit; that one is the
// worker's to set as RLIMIT_NPROC.
inline constexpr std::uint32_t kWorkerTasks = 32;
// Descriptors of the worker itself, on top of the agent's.
inline constexpr std::uint32_t kWorkerOpenFiles = 256;

class Instance {
 public:
  Instance(InstanceContext& context, const v1::StartRequest& request);

  const AgentId& agent() const { return agent_; }
  Generation generation() const { return generation_; }
  v1::InstanceState state() const { return state_; }
  std::uint64_t memory_bytes() const { return request_.limits().memory_bytes(); }
  const v1::StartReply& start_reply() const { return reply_; }
  const v1::InstanceExited& exit() const { return exit_; }
  std::vector<int> kept_fds() const;  // in StartReply's order

  // STARTING → RUNNING. On an error everything is undone.
  Async<void> start();
  // SIGKILL to all of it; the first reason counts. Before the clone: `start` gives up.
  void kill(const std::string& reason);
  // Resolved when the exit has been seen; at once if it has.
  OneShot<bool> exited();
  OneShot<bool> started();
  Status freeze(std::string_view state);
  // CLOCK_BOOTTIME; 0 removes it.
  Status set_deadline(std::uint64_t boottime_ns);
  // EXITED → gone. The leftovers.
  Async<std::vector<std::string>> release();

  // What the next flodead goes on from: without descriptors, and their numbers in this process.
  v1::KeptInstance kept() const;
  v1::KeptDescriptors kept_descriptors() const;
  // Instead of `start`. On an error its worker is killed, and it is EXITED: there to be released.
  Status adopt(const v1::KeptInstance& kept, InstanceDescriptors descriptors);
  // Neither in the middle of a start nor of an end.
  bool settled() const;

 private:
  std::string name() const { return agent_.text() + "-" + std::to_string(generation_.value); }
  Async<void> make();
  Async<void> launch(OpenVolume& volume);
  Status make_own();
  Status make_kept();
  // The directories whose mounts a sandbox is made of; held until it is.
  struct Bundles {
    UniqueFd own;
    std::vector<UniqueFd> layers;
  };
  Result<Bundles> open_bundles() const;
  Result<SandboxRequest> sandbox_request(const OpenVolume& volume, const Bundles& bundles) const;
  OneShot<std::string> read_report(UniqueFd report);
  Status run(LaunchedSandbox sandbox);
  Status watch_worker();
  Status go_on(const v1::KeptInstance& kept);
  Status write_down() const;
  void note(const std::vector<PhaseTime>& phases);
  void on_worker_end();
  Detached finish(ExitStatus status);
  OneShot<bool> wait_empty();
  OneShot<bool> wait_reaped();
  Async<std::vector<std::string>> undo();
  void settle(std::vector<OneShot<bool>>& waiters);

  InstanceContext& context_;
  v1::StartRequest request_;
  AgentId agent_;
  Generation generation_;
  v1::InstanceState state_ = v1::INSTANCE_STATE_STARTING;
  v1::StartReply reply_;
  v1::InstanceExited exit_;
  std::string kill_reason_;
  std::uint64_t deadline_boottime_ns_ = 0;
  bool ending_ = false;

  // Made in this order, undone in reverse.
  bool journalled_ = false;
  std::optional<UidRange> range_;
  std::optional<Cgroup> group_;
  bool volume_open_ = false;
  OpenVolume volume_;
  FdPair attach_;  // control's end, the worker's
  FdPair log_;     // read, write
  UniqueFd status_page_;
  PidFd worker_;
  UniqueFd deadline_;
  UniqueFd oom_;

  std::vector<OneShot<bool>> start_waiters_;
  std::vector<OneShot<bool>> exit_waiters_;
};

}  // namespace flodea::root
