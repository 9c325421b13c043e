// One agent as the engine keeps it in memory: what is stored, what was seen, and who waits. Core
// thread only.
#pragma once

#include "supervisor/control/lifecycle/admission.h"
#include "supervisor/control/lifecycle/engine.h"
#include "supervisor/control/lifecycle/start_queue.h"

namespace flodea::control {

struct Engine::Wait {
  // kRuns: or has ended by itself. kProven: and, where an earlier revision would be put back, not
  // before this one is proven.
  Until until = Until::kRuns;
  std::uint64_t incarnation = 0;  // of which it must be
  std::uint64_t revision = 0;     // which must be the current one; 0: any
  StillWanted wanted;
  Callback<AgentView> done;
};

struct Engine::Agent {
  StoredAgent stored;
  Observed seen;
  std::optional<HealthView> health;  // in words; with a present instance
  Generation held;                   // the instance `seen` speaks of
  Resources held_resources;          // of that instance
  bool admitted = false;             // its next start may begin
  std::optional<Held> held_back;     // why it may not
  bool frozen = false;               // for want of memory of the host
  Nanos looked_at{};                 // monotonic: when `cpu_seen` of `looked_of` was read
  Generation looked_of;
  std::uint64_t cpu_seen = 0;
  std::optional<AgentManifest> fallback;  // of the proven revision, where that is not this one
  struct PutBack {
    std::uint64_t failed = 0;  // revision
    Error why;
  };
  std::optional<PutBack> put_back;  // the last one
  bool settling = false;  // an event from within an effect is seen by the turn that called it
  bool settle_again = false;
  bool destroying = false;
  bool destroy_awaited = false;  // it is tried again by itself
  Nanos destroy_pause{};         // before what could not be destroyed is tried again
  bool unsaved = false;          // `stored` is ahead of the disk
  Nanos store_due{};             // monotonic: not stored again before
  Nanos store_pause{};
  std::string store_trouble;        // why `stored`, or a new instance, could not be stored
  std::optional<AgentUsage> usage;  // as last read
  Generation usage_of;              // the instance it was read of
  Nanos usage_at{};                 // monotonic
  Nanos asked{};                    // CLOCK_BOOTTIME of the request that the next start answers
  std::string asked_by;  // who asked for its desired state; empty after a restart of control
  std::uint32_t uid_base = 0;
  std::vector<PhaseTime> phases;
  std::vector<Wait> waits;
  std::vector<Callback<RemovalReceipt>> removals;
};

// Manifests that are judged as if they were applied already, and what need not be found out again
// for each.
struct Engine::Planned {
  std::map<std::string, const AgentManifest*> manifests;
  std::optional<HostRoom> room;     // less what the volumes of those that come new take
  std::set<std::string> ring_free;  // agents from which no ring of `after` is reached
};

// One at a time for an agent, in the order they came: what they need may take long to make.
struct Engine::Applying {
  AgentManifest manifest;
  ApplyOptions options;
  Callback<ApplyOutcome> done;  // empty once answered
  Nanos asked{};
  std::uint64_t back_to = 0;  // the revision that a rollback takes it from
};

}  // namespace flodea::control
