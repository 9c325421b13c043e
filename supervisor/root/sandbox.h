// The parent's half of a sandbox start: mounts that are attached nowhere, the clone into fresh
// namespaces, uid maps, idmapped layers. Thread: flodead's only one. It is in another network
// namespace for the time of one clone3. Blocks for about two milliseconds.
//
// What weakens isolation: nothing here can be switched off. A tree of the host that its file system
// cannot map to other ids, or a file of it that was replaced during the start, is shown with
// unmapped owners (readable as others may read it), never with the host's ids writable.
#pragma once

#include <string>
#include <vector>

#include "base/cgroup.h"
#include "base/pid_fd.h"
#include "supervisor/root/sandbox_child.h"
#include "supervisor/root/uid_ranges.h"

namespace flodea::root {

struct PhaseTime {
  std::string name;
  std::uint64_t nanos = 0;
};

// A read-only tree of the host that every sandbox shows.
struct HostTree {
  std::string source;  // absolute, or relative to the stage
  std::string target;  // relative to the stage: "root/usr"
  bool devices = false;
};

// What all sandboxes share; made once.
struct SandboxTemplate {
  std::string skeleton;  // directory: the lower layer below the bundle
  std::vector<HostTree> trees;
  UniqueFd worker;     // the executable
  UniqueFd own_netns;  // flodead's, to come back to
};

struct SandboxRequest {
  std::string hostname;
  UidRange range;
  std::uint64_t tmp_bytes = 0;
  std::uint64_t open_files = 0;
  int bundle = -1;          // directory
  std::vector<int> layers;  // directories above it, the first on top; at most kMaxLayers
  int netns = -1;
  int volume = -1;  // detached mount with upper/ and work/
  std::array<int, kWorkerFds> worker_fds{};
  const Cgroup* group = nullptr;
};

struct LaunchedSandbox {
  PidFd worker;
  UniqueFd report;         // read end: ChildReports, then end of file once the worker is executed
  std::int64_t go_ns = 0;  // CLOCK_MONOTONIC, before the child was told to go on
  std::vector<PhaseTime> phases;
};

// flodead's working directory must be the stage. On an error nothing is left but perhaps a dying
// child, which `reap` is given.
Result<LaunchedSandbox> launch_sandbox(const SandboxTemplate& shared,
                                       const SandboxRequest& request);

// What the report pipe said, once it has ended: the phases of the child, or the step that failed.
struct SetupOutcome {
  bool executed = false;
  std::string failed_step;
  int error = 0;
  std::vector<PhaseTime> phases;
};
SetupOutcome read_setup_outcome(std::string_view bytes, std::int64_t go_ns);

}  // namespace flodea::root
