// Who made a change of state happen, as its event tells: the operator who asked, the agent itself,
// its policy (restart, health, quota), or the host. Pure.
#pragma once

#include <string>

#include "supervisor/control/lifecycle/machine.h"

namespace flodea::control {

// `asked_by`: who last asked for the agent's desired state ("uid 1000"), or empty.
std::string cause_of(const Record& record, const std::string& asked_by);

}  // namespace flodea::control
