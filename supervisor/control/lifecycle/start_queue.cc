#include "supervisor/control/lifecycle/start_queue.h"

#include <algorithm>
#include <limits>

#include "base/quantity.h"

namespace flodea::control {
namespace {

bool is_there(const AwaitedAgent& other) {
  if (!other.exists) return false;
  if (other.state == AgentState::kRunning) return true;
  return other.state == AgentState::kStopped && other.exit_code == 0;
}

std::optional<Held> waits_for(const std::vector<AwaitedAgent>& after) {
  auto missing = std::ranges::find_if_not(after, is_there);
  if (missing == after.end()) return std::nullopt;
  std::string how = missing->exists ? std::string("which is ") + state_name(missing->state)
                                    : "which is not there";
  return Held{Hold::kAfter, "waits for agent " + missing->name + ", " + how};
}

Held no_room(Hold by, const std::string& what, const std::string& wanted, const std::string& left,
             const std::string& of) {
  return {by, "waits for " + what + ": it needs " + wanted + ", " + left + " of " + of +
                  " are not promised to others"};
}

std::uint64_t left_of(std::uint64_t all, std::uint64_t used) { return all > used ? all - used : 0; }

}  // namespace

// A flodead of before does not say: it refuses by itself what is too much.
template <class T>
static T or_no_end(T said) {
  return said != 0 ? said : std::numeric_limits<T>::max();
}

HostShare capacity_of(const HostFacts& host) {
  return {.memory_bytes = or_no_end(host.max_memory_bytes),
          .pids = or_no_end(host.max_pids),
          .agents = or_no_end(host.max_agents),
          .starting = std::max(2u, 2 * host.cpus)};
}

std::optional<Held> held_back(const AgentSpec& spec, const std::vector<AwaitedAgent>& after,
                              const HostShare& used, const HostShare& capacity) {
  if (auto waiting = waits_for(after)) return waiting;
  const Resources& needs = spec.resources;
  std::uint64_t memory = left_of(capacity.memory_bytes, used.memory_bytes);
  if (needs.memory_bytes > memory)
    return no_room(Hold::kMemory, "memory", format_bytes(needs.memory_bytes), format_bytes(memory),
                   format_bytes(capacity.memory_bytes));
  std::uint64_t pids = left_of(capacity.pids, used.pids);
  if (needs.pids > pids)
    return no_room(Hold::kPids, "processes", std::to_string(needs.pids), std::to_string(pids),
                   std::to_string(capacity.pids));
  if (used.agents >= capacity.agents)
    return Held{Hold::kAgents,
                "waits for another agent's end: " + std::to_string(used.agents) +
                    " are there, as many as flodead may have (max-agents, or its open files)"};
  if (used.starting >= capacity.starting)
    return Held{Hold::kTurn,
                "waits for its turn: " + std::to_string(used.starting) + " others are starting"};
  return std::nullopt;
}

}  // namespace flodea::control
