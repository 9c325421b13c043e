// Engine: taking over what an earlier control left.
#include <spdlog/spdlog.h>

#include <algorithm>

#include "supervisor/control/lifecycle/engine_agent.h"

namespace flodea::control {

void Engine::recover(Effects& effects, Metrics& metrics, HostFacts host,
                     std::function<void(Status)> done) {
  effects_ = &effects;
  metrics_ = &metrics;
  for (const auto& [name, status] : services_) {
    if (status.restarts > 0) metrics_->service_restarted(name);
  }
  // Later than every change that was told before: they come in order.
  for (const ServiceStatus& status : host.services) services_[status.name] = status;
  host_ = std::move(host);
  auto agents = parts_.db.load();
  if (!agents) return done(tl::unexpected(std::move(agents).error()));
  for (const StoredAgent& stored : *agents) begin(stored);
  judge_crashes();
  effects_->inventory([this, done = std::move(done)](auto instances) {
    take_inventory(std::move(instances), done);
  });
}

// Times of the record are of another process, perhaps of another boot: they begin anew, within
// their bounds.
void Engine::begin(const StoredAgent& stored) {
  auto agent = std::make_unique<Agent>();
  agent->stored = stored;
  remember_fallback(*agent);
  Record& record = agent->stored.record;
  if (stored.boot_id !=
      host_.boot_id) {  // up to here generations may have been used, and forgotten
    record.generation.value |= kGenerationsPerSync - 1;
    agent->stored.boot_id = host_.boot_id;
  }
  Nanos now = parts_.clock.monotonic();
  if (record.state == AgentState::kBackoff) {
    Nanos left = stored.next_start - parts_.clock.wall();
    record.due = now + std::clamp(left, Nanos{}, stored.manifest.spec.restart.max);
  }
  if (record.state == AgentState::kStarting) record.due = now + kExecTimeout;
  if (stored.volume_made) effects_->open_logs(stored.id, stored.manifest);
  names_[stored.manifest.name] = stored.id;
  directory_.set(stored.id, stored.manifest.name);
  parts_.events.set_labels(stored.manifest.name, stored.manifest.labels);
  agents_[stored.id] = std::move(agent);
}

void Engine::take_inventory(Result<std::vector<ListedInstance>> instances,
                            const std::function<void(Status)>& done) {
  if (!instances)
    return done(tl::unexpected(std::move(instances).error().with_context("inventory")));
  for (const ListedInstance& instance : *instances) take_instance(instance);
  reviewing_ = true;  // nobody is started before all are known that wait
  open_for_requests();
  for (auto& [id, agent] : agents_) settle(*agent);
  reviewing_ = false;
  review_waiting();
  watch_pressure();
  if (closing_) check_closed();
  done({});
}

// What is there may be of an earlier revision than what is wanted by now.
Resources Engine::resources_of_instance(const StoredAgent& stored) {
  const Resources& wanted = stored.manifest.spec.resources;
  if (stored.observed_revision == stored.revision) return wanted;
  auto manifest = parts_.db.manifest_of(stored.id, stored.observed_revision);
  return manifest && *manifest ? (*manifest)->spec.resources : wanted;
}

void Engine::take_instance(const ListedInstance& instance) {
  Agent* agent = find(instance.agent);
  bool ours = agent != nullptr && agent->stored.record.generation == instance.generation;
  bool live = ours && !is_idle(agent->stored.record.state);
  if (live && instance.state != ListedInstance::State::kReleasing) {
    // Until it is adopted; there is no start to be cancelled.
    agent->seen = {.presence = Presence::kRequested, .cancelled = true};
    agent->held = instance.generation;
    agent->held_resources = resources_of_instance(agent->stored);
    agent->stored.record.stop_told = false;
    return effects_->adopt({.id = instance.agent,
                            .generation = instance.generation,
                            .manifest = agent->stored.manifest,
                            .volume_made = true,
                            .restarts = agent->stored.record.restarts,
                            .received = {},
                            .adopt_after = alone_after(instance.agent)},
                           instance);
  }
  if (!ours)
    spdlog::warn("agent={} generation={} removed=\"not known to state.db\"", instance.agent.text(),
                 instance.generation.value);
  if (agent != nullptr) {
    agent->seen = {.presence = Presence::kReleasing};
    agent->held = instance.generation;
    agent->held_resources = resources_of_instance(agent->stored);
  }
  effects_->release(instance.agent, instance.generation);
}

void Engine::open_for_requests() {
  open_for_requests_ = true;
  for (auto& request : std::exchange(held_back_, {})) request();
}

}  // namespace flodea::control
