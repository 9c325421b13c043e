// Starts the agent: fork, the last restrictions, execve. What is prepared in the parent needs no
// allocation after the fork; what the child does is in launch_child.cc. Isolation rests on the
// child's steps all succeeding: any failure ends it before execve.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/pid_fd.h"
#include "worker/landlock_domain.h"
#include "worker/prober.h"
#include "worker/seccomp_filter.h"

namespace flodea::worker {

inline constexpr Nanos kMinProbePeriod = std::chrono::milliseconds(100);

struct ProbePlan {
  ProbeKind kind = ProbeKind::kStartup;
  std::vector<std::string> command;
  Nanos every{};        // from one beginning to the next
  Nanos first_every{};  // the same, until it first succeeds
  Nanos timeout{};
};

struct LaunchPlan {
  std::string executable;  // absolute
  std::vector<std::string> argv;
  std::vector<std::string> env;  // KEY=VALUE; FLODEA_FD is added
  std::string cwd;               // absolute
  std::uint32_t uid = 0;         // never 0 in a plan
  std::uint32_t gid = 0;
  std::uint32_t open_files = 0;  // RLIMIT_NOFILE
  std::uint32_t processes = 0;   // RLIMIT_NPROC, 0: none
  bool drop_logs = false;
  std::vector<ProbePlan> probes;  // at most one of a kind
};
Status check_plan(const LaunchPlan& plan);

// The steps of the child, in order; the one that failed names the error.
enum class LaunchStep : std::int32_t {
  kExec = 0,  // its record says when: the last thing before execve, and again if that failed
  kSession,
  kDescriptors,
  kSignals,
  kLimits,
  kIdentity,
  kDirectory,
  kCapabilities,
  kNoNewPrivileges,
  kLandlock,
  kFilter,
  kListener,
  kProber,
};
const char* step_name(LaunchStep step);

// What the child writes to its report pipe, at most twice.
struct LaunchReport {
  LaunchStep step;
  std::int32_t error;    // errno; 0: about to execve
  std::int64_t boot_ns;  // CLOCK_BOOTTIME
};

struct Launched {
  PidFd process;   // not reaped by PidFd: the worker reaps every child as PID 1
  UniqueFd calls;  // the worker's end of the agent's JSON-RPC socket
  UniqueFd stdout_pipe;
  UniqueFd stderr_pipe;
  UniqueFd report;    // LaunchReports; EOF once execve has succeeded or the child is gone
  UniqueFd prober;    // SEQPACKET (prober.h); invalid without probes
  UniqueFd listener;  // SEQPACKET: one message with the seccomp listener. Invalid when the filter
                      // reports nothing
};

Result<Launched> launch_agent(const LaunchPlan& plan, const LandlockDomain& domain,
                              const SeccompFilter& filter);

// --- for launch_child.cc ---
struct ChildPlan {
  const char* executable;
  char* const* argv;
  char* const* envp;
  const char* cwd;
  std::uint32_t uid, gid;
  std::uint64_t open_files, processes;
  const SeccompFilter* filter;
  // Descriptors as they are at the fork, each above kFirstFreeFd.
  int dev_null, stdout_fd, stderr_fd, calls, report;
  int ruleset, listener, prober;  // -1: none
  const ProberPlan* probes;
};
// Numbers in the child: 0–3 are the agent's, these close on exec, all above is closed.
inline constexpr int kReportFd = 4;
inline constexpr int kRulesetFd = 5;
inline constexpr int kListenerFd = 6;
inline constexpr int kProberFd = 7;
inline constexpr int kFirstFreeFd = 8;

[[noreturn]] void run_child(const ChildPlan& plan);

}  // namespace flodea::worker
