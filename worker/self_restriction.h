// What the worker gives up. Each step is final. Isolation: the agent inherits all but the filter of
// restrict_system_calls.
#pragma once

#include "worker/seccomp_filter.h"

namespace flodea::worker {

// PID 1 of its PID namespace, and every descriptor of fd_layout.h is there and of its kind; nothing
// above them is open.
Status check_surroundings();
// Not readable through /proc, no core, no ptrace.
Status become_undumpable();
// no_new_privs. Bounding, ambient and inheritable sets empty, securebits locked; permitted and
// effective: CAP_KILL, CAP_SETUID, CAP_SETGID. Wants CAP_SETPCAP for the first unless that has been
// done already, and gives it up.
Status keep_three_capabilities();
// For every thread. The worker's filter allows neither fork nor execve: it is loaded once the agent
// has been launched.
Status restrict_system_calls(const SeccompFilter& filter);

}  // namespace flodea::worker
