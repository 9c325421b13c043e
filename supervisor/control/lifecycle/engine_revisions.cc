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
  (void)parts_.events.record({.kind = event_kind("agent.proven"),
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
  Event event{.kind = event_kind("agent.put_back"),
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
  agent.put_back = {failed, error};
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

}  // namespace flodea::control
