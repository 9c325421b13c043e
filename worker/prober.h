// The prober: a process beside the agent that runs its probes, since the worker can start none once
// the agent runs. Made by the very process that becomes the agent, after its last restriction: it
// has the agent's uid, limits, Landlock domain and filter, and no descriptor but /dev/null and its
// socket. It is not dumpable, so the agent cannot trace it; it can kill it, and harms its own
// health by that. What the worker asks is a number; commands are what they were at the fork. Like
// the rest of the child it makes system calls alone.
#pragma once

#include <array>
#include <cstdint>

#include "base/status_page.h"

namespace flodea::worker {

inline constexpr std::size_t kProbeOutput = 256;  // bytes of its end that are kept

struct ProbeRequest {
  std::uint32_t probe;  // index into ProberPlan
  std::uint32_t run;    // comes back with the answer
};
// One for each request; kSucceeded, kExited, kSignaled, kTimedOut or kNotRun.
struct ProbeAnswer {
  std::uint32_t probe, run;
  ProbeOutcome outcome;
  std::uint32_t value;
  std::uint32_t output_bytes;
  char output[kProbeOutput];
};

struct ProberCommand {
  const char* const* candidates = nullptr;  // paths to try, in order; ends with nullptr
  char* const* argv = nullptr;              // nullptr: there is no such probe
  std::int64_t timeout_ns = 0;
};
struct ProberPlan {
  std::array<ProberCommand, kProbeKinds> commands;
  char* const* envp;
};

// Ends when the worker closes its end of the socket.
[[noreturn]] void run_prober(const ProberPlan& plan, int socket);

}  // namespace flodea::worker
