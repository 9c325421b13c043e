// Engine: an agent that control was at in two crashes in a row is not served again until an
// operator says so.
#include <spdlog/spdlog.h>

#include <algorithm>

#include "supervisor/control/lifecycle/engine_agent.h"

namespace flodea::control {

namespace {

// Where several were there at as many crashes as each other, the next crash tells them apart: whose
// call happened to be under way is there again by chance only. But not for ever.
constexpr std::uint32_t kCrashes = 2;
constexpr std::uint32_t kCrashesUndecided = 6;

std::set<AgentId> most_suspect(const CrashCounts& counts) {
  std::uint32_t most = 0;
  std::set<AgentId> agents;
  for (const auto& [agent, crashes] : counts) {
    if (crashes > most) agents.clear();
    most = std::max(most, crashes);
    if (crashes == most) agents.insert(agent);
  }
  bool decided = most >= kCrashes && (agents.size() == 1 || most >= kCrashesUndecided);
  return decided ? agents : std::set<AgentId>();
}

}  // namespace

// Ends that are no crashes (kill -9, an upgrade) come between two crashes without a trace: who
// brings control down may wait for one.
std::set<AgentId> Engine::convicted() {
  if (!parts_.suspects) return {};
  auto counts = parts_.db.count_crash(*parts_.suspects);
  if (!counts) {
    spdlog::error("error=\"nobody is put into quarantine: {}\"", counts.error().describe());
    return {};
  }
  std::set<AgentId> agents = most_suspect(*counts);
  if (agents.empty()) return {};
  if (Status forgotten = parts_.db.forget_crashes(); !forgotten)
    spdlog::error("error=\"{}\"", forgotten.error().describe());
  return agents;
}

// Before the inventory: its instance, if there is one, is then released and never attached.
void Engine::quarantine(Agent& agent) {
  const StoredAgent& stored = agent.stored;
  if (!stored.desired_running || stored.record.state == AgentState::kFailed) return;
  AgentState from = stored.record.state;
  Record next = stored.record;
  next.state = AgentState::kFailed;
  next.reason = Reason::kQuarantine;
  next.message =
      "crashes of flodea-control in a row came while it was at a call of this agent; "
      "`flodea start " +
      stored.manifest.name + "` takes it out of quarantine";
  next.stop_cause = StopCause::kNone;
  next.after.reset();
  next.incarnation = stored.incarnation;  // a replacement that was under way may be what did it
  keep(agent, next);
  announce(agent, from);
}

}  // namespace flodea::control
