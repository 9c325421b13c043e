// What control gives up before it meets anybody: privileges to gain, dumps, and every system call
// that policy/profiles/control.json does not name. The profile is part of the program: control may
// not be able to open files beside it. Weakens isolation: nothing here; what is allowed stands in
// the profile, with reasons.
#pragma once

#include "base/result.h"

namespace flodea::control {

// No new privileges, no core dumps, not traceable by its own uid. First of all.
Status forbid_dumps_and_privileges();
// The seccomp filter, for all threads there are and will be. Once what needs more has been done.
Status restrict_self();

}  // namespace flodea::control
