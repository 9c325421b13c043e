// Whether and when an agent is started, stopped and started again: one small state machine per
// agent, as a pure function of what should be, what was seen, what is remembered, and the time. No
// I/O, no clock, no randomness of its own: the caller passes them in. The caller (engine.h) stores
// the new record, carries out the actions, tells back what it sees, and steps again until nothing
// changes. Invariant that the property test holds it to: an instance is asked for only when no
// other instance of the agent can exist.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "policy/agent_spec.h"
#include "supervisor/control/lifecycle/lifecycle.h"

namespace flodea::control {

// Why the last change happened. The texts are the API's.
enum class Reason {
  kNone,
  kExitCode,
  kSignal,
  kOom,
  kHealth,
  kPolicy,
  kOperator,
  kQuota,
  kWorker,
  kHost,
  kLost,
  kQuarantine  // see engine_quarantine.cc
};
const char* reason_name(Reason reason);  // "exit code"; kNone is ""

// What an ending means for the restart policy.
enum class Blame {
  kSuccess,    // exit 0
  kFailure,    // counts against max_retries
  kHopeless,   // trying again cannot help: failed at once
  kBlameless,  // the host's doing: started again whatever the policy, not counted
};

// How an instance ended, or why it could not be started.
struct Ending {
  Blame blame = Blame::kFailure;
  Reason reason = Reason::kLost;
  std::string message;  // "exit code 3"
  std::optional<int> exit_code;
};

struct Desired {
  bool running = true;
  bool host_open =
      true;  // false: the supervisor ends; agents are stopped and wait for the next one
  std::uint64_t incarnation =
      1;  // raised to ask for a fresh instance: a changed spec, a restart, a start after a stop
  Restart restart;
  Nanos stop_timeout{};
  Readiness readiness;
  bool startup_probe = false;  // neither readiness nor liveness is judged before it has succeeded
  bool may_start = true;       // false: it waits for its turn, for room, or for another agent
  bool proven = true;          // this revision has run well before
  bool can_put_back = false;   // it has not, and one before it has
};

// What may exist of the agent at flodead's.
enum class Presence {
  kAbsent,     // nothing
  kRequested,  // Start was sent, no reply yet
  kPresent,    // an instance exists
  kEnded,      // it ended, or could not be started (`ending`); awaits Release
  kReleasing,  // Release was sent
};

// What an instance's probes, its beats and its worker's say (health_judge.h).
struct Health {
  bool started = false;      // its start-up probe has succeeded
  Nanos started_at{};        // monotonic: when
  bool ready = false;        // by its readiness probe, now
  std::string hung;          // why it is to be ended; empty: it lives
  bool worker_hung = false;  // `hung` is about its worker
  bool operator==(const Health&) const = default;
};

struct Observed {
  Presence presence = Presence::kAbsent;
  bool cancelled = false;         // kRequested: whoever makes it was told to give up
  std::optional<Nanos> executed;  // monotonic: the agent's own execve succeeded
  bool ready = false;             // it said so (Self/Ready)
  Health health;
  Ending ending;  // with kEnded
};

enum class StopCause { kNone, kOperator, kShutdown, kReplace, kUnready, kHung, kUnhealthy };

// What the machine remembers of an agent. On disk before anything else learns of a change.
struct Record {
  AgentState state = AgentState::kPending;
  Reason reason = Reason::kOperator;
  std::string message;
  Generation generation;          // of the last instance asked for
  std::uint64_t incarnation = 0;  // that this instance was started for
  std::uint32_t in_a_row =
      0;  // restarts without a run of reset_after between them: the exponent of the backoff
  std::uint32_t failures = 0;  // those of them that count against max_retries
  std::uint32_t restarts = 0;  // since an operator last started it
  StopCause stop_cause = StopCause::kNone;
  bool stop_told = false;  // kStopping: the stop (or kill) was sent
  std::optional<AgentState>
      after;  // kStopping: the ending is accounted for; the state that follows once it is released
  std::optional<int> exit_code;  // of the last instance that ended
  Nanos due{};  // monotonic; kBackoff: next start; kStarting: exec deadline; kStopping: kill
  bool operator==(const Record&) const = default;
};

struct Action {
  enum class Kind {
    kStart,
    kCancel,  // a start under way is not wanted any more
    kStop,
    kKill,
    kRelease,
    kProven,   // the revision has run well
    kPutBack,  // it has not: the one before is wanted again
  };
  Kind kind;
  Nanos grace{};       // kStop
  std::string reason;  // kStop, kKill: "operator", "shutdown", "replace", "health", "worker"
};

struct Step {
  Record record;
  std::vector<Action> actions;  // of record.generation
  std::optional<Nanos> wake;    // monotonic: step again then, if nothing happens before
};

inline constexpr Nanos kExecTimeout =
    std::chrono::seconds(20);  // from sandbox made to the agent's execve
inline constexpr Nanos kStopSlack =
    std::chrono::seconds(2);  // after stop_timeout, before the whole cgroup is killed
inline constexpr Nanos kKillAgain = std::chrono::seconds(5);
// A revision that has run for this long, or has ended with exit code 0, is proven: from then on its
// failures are a matter of its restart policy.
inline constexpr Nanos kProvenAfter = std::chrono::seconds(5);

// One step: at most one change of state. `random` is uniform in [0, 1) and only jitters the
// backoff.
Step step(const Desired& desired, const Observed& observed, const Record& record, Nanos now,
          double random);

// Delay before restart number `in_a_row` + 1: initial × 2^in_a_row, at most max, ± 10 %.
Nanos backoff_delay(const Restart& restart, std::uint32_t in_a_row, double random);

bool is_idle(
    AgentState state);  // no instance should exist in it: pending, backoff, stopped, failed

}  // namespace flodea::control
