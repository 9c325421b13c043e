// What every sandbox of this flodead is built from, made once below the run-dir and never shown to
// the host's mount namespace:
//   rootfs/  the skeleton: lowest layer of every overlay
//   stage/   the mount points that each child uses in its own mount namespace, and `dev`, the
//   prepared /dev, mounted in flodead's own
// flodead leaves the host's mount namespace for a private one first; mounts of the host still
// arrive in it, none goes back.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "supervisor/root/sandbox.h"

namespace flodea::root {

// Call once, before the first directory is opened: its descriptor stays in the namespace it was
// opened in, where mounts cannot be cloned.
Status leave_host_mount_namespace();

// Makes the skeleton; what is there already is kept if it is right.
Status make_skeleton(int run_dir);

// Makes the stage, mounts the prepared /dev on it and makes it this process's working directory, as
// `launch_sandbox` needs it.
// kMade: by the program that this one was executed in the place of; its /dev is replaced.
enum class Stage { kNew, kMade };
Status enter_stage(int run_dir, Stage stage_is);

// The host's trees that are there: /usr, the prepared /dev, some of /etc, and what Flodea brings
// its agents (SDKs, runtimes of its own).
std::vector<HostTree> host_trees(const std::string& agent_dir);

}  // namespace flodea::root
