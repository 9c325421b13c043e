// Whether an agent that is to be started may be: by what it waits for, and by what the host has
// left beside the agents that are there. Pure. Who is asked first is the engine's
// (engine_queue.cc): the higher priority, then who has waited longer. One that does not fit holds
// up nobody else.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "policy/agent_spec.h"
#include "supervisor/control/lifecycle/lifecycle.h"
#include "supervisor/control/root_client/root_client.h"

namespace flodea::control {

// What instances hold of the host from the moment one is asked for until it is released.
struct HostShare {
  std::uint64_t memory_bytes = 0;  // the sum of their limits
  std::uint64_t pids = 0;
  std::uint32_t agents = 0;
  std::uint32_t starting = 0;  // of them, those whose agent is not executed yet
};

// What all of them may hold at once. Starts at a time: two a core, at least two; more only make
// each of them slower.
HostShare capacity_of(const HostFacts& host);

// An agent that another waits for, as it is.
struct AwaitedAgent {
  std::string name;
  bool exists = false;
  AgentState state = AgentState::kPending;
  std::optional<int> exit_code;
};

enum class Hold { kTurn, kAfter, kMemory, kPids, kAgents };
struct Held {
  Hold by;
  std::string message;  // "waits for agent prices, which is starting"
};

// Nothing: it may be started.
std::optional<Held> held_back(const AgentSpec& spec, const std::vector<AwaitedAgent>& after,
                              const HostShare& used, const HostShare& capacity);

}  // namespace flodea::control
