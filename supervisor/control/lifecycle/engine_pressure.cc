// Engine: idle agents of low priority are frozen while the host is short of memory.
#include <spdlog/spdlog.h>

#include "supervisor/control/lifecycle/engine_agent.h"

namespace flodea::control {
namespace {

std::string percent(double value) { return std::to_string(static_cast<int>(value)) + " %"; }

}  // namespace

// Looks on only while there is an agent that it could freeze: at rest it costs nothing.
void Engine::watch_pressure() {
  if (std::exchange(watching_pressure_, true)) return;
  effects_->call_after(kPressurePeriod, [this] { look_at_pressure(); });
}

Freezable Engine::freezable(Agent& agent) {
  Freezable out{.id = agent.stored.id, .priority = agent.stored.manifest.spec.priority};
  out.frozen = agent.frozen;
  auto usage = effects_->usage(agent.stored.id);
  if (!usage) return out;
  Nanos now = parts_.clock.monotonic();
  if (agent.looked_at != Nanos{} && agent.looked_of == agent.held) {
    auto used = static_cast<double>(usage->cpu_nanos - std::min(usage->cpu_nanos, agent.cpu_seen));
    auto passed = static_cast<double>((now - agent.looked_at).count());
    out.idle = used < passed * kIdleBelow;
  }
  agent.looked_at = now;
  agent.looked_of = agent.held;
  agent.cpu_seen = usage->cpu_nanos;
  out.memory_bytes = usage->memory_bytes;
  return out;
}

void Engine::look_at_pressure() {
  watching_pressure_ = false;
  if (closing_) return;
  auto pressure = effects_->memory_pressure();
  if (!pressure) return thaw_all();  // a kernel without PSI: `flodea node` says so
  std::vector<Freezable> agents;
  for (auto& [id, agent] : agents_) {
    bool there = agent->stored.record.state == AgentState::kRunning &&
                 may_be_frozen(agent->stored.manifest.spec);
    if (there) agents.push_back(freezable(*agent));
  }
  FreezeStep step = judge_pressure(*pressure, agents);
  if (step.freeze)
    set_frozen(*find(*step.freeze), true,
               "the host is short of memory, " + percent(*pressure) + " of the time");
  if (step.thaw) set_frozen(*find(*step.thaw), false, "the host has memory again");
  if (!agents.empty()) watch_pressure();
}

void Engine::thaw_all() {
  for (auto& [id, agent] : agents_) {
    if (agent->frozen) set_frozen(*agent, false, "the host's pressure cannot be read any more");
  }
}

void Engine::set_frozen(Agent& agent, bool frozen, const std::string& why) {
  if (std::exchange(agent.frozen, frozen) == frozen) return;
  frozen_agents_ += frozen ? 1 : -1;
  effects_->freeze(agent.stored.id, agent.held, frozen);
  (void)parts_.events.record(
      {.kind = frozen ? event_kind("agent.frozen") : event_kind("agent.thawed"),
       .agent = agent.stored.manifest.name,
       .reason = reason_name(Reason::kHost),
       .message = why,
       .generation = agent.held.value});
}

// Something has come that it waits for.
void Engine::agent_answered(const AgentId& id) {
  if (frozen_agents_.load(std::memory_order_relaxed) == 0) return;
  parts_.post([this, id] {
    Agent* agent = find(id);
    if (agent != nullptr && agent->frozen) set_frozen(*agent, false, "a call of it is answered");
  });
}

}  // namespace flodea::control
