// A job: one of Flodea's programs on input that nobody trusts (an agent's module, its packages), in
// a sandbox made for this one time. The calling process must be in the job's cgroup and becomes
// useless for anything else: it leaves the host's namespaces for good. Blocks until the job has
// ended; whoever started this process kills the cgroup at the job's deadline.
//
// What holds the job: fresh mount, network, PID, IPC, UTS and cgroup namespaces; a root that is an
// empty read-only tmpfs with the bundle at /bundle (read-only, noexec, nosuid, nodev); a uid that
// is nobody else's; no capability, no_new_privs, its seccomp filter; descriptors 0 to 2 only; the
// cgroup's memory, in which what it writes counts too. No setting weakens it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/pid_fd.h"

namespace flodea::helper {

struct JobPlan {
  int program = -1;                    // a static executable
  int filter = -1;                     // sealed memfd of struct sock_filter
  int bundle = -1;                     // directory
  std::string name;                    // argv[0]
  std::vector<std::string> arguments;  // after it
  std::string input;                   // file of the bundle for descriptor 0; empty: an empty one
  uid_t uid = 0;                       // and gid
  std::uint64_t output_bytes = 0;      // beyond it writing fails with EFBIG
};

struct EndedJob {
  // Exit code of a child that never became the program: none of Flodea's programs ends with it.
  static constexpr int kNotRun = 125;
  ExitStatus status;
  UniqueFd output;    // what it wrote to descriptor 1: a memfd sealed against every change
  UniqueFd messages;  // the same of descriptor 2
};

Result<EndedJob> run_job(const JobPlan& plan);

}  // namespace flodea::helper
