// The child's half of a sandbox start: from clone3 to execve of the worker. Everything is computed
// by the parent; here nothing is allocated, locked or logged: each step is system calls, and an
// error leaves by one write on the report pipe and _exit.
#pragma once

#include <sys/mount.h>

#include <array>
#include <cstdint>

#include "base/fd_layout.h"

namespace flodea::root {

// In the order they are done; `kSteps` names them for messages and phases.
enum class Step : std::uint32_t {
  kWait,
  kIdentity,
  kLayers,
  kOverlay,
  kMounts,
  kProc,
  kPivot,
  kHome,
  kHostname,
  kDescriptors,
  kLimits,
  kPrivileges,
  kExec,
  kCount
};
inline constexpr std::size_t kStepCount = static_cast<std::size_t>(Step::kCount);
inline constexpr std::array<const char*, kStepCount> kStepNames{
    "wait", "identity", "layers",      "overlay", "mounts",     "proc", "pivot",
    "home", "hostname", "descriptors", "limits",  "privileges", "exec"};

// One per pipe write: before exec with error 0 and the time at which each step ended, after a
// failure with the step and errno.
struct ChildReport {
  std::uint32_t step = 0;
  std::int32_t error = 0;
  std::array<std::int64_t, kStepCount> ended_ns{};  // CLOCK_MONOTONIC
};

struct TreeMount {
  int tree = -1;                 // a detached mount, made by open_tree(2) or fsmount(2)
  const char* target = nullptr;  // relative to the stage
  const char* source = nullptr;  // the host's, where a file may have been replaced since; else null
};

// Of trees that nobody writes to.
inline constexpr std::uint64_t kReadOnly = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;

// First uid and gid in the sandbox: its root is the worker, 1000 the agent.
inline constexpr unsigned kAgentUid = 1000;
inline constexpr unsigned kAgentGid = 1000;
inline constexpr int kWorkerFds = fd_layout::worker::kLast - fd_layout::worker::kAttach + 1;

// Bundles above the agent's own, that Flodea made.
inline constexpr std::size_t kMaxLayers = 4;

struct ChildPlan {
  int go = -1;       // one byte from the parent: the maps are written, the mounts mapped
  int go_peer = -1;  // the parent's end of it, closed here: so a dead parent is end of file
  int report = -1;   // ChildReport
  std::array<TreeMount, 3 + kMaxLayers>
      layers{};  // bundle, skeleton, the volume's tree, layers above the bundle; unused: tree -1
  const char* overlay_options = nullptr;
  std::array<TreeMount, 12>
      mounts{};  // read-only trees of the host, below the overlay; unused ones have tree -1
  const char* tmp_options = nullptr;
  const char* hostname = nullptr;
  std::size_t hostname_length = 0;
  std::uint64_t open_files = 0;
  std::array<int, kWorkerFds> worker_fds{};  // for fd_layout::worker, from kAttach on; -1: none
  int executable = -1;
  const char* const* argv = nullptr;
  const char* const* envp = nullptr;
};

// The stage: the directory in which flodead and, after clone3, the child stand. Its entries are
// only mounted on by children.
inline constexpr const char* kStageBundle = "bundle";
inline constexpr const char* kStageSkeleton = "skeleton";
inline constexpr const char* kStageVolume = "volume";
inline constexpr const char* kStageRoot = "root";
inline constexpr std::array<const char*, kMaxLayers> kStageLayers{"layer0", "layer1", "layer2",
                                                                  "layer3"};
// Behind "lowerdir=" and the layers.
inline constexpr const char* kOverlayOptions =
    "bundle:skeleton,upperdir=volume/upper,workdir=volume/work,userxattr";

[[noreturn]] void run_child(const ChildPlan& plan);

}  // namespace flodea::root
