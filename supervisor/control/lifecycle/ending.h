// How an instance ended, from what flodead saw (the worker's status, the cgroup's counters) and
// what the worker wrote into the status page before. Pure. The page is a hint of a process that may
// have been hostile: it can only change what its own agent is blamed for.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/mapped_status_page.h"
#include "runtimes/runtime.h"
#include "supervisor/control/lifecycle/machine.h"
#include "supervisor/control/root_client/root_client.h"

namespace flodea::control {

// What was started.
struct Launched {
  std::string executable;         // as the launch plan named it, for messages
  OutOfMemorySign out_of_memory;  // its runtime's
  std::uint64_t memory_bytes = 0;
};

// `page`: nothing if it could not be read.
Ending ending_of(const InstanceExit& exit, const std::optional<StatusSnapshot>& page,
                 const Launched& launched);

// Why a Start was refused. What cannot get better by itself is hopeless.
Ending ending_of_failed_start(const Error& error);

}  // namespace flodea::control
