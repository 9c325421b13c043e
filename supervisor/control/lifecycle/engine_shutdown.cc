// Engine: the supervisor ends. Every agent is stopped, each before those that it comes after.
#include <algorithm>

#include "supervisor/control/lifecycle/engine_agent.h"

namespace flodea::control {

void Engine::close() {
  if (std::exchange(closing_, true)) return;
  if (!open_for_requests_)
    return;  // the recovery goes on from here: before it nothing is known of instances
  for (auto& [id, agent] : agents_) settle(*agent);
  check_closed();
}

void Engine::check_closed() {
  for (const auto& [id, agent] : agents_) {
    if (!is_gone(*agent)) return;
  }
  if (!std::exchange(closed_told_, true)) parts_.post(parts_.closed);
}

void Engine::end_waits() {
  Error why = fail(Code::kUnavailable, "the supervisor is shut down").value();
  for (auto& [name, queue] : std::exchange(applying_, {})) {
    for (auto& applying : queue) {
      if (auto done = std::exchange(applying->done, nullptr)) done(tl::unexpected(why));
    }
  }
  for (auto& [id, agent] : agents_) {
    for (Wait& wait : std::exchange(agent->waits, {})) wait.done(tl::unexpected(why));
    for (auto& done : std::exchange(agent->removals, {})) done(tl::unexpected(why));
  }
  std::exchange(held_back_, {});
}

// Somebody who is still there came after it.
bool Engine::is_needed(const Agent& agent) const {
  const std::string& name = agent.stored.manifest.name;
  return std::ranges::any_of(agents_, [&](const auto& entry) {
    const Agent& other = *entry.second;
    const auto& after = other.stored.manifest.spec.after;
    return !is_gone(other) && std::ranges::find(after, name) != after.end();
  });
}

bool Engine::is_gone(const Agent& agent) {
  return is_idle(agent.stored.record.state) && agent.seen.presence == Presence::kAbsent;
}

// Those that it came after may have been needed for it alone.
void Engine::stopped_for_shutdown(const Agent& agent) {
  if (is_gone(agent)) {
    for (const std::string& name : agent.stored.manifest.spec.after) {
      Agent* other = find(name);
      if (other != nullptr && !is_gone(*other)) settle(*other);
    }
  }
  check_closed();
}

}  // namespace flodea::control
