// What the worker gives up beyond policy/restrict_self.h. Each step is final. Isolation: the agent
// inherits it.
#pragma once

#include "base/result.h"

namespace flodea::worker {

// PID 1 of its PID namespace, and every descriptor of fd_layout.h is there and of its kind; nothing
// above them is open.
Status check_surroundings();
// Bounding, ambient and inheritable sets empty, securebits locked; permitted and
// effective: CAP_KILL, CAP_SETUID, CAP_SETGID. Wants CAP_SETPCAP for the first unless that has been
// done already, and gives it up.
Status keep_three_capabilities();

}  // namespace flodea::worker
