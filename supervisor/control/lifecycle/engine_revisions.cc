// Engine: which revision of an agent has run well, and what becomes of one that does not.
#include <spdlog/spdlog.h>

#include "supervisor/control/lifecycle/engine_agent.h"

namespace flodea::control {
namespace {

std::string number(std::uint64_t revision) { return "revision " + std::to_string(revision); }

}  // namespace

// Not fsynced: a host that forgets it only proves it again.
void Engine::prove(Agent& agent) {
  StoredAgent next = agent.stored;
  next.proven_revision = next.revision;
  if (Status saved = parts_.db.save(next, Durability::kFast); !saved)
    spdlog::error("agent={} error=\"{}\"", next.manifest.name, saved.error().describe());
  agent.stored = std::move(next);
  agent.fallback.reset();
  (void)parts_.events.record({.kind = "agent.proven",
                              .agent = agent.stored.manifest.name,
                              .message = number(agent.stored.revision) + " has run well",
                              .generation = agent.stored.record.generation.value,
                              .cause = "policy"});
  spdlog::info("agent={} revision={} proven=yes", agent.stored.manifest.name,
               agent.stored.revision);
}

// What failed stays among the revisions; what is wanted from now on is a new one, as before.
void Engine::put_back(Agent& agent) {
  if (!agent.fallback) return;
  std::uint64_t failed = agent.stored.revision, good = agent.stored.proven_revision;
  std::string why = agent.stored.record.message;
  Status changed = check_after(*agent.fallback);  // others may have come to wait for it since
  if (changed)
    changed = change_desired(agent, "policy", [&](StoredAgent& stored) {
      stored.manifest = *agent.fallback;
      stored.proven_revision = ++stored.revision;
      ++stored.incarnation;
    });
  agent.fallback.reset();  // what cannot be put back is left to the restart policy
  Event event{.kind = "agent.put_back",
              .agent = agent.stored.manifest.name,
              .reason = reason_name(agent.stored.record.reason),
              .generation = agent.stored.record.generation.value,
              .cause = "policy"};
  if (!changed) {
    event.message = number(good) + " cannot be put back: " + changed.error().describe();
    (void)parts_.events.record(std::move(event));
    return;
  }
  parts_.events.set_labels(agent.stored.manifest.name, agent.stored.manifest.labels);
  event.message = number(failed) + " failed, " + number(good) + " is put back as " +
                  number(agent.stored.revision) + ": " + why;
  Error error = fail(Code::kAborted, event.message)
                    .value()
                    .with_context("agent " + agent.stored.manifest.name);
  (void)parts_.events.record(std::move(event));
  std::vector<Wait> disappointed;
  std::erase_if(agent.waits, [&](Wait& wait) {
    return wait.until != Until::kStops && (disappointed.push_back(std::move(wait)), true);
  });
  for (Wait& wait : disappointed) wait.done(tl::unexpected(error));
}

void Engine::remember_fallback(Agent& agent) {
  const StoredAgent& stored = agent.stored;
  if (stored.proven_revision == 0 || stored.proven_revision == stored.revision) return;
  auto manifest = parts_.db.manifest_of(stored.id, stored.proven_revision);
  if (manifest && *manifest) agent.fallback = std::move(**manifest);
}

// A ring of agents that wait for each other would never start.
Status Engine::check_after(const AgentManifest& manifest) {
  std::vector<std::string> path{manifest.name};
  std::set<std::string> seen;
  std::function<bool(const std::vector<std::string>&)> leads_back =
      [&](const std::vector<std::string>& names) {
        for (const std::string& name : names) {
          path.push_back(name);
          if (name == manifest.name) return true;
          const Agent* other = seen.insert(name).second ? find(name) : nullptr;
          if (other != nullptr && leads_back(other->stored.manifest.spec.after)) return true;
          path.pop_back();
        }
        return false;
      };
  if (!leads_back(manifest.spec.after)) return {};
  std::string ring = path.front();
  for (std::size_t i = 1; i < path.size(); ++i) ring += " after " + path[i];
  Error error = fail(Code::kInvalidArgument, "the agents wait for each other: " + ring).value();
  return tl::unexpected<Error>(
      std::move(error).with_field("spec.after").with_remedy("take one of them out of the ring"));
}

}  // namespace flodea::control
