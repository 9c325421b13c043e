// What a program of Flodea's gives up of its own accord, before it meets anybody. Each step is
// final.
#pragma once

#include <linux/filter.h>

#include <span>

#include "base/result.h"

namespace flodea {

// No core dump; not readable through /proc and not traceable by its own uid; no new privileges by
// execve.
Status forbid_dumps_and_privileges();
// A compiled filter for every thread there is and will be. Wants no_new_privs, or CAP_SYS_ADMIN.
// kInternal: a thread has a filter of its own and cannot follow; none is restricted then.
Status restrict_system_calls(std::span<const sock_filter> filter);

}  // namespace flodea
