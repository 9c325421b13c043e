// Engine: who may be started now, of those that wait for it.
#include <algorithm>

#include "supervisor/control/lifecycle/engine_agent.h"
#include "supervisor/control/lifecycle/start_queue.h"

namespace flodea::control {

bool Engine::waits_to_start(const Agent& agent) const {
  const Record& record = agent.stored.record;
  bool due = record.state == AgentState::kPending ||
             (record.state == AgentState::kBackoff && parts_.clock.monotonic() >= record.due);
  return due && agent.stored.desired_running && !closing_ &&
         agent.seen.presence == Presence::kAbsent && parts_.clock.monotonic() >= agent.store_due;
}

// Each agent's part is counted where it changes hands: an instance exists from its order to its
// release.
HostShare Engine::share_in_use() const {
  HostShare used;
  for (const auto& [id, agent] : agents_) {
    if (agent->seen.presence == Presence::kAbsent) continue;
    const Resources& resources = agent->held_resources;
    used.memory_bytes += resources.memory_bytes;
    used.pids += resources.pids;
    ++used.agents;
    bool starts = agent->seen.presence == Presence::kRequested ||
                  (agent->seen.presence == Presence::kPresent && !agent->seen.executed);
    if (starts) ++used.starting;
  }
  return used;
}

std::vector<AwaitedAgent> Engine::awaited_by(const Agent& agent) {
  std::vector<AwaitedAgent> list;
  for (const std::string& name : agent.stored.manifest.spec.after) {
    AwaitedAgent& other = list.emplace_back(AwaitedAgent{.name = name});
    const Agent* found = find(name);
    if (found == nullptr) continue;
    other.exists = true;
    other.state = found->stored.record.state;
    other.exit_code = found->stored.record.exit_code;
  }
  return list;
}

std::vector<Engine::Agent*> Engine::by_precedence() {
  std::vector<Agent*> order;
  for (const AgentId& id : waiting_) {
    if (Agent* agent = find(id)) order.push_back(agent);
  }
  auto before = [](const Agent* a, const Agent* b) {
    std::uint32_t higher = a->stored.manifest.spec.priority,
                  other = b->stored.manifest.spec.priority;
    return higher != other ? higher > other : a->stored.state_since < b->stored.state_since;
  };
  std::ranges::stable_sort(order, before);
  return order;
}

// Admits whom there is room for. Whatever that changes is looked at again before it returns.
void Engine::review_waiting() {
  if (std::exchange(reviewing_, true)) {
    review_again_ = true;
    return;
  }
  do {
    review_again_ = false;
    for (Agent* agent : by_precedence()) {
      if (!waits_to_start(*agent)) continue;
      auto held = held_back(agent->stored.manifest.spec, awaited_by(*agent), share_in_use(),
                            capacity_of(host_));
      if (held) {
        tell_held(*agent, *held);
        continue;
      }
      agent->held_back.reset();
      agent->admitted = true;
      settle(*agent);
      agent->admitted = false;  // for now alone: one that could not be stored asks again
    }
  } while (review_again_);
  reviewing_ = false;
}

// That it waits is an event once for each kind of cause; a turn comes too soon to be one.
void Engine::tell_held(Agent& agent, const Held& held) {
  bool told = agent.held_back && agent.held_back->by == held.by;
  agent.held_back = held;
  if (told || held.by == Hold::kTurn) return;
  (void)parts_.events.record({.kind = event_kind("agent.pending"),
                              .agent = agent.stored.manifest.name,
                              .reason = reason_name(Reason::kHost),
                              .message = held.message,
                              .generation = agent.stored.record.generation.value});
}

// Kept up to date after each turn of an agent.
void Engine::note_waiting(Agent& agent) {
  bool waits = waits_to_start(agent);
  if (waits)
    waiting_.insert(agent.stored.id);
  else if (waiting_.erase(agent.stored.id) > 0)
    agent.held_back.reset();
  if (!waiting_.empty()) review_waiting();
}

}  // namespace flodea::control
