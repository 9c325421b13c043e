// Engine: an agent that control was at in two crashes in a row is not served again until an
// operator says so.
#include <spdlog/spdlog.h>

#include <algorithm>

#include "supervisor/control/lifecycle/engine_agent.h"

namespace flodea::control {
namespace {

constexpr std::uint32_t kCrashes = 2;
// How long each of those that may have done it is served before the next one is: longer than what
// did it takes to do it again.
constexpr Nanos kAlone = std::chrono::milliseconds(250);

// Those that were there at most crashes in a row, two or more.
std::set<AgentId> most_suspect(const CrashCounts& counts) {
  std::uint32_t most = kCrashes;
  for (const auto& [agent, crashes] : counts) most = std::max(most, crashes);
  std::set<AgentId> agents;
  for (const auto& [agent, crashes] : counts) {
    if (crashes == most) agents.insert(agent);
  }
  return agents;
}

}  // namespace

// Before the inventory. Ends that are no crashes (kill -9, an upgrade) come between two crashes
// without a trace: who brings control down may wait for one. Where several were there, somebody's
// call was under way by chance: nobody is convicted, they are adopted one by one, and should it
// happen again, those that were not served yet were not there.
void Engine::judge_crashes() {
  if (!parts_.crashes) return;
  std::set<AgentId> agents = most_suspect(*parts_.crashes);
  std::erase_if(agents, [this](const AgentId& id) { return find(id) == nullptr; });
  if (agents.size() > 1) tied_ = std::move(agents);
  if (agents.size() != 1 || !quarantine(*find(*agents.begin()))) return;
  if (Status forgotten = parts_.db.forget_crashes(); !forgotten)
    spdlog::error("error=\"{}\"", forgotten.error().describe());
}

// Its instance, if there is one, is then released and never attached. False: it could not be
// stored, and is still under suspicion.
bool Engine::quarantine(Agent& agent) {
  const StoredAgent& stored = agent.stored;
  AgentState from = stored.record.state;
  if (from == AgentState::kFailed || from == AgentState::kStopped) return true;
  StoredAgent next = stored;
  Record& record = next.record;
  record.state = stored.desired_running ? AgentState::kFailed : AgentState::kStopped;
  record.reason = Reason::kQuarantine;
  record.message =
      "flodea-control crashed again and again while it was at a message of this agent; "
      "`flodea start " +
      stored.manifest.name + "` takes it out of quarantine";
  record.stop_cause = StopCause::kNone;
  record.after.reset();
  record.incarnation = stored.incarnation;  // a replacement under way may be what did it
  next.state_since = parts_.clock.wall();
  next.next_start = {};
  bool saved = save(agent, next, Durability::kDurable);
  agent.unsaved = !saved;
  agent.stored = std::move(next);
  announce(agent, from);
  return saved;
}

Nanos Engine::alone_after(const AgentId& agent) {
  return tied_.contains(agent) ? kAlone * ++adopted_alone_ : Nanos{};
}

}  // namespace flodea::control
