// The end of a cgroup's processes, without blocking.
#pragma once

#include "base/cgroup.h"
#include "supervisor/root/async.h"

namespace flodea::root {

// Killed processes may still wait for a disk.
inline constexpr Nanos kEmptyDeadline = std::chrono::seconds(10);

// True once nothing runs in it, false at the deadline. `group` must live until then.
OneShot<bool> wait_group_empty(EventLoop& loop, const Cgroup& group);

}  // namespace flodea::root
