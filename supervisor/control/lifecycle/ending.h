// How an instance ended, from what flodead saw (the worker's status, the cgroup's counters) and
// what the worker wrote into the status page before. Pure. The page is a hint of a process that may
// have been hostile: it can only change what its own agent is blamed for.
#pragma once

#include <optional>
#include <string>

#include "base/mapped_status_page.h"
#include "supervisor/control/lifecycle/machine.h"
#include "supervisor/control/root_client/root_client.h"

namespace flodea::control {

// `page`: nothing if it could not be read. `executable`: what the launch plan named, for messages.
Ending ending_of(const InstanceExit& exit, const std::optional<StatusSnapshot>& page,
                 const std::string& executable);

// Why a Start was refused. What cannot get better by itself is hopeless.
Ending ending_of_failed_start(const Error& error);

}  // namespace flodea::control
