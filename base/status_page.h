// One page of shared memory per agent instance, written by its worker, read by control and flodead
// (docs/architecture.md). A memfd of kSize bytes sealed SHRINK|GROW|SEAL before the worker gets it:
// an unsealed one would let it SIGBUS the reader. Plain lock-free atomics only; a reader trusts no
// value (a worker may be hostile): ranges are checked, loops are bounded. Never inherited by the
// agent. Versioned: readers refuse another `magic`, and ignore fields past what `version` knows.
#pragma once

#include <atomic>
#include <cstdint>

namespace flodea {

enum class ExitKind : std::uint32_t { kNone = 0, kExited = 1, kSignaled = 2, kExecFailed = 3 };
enum class WorkerPhase : std::uint32_t {
  kBooting = 0,
  kAttached = 1,
  kRunning = 2,
  kStopping = 3,
  kExited = 4
};

enum class ProbeKind : std::uint32_t { kStartup = 0, kReadiness = 1, kLiveness = 2 };
inline constexpr std::uint32_t kProbeKinds = 3;
enum class ProbeOutcome : std::uint32_t {
  kNone = 0,
  kSucceeded = 1,
  kExited = 2,    // with another code than 0
  kSignaled = 3,  // by itself or the agent
  kTimedOut = 4,
  kNotRun = 5,    // no process or pipe to be had, as errno says
  kNoProber = 6,  // what runs the probes is gone: the agent, whose uid it has, may end it
  kNoAnswer = 7   // it is there, and answers not in time
};

// The runs of one probe. The first run is number 1; `runs` is written last (release).
struct ProbeRecord {
  std::atomic<std::uint32_t> failures;   // in a row
  std::atomic<std::uint32_t> succeeded;  // 1: at least once
  std::atomic<std::uint32_t> outcome;    // ProbeOutcome of the last run
  std::atomic<std::uint32_t> value;      // exit code, signal number or errno
  std::atomic<std::uint64_t> begin_ns;   // CLOCK_MONOTONIC of the last run
  std::atomic<std::uint64_t> end_ns;
  std::atomic<std::uint64_t> runs;
};

struct StatusPage {
  static constexpr std::uint32_t kMagic = 0x464c4f44;  // "FLOD"
  static constexpr std::uint32_t kVersion = 1;
  static constexpr std::uint32_t kSize = 4096;
  static constexpr std::uint32_t kDeniedSlots = 64;

  std::atomic<std::uint32_t> magic;
  std::atomic<std::uint32_t> version;
  std::atomic<std::uint32_t> phase;  // WorkerPhase
  std::atomic<std::uint32_t> ready;  // 1 once the agent said so
  std::atomic<std::uint64_t>
      heartbeat_ns;                       // CLOCK_BOOTTIME of the worker's last beat; one a second
  std::atomic<std::uint64_t> started_ns;  // CLOCK_BOOTTIME at execve of the agent
  std::atomic<std::uint64_t> log_seq;  // sequence number of the last frame written to the log pipe
  std::atomic<std::uint64_t> log_dropped;      // lines dropped by policy `drop`
  std::atomic<std::uint64_t> calls;            // module calls forwarded
  std::atomic<std::uint64_t> protocol_errors;  // bad lines from the agent
  std::atomic<std::uint64_t> denied_total;     // refused system calls
  // Exit record: value and time first, kind last (release), so that a reader that sees a kind sees
  // all.
  std::atomic<std::uint32_t> exit_value;  // exit code, signal number, or errno of execve
  std::atomic<std::uint32_t> exit_kind;   // ExitKind
  std::atomic<std::uint64_t> exit_ns;     // CLOCK_REALTIME
  std::atomic<std::uint64_t>
      stop_requested_ns;  // CLOCK_REALTIME of the first stop request, 0 if none
  // Refused system calls by number: slot = number + 1 in the high 32 bits, count in the low 32; 0
  // is free.
  std::atomic<std::uint64_t> denied[kDeniedSlots];
  std::atomic<std::uint32_t> landlock_abi;   // that holds the agent; 0: none, or an older worker
  std::atomic<std::uint32_t> judges_health;  // 1: this worker runs probes and notes beats
  std::atomic<std::uint64_t> agent_beat_ns;  // CLOCK_MONOTONIC of the last Self/Beat; 0: none yet
  ProbeRecord probes[kProbeKinds];
};
static_assert(sizeof(StatusPage) <= StatusPage::kSize);
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

}  // namespace flodea
