// Programs of Flodea's own, run once on what nobody trusts, each in a sandbox made for it
// (supervisor/helper/job.h): RunJob of the root protocol. One at a time, so that what they may take
// of the host is bounded by one job's limits. Thread: flodead's.
#pragma once

#include <map>
#include <string>

#include "flodea/root/v1/root.pb.h"
#include "supervisor/root/agent_turns.h"
#include "supervisor/root/helpers.h"
#include "supervisor/root/journal.h"
#include "supervisor/root/uid_ranges.h"

namespace flodea::root {

// A row of the table: the name is also that of its system-call profile.
struct JobProgram {
  const char* name;
  const char* executable;  // beside flodead; a build may be without it
};
inline constexpr JobProgram kJobPrograms[] = {{"wasm-compiler", "flodea-wasmc"},
                                              {"unpacker", "flodea-unpack"}};

// Wired in main; all outlive the jobs.
struct JobContext {
  EventLoop& loop;
  Helpers& helpers;
  const CgroupTree& cgroups;
  UidRanges& uids;
  const Journal& journal;
  const std::map<std::string, UniqueFd>& filters;  // sealed memfds by profile
  std::map<std::string, UniqueFd> programs;        // by name; those that are there
  int bundles = -1;                                // directory of bundles
  std::string boot_id;
  std::uint32_t cpu_millis = 0;  // all the host has
};

struct JobResult {
  v1::RunJobReply reply;
  std::vector<UniqueFd> fds;  // standard output, standard error
};

class Jobs {
 public:
  explicit Jobs(JobContext context);

  // `request` was checked by decode_request. Whatever happens, nothing of the job is left, or it is
  // logged as a leftover and its uid range stays taken.
  // `admit` hears its memory when its turn has come, and may refuse it.
  Async<JobResult> run(v1::RunJobRequest request, std::function<Status(std::uint64_t)> admit);
  // Kills the job under way; returns when nothing is left of any. Those that waited are to be
  // refused by their `admit`.
  Async<void> end();
  // Memory that the job under way may take.
  std::uint64_t memory_bytes() const { return memory_bytes_; }

 private:
  struct Held;
  Async<JobResult> run_alone(const v1::RunJobRequest& request, Held& held);
  Async<void> undo(Held& held);
  OneShot<bool> turn();
  void pass_on();

  JobContext context_;
  std::deque<OneShot<bool>> waiting_;  // the first has its turn
  std::uint64_t count_ = 0;
  std::uint64_t memory_bytes_ = 0;
  const Cgroup* running_ = nullptr;  // of the job under way
};

}  // namespace flodea::root
