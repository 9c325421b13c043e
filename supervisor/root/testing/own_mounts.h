// A mount namespace in the place of the host's: what others mount meanwhile is not seen in it, and
// what flodead would leave on the host is found in it.
#pragma once

#include <string>

namespace flodea::root::testing {

// Moves this process (single-threaded, root) into it. Mounts are shared in it, as under systemd:
// one that a child lets slip out of a namespace of its own arrives here.
void enter_own_mount_namespace();

// /proc/PID/mountinfo of a process that stays in this process's mount namespace, wherever this
// process goes, and ends with it.
std::string keep_mountinfo();

}  // namespace flodea::root::testing
