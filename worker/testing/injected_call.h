// A system call that a process makes against its will: ptrace(2) puts it in place of the wait that
// the process is in. What its seccomp filter says then is what it would say to an attacker inside.
#pragma once

#include <array>
#include <cstdint>

#include "base/pid_fd.h"

namespace flodea::worker::testing {

struct InjectedCall {
  long number = 0;
  std::array<std::uint64_t, 3> arguments{};
  // Placed in the process's memory, its address the second argument; at most 7 bytes.
  const char* path = nullptr;
};

// What the call returned to the main thread of a child of ours: -errno, or its result. The process
// goes no further and can only be killed. x86-64 only, else kUnimplemented.
Result<long> inject(const PidFd& process, const InjectedCall& call);

}  // namespace flodea::worker::testing
