#include "supervisor/control/lifecycle/engine.h"

#include <spdlog/spdlog.h>

#include <algorithm>

#include "supervisor/control/lifecycle/cause.h"
#include "supervisor/control/lifecycle/engine_agent.h"

namespace flodea::control {
namespace {

// A step follows another only when the one before changed something, and the machine has few
// states.
constexpr int kMaxTurns = 32;

// A state that cannot be stored is tried again.
constexpr Nanos kFirstStorePause = std::chrono::milliseconds(200);
constexpr Nanos kLastStorePause = std::chrono::seconds(30);
// So is a removal that failed.
constexpr Nanos kFirstDestroyPause = std::chrono::seconds(1);
constexpr Nanos kLastDestroyPause = std::chrono::minutes(1);

// What of a record is on disk: not what only matters while this control lives.
Record stored_part(Record record) {
  record.due = {};
  record.stop_told = false;
  return record;
}

bool is_final(AgentState state) {
  return state == AgentState::kStopped || state == AgentState::kFailed;
}

}  // namespace

Engine::Engine(EngineParts parts) : parts_(std::move(parts)), started_(parts_.clock.wall()) {}
Engine::~Engine() = default;

// ---- stepping

Desired Engine::desired_of(const Agent& agent) const {
  const AgentSpec& spec = agent.stored.manifest.spec;
  return {.running = agent.stored.desired_running,
          .host_open = !closing_ || is_needed(agent),
          .incarnation = agent.stored.incarnation,
          .restart = spec.restart,
          .stop_timeout = spec.stop_timeout,
          .readiness = spec.readiness,
          .startup_probe = spec.startup.has_value(),
          .may_start = agent.admitted,
          .proven = agent.stored.proven_revision == agent.stored.revision,
          .can_put_back = agent.fallback.has_value() &&
                          agent.stored.record.incarnation == agent.stored.incarnation};
}

void Engine::settle(Agent& agent) {
  if (agent.settling) {
    agent.settle_again = true;
    return;
  }
  agent.settling = true;
  bool moved = true;
  for (int i = 0; moved && i < kMaxTurns; ++i) turn(agent, moved);
  agent.settling = false;
  if (moved)
    spdlog::error("agent={} state={} error=\"its state machine does not come to rest\"",
                  agent.stored.manifest.name, state_name(agent.stored.record.state));
  after_settling(agent);
}

void Engine::turn(Agent& agent, bool& moved) {
  agent.settle_again = false;
  if (agent.unsaved && parts_.clock.monotonic() >= agent.store_due)
    agent.unsaved = !save(agent, agent.stored, Durability::kFast);
  Step next = step(desired_of(agent), agent.seen, agent.stored.record, parts_.clock.monotonic(),
                   parts_.random());
  AgentState from = agent.stored.record.state;
  bool changed = next.record != agent.stored.record;
  if (changed && !keep(agent, next.record)) {
    moved = agent.settle_again;
    return effects_->wake_at(agent.stored.id, agent.store_due);
  }
  for (const Action& action : next.actions) perform(agent, action);
  if (next.record.state != from) announce(agent, from);
  moved = changed || !next.actions.empty() || agent.settle_again;
  if (moved) return;
  bool to_store = agent.unsaved || parts_.clock.monotonic() < agent.store_due;
  if (to_store) next.wake = std::min(next.wake.value_or(agent.store_due), agent.store_due);
  effects_->wake_at(agent.stored.id, next.wake);
}

// On disk before anything is done about it or anybody hears of it. False: a new instance whose
// generation is not there; nothing may be done, for the next control would take it for an orphan.
// Any other change goes on, since what it is about exists already, and is stored later.
bool Engine::keep(Agent& agent, const Record& next) {
  bool launches = next.generation != agent.stored.record.generation;
  Nanos now = parts_.clock.monotonic();
  if (launches && now < agent.store_due) return false;
  Nanos wall = parts_.clock.wall();
  bool to_disk = stored_part(next) != stored_part(agent.stored.record);
  StoredAgent kept = agent.stored;
  if (next.state != kept.record.state) kept.state_since = wall;
  kept.next_start = next.state == AgentState::kBackoff ? wall + (next.due - now) : Nanos{};
  kept.record = next;
  kept.boot_id = host_.boot_id;
  if (launches) kept.observed_revision = kept.revision;
  bool synced = launches && next.generation.value % kGenerationsPerSync == 0;
  bool saved = !to_disk || save(agent, kept, synced ? Durability::kDurable : Durability::kFast);
  if (!saved && launches) return false;
  if (to_disk) agent.unsaved = !saved;
  agent.stored = std::move(kept);
  return true;
}

bool Engine::save(Agent& agent, const StoredAgent& state, Durability durability) {
  Status saved = parts_.db.save_state(state, durability);
  if (saved) {
    agent.store_due = agent.store_pause = {};
    agent.store_trouble.clear();
    return true;
  }
  bool first = agent.store_trouble.empty();
  agent.store_pause = std::clamp(agent.store_pause * 2, kFirstStorePause, kLastStorePause);
  agent.store_due = parts_.clock.monotonic() + agent.store_pause;
  agent.store_trouble = "its state cannot be stored: " + saved.error().describe();
  spdlog::error("agent={} error=\"{}\"", state.manifest.name, agent.store_trouble);
  if (first) {
    (void)parts_.events.record({.kind = event_kind("agent.limit"),
                                .agent = state.manifest.name,
                                .reason = reason_name(Reason::kHost),
                                .message = agent.store_trouble,
                                .generation = state.record.generation.value});
  }
  return false;
}

void Engine::perform(Agent& agent, const Action& action) {
  const AgentId& id = agent.stored.id;
  Generation generation = agent.stored.record.generation;
  switch (action.kind) {
    case Action::Kind::kStart: {
      agent.seen = {.presence = Presence::kRequested};
      agent.health.reset();
      agent.held = generation;
      agent.held_resources = agent.stored.manifest.spec.resources;
      agent.admitted = false;
      agent.phases.clear();
      Nanos received =
          agent.asked != Nanos{} ? std::exchange(agent.asked, Nanos{}) : parts_.clock.boot();
      return effects_->start({.id = id,
                              .generation = generation,
                              .manifest = agent.stored.manifest,
                              .volume_made = agent.stored.volume_made,
                              .restarts = agent.stored.record.restarts,
                              .received = received});
    }
    case Action::Kind::kCancel:
      agent.seen.cancelled = true;
      return effects_->cancel(id, agent.held);
    case Action::Kind::kProven:
      return prove(agent);
    case Action::Kind::kPutBack:
      return put_back(agent);
    case Action::Kind::kStop:
      set_frozen(agent, false, "it is stopped");
      return effects_->stop(id, agent.held, action.grace, action.reason);
    case Action::Kind::kKill:
      set_frozen(agent, false, "it is stopped");
      return effects_->kill(id, agent.held, action.reason);
    case Action::Kind::kRelease:
      agent.seen.presence = Presence::kReleasing;
      return effects_->release(id, agent.held);
  }
}

void Engine::announce(const Agent& agent, AgentState from) {
  const Record& record = agent.stored.record;
  spdlog::info("agent={} generation={} from={} to={} reason=\"{}\" message=\"{}\"",
               agent.stored.manifest.name, record.generation.value, state_name(from),
               state_name(record.state), reason_name(record.reason), record.message);
  Event event{.kind = event_kind("agent.state"),
              .agent = agent.stored.manifest.name,
              .from = state_name(from),
              .to = state_name(record.state),
              .reason = reason_name(record.reason),
              .message = record.message,
              .generation = record.generation.value,
              .cause = cause_of(record, closing_ ? "host" : agent.asked_by)};
  if (Status recorded = parts_.events.record(std::move(event)); !recorded)
    spdlog::error("error=\"an event is lost: {}\"", recorded.error().describe());
  if (record.state == AgentState::kRunning) {
    metrics_->started(agent.stored.manifest.name, agent.phases);
    if (may_be_frozen(agent.stored.manifest.spec)) watch_pressure();
  }
  if (from == AgentState::kBackoff && record.state == AgentState::kPreparing)
    metrics_->restarted(agent.stored.manifest.name);
}

void Engine::after_settling(Agent& agent) {
  finish_waits(agent);
  destroy_if_due(agent);
  if (closing_) return stopped_for_shutdown(agent);
  note_waiting(agent);
}

void Engine::finish_waits(Agent& agent) {
  const Record& record = agent.stored.record;
  auto over = [&](const Wait& wait) {
    if (wait.until == Until::kStops) return is_final(record.state) || agent.stored.desired_running;
    if (!agent.stored.desired_running) return is_idle(record.state);
    if (record.incarnation < wait.incarnation) return false;
    bool on_trial = wait.until == Until::kProven && agent.fallback.has_value();
    return is_final(record.state) || (record.state == AgentState::kRunning && !on_trial);
  };
  std::vector<Wait> finished;
  std::erase_if(agent.waits, [&](Wait& wait) {
    bool ends = disappointment(agent, wait) || over(wait);
    return ends && (finished.push_back(std::move(wait)), true);
  });
  for (Wait& wait : finished) {
    auto why = disappointment(agent, wait);
    wait.done(why ? tl::unexpected(std::move(*why)) : Result<AgentView>(view_of(agent)));
  }
}

// ---- removal

void Engine::destroy_if_due(Agent& agent) {
  bool gone = is_final(agent.stored.record.state) && agent.seen.presence == Presence::kAbsent;
  if (agent.stored.removal == Removal::kNone || !gone || std::exchange(agent.destroying, true))
    return;
  effects_->wake_at(agent.stored.id, std::nullopt);
  effects_->destroy(
      agent.stored.id, agent.stored.removal == Removal::kKeepData,
      [this, id = agent.stored.id](Result<RemovalReceipt> receipt) {
        parts_.post([this, id, receipt = std::move(receipt)] { destroyed(id, receipt); });
      });
}

void Engine::destroyed(const AgentId& id, Result<RemovalReceipt> receipt) {
  Agent* agent = find(id);
  if (agent == nullptr) return;
  agent->destroying = false;
  auto removals = std::exchange(agent->removals, {});
  if (receipt) {
    std::optional<KeptVolume> kept;
    // That it was made may have been forgotten, by a control or a host that died since.
    bool may_be_there = agent->stored.volume_made || agent->stored.record.generation.value > 0;
    if (agent->stored.removal == Removal::kKeepData && may_be_there) {
      kept = {.name = agent->stored.manifest.name,
              .id = id,
              .disk_bytes = agent->stored.manifest.spec.resources.disk_bytes,
              .generation = agent->stored.record.generation,
              .made = agent->stored.volume_made};
    }
    if (Status removed = parts_.db.remove(agent->stored, kept); !removed)
      receipt = tl::unexpected(std::move(removed).error());
  }
  if (receipt)
    forget(id, *receipt);
  else
    destroy_later(*agent, receipt.error());
  for (auto& done : removals) done(receipt);
}

// Who asked hears of the failure; what was asked for stays wanted.
void Engine::destroy_later(Agent& agent, const Error& why) {
  spdlog::error("agent={} error=\"not removed yet: {}\"", agent.stored.manifest.name,
                why.describe());
  if (std::exchange(agent.destroy_awaited, true)) return;  // this one was asked for in between
  agent.destroy_pause = std::clamp(agent.destroy_pause * 2, kFirstDestroyPause, kLastDestroyPause);
  effects_->call_after(agent.destroy_pause, [this, id = agent.stored.id] {
    Agent* found = find(id);
    if (found == nullptr) return;
    found->destroy_awaited = false;
    settle(*found);
  });
}

// The event comes last: whoever hears it finds no such agent any more.
void Engine::forget(AgentId id, const RemovalReceipt& receipt) {
  const StoredAgent& stored = find(id)->stored;
  std::string name = stored.manifest.name;
  Event removed{.kind = event_kind("agent.removed"),
                .agent = name,
                .reason = reason_name(Reason::kOperator),
                .message = !receipt.key_digest.empty()
                               ? "key destroyed: sha256 " + receipt.key_digest
                           : stored.removal == Removal::kKeepData ? "its volume is kept"
                                                                  : "it had no volume yet",
                .generation = stored.record.generation.value,
                .cause = find(id)->asked_by};
  metrics_->forget(name);
  waiting_.erase(id);
  names_.erase(name);
  directory_.forget(id);
  agents_.erase(id);
  (void)parts_.events.record(std::move(removed));
  parts_.events.set_labels(name, {});
}

// ---- what is seen

Engine::Agent* Engine::find(const AgentId& id) {
  auto it = agents_.find(id);
  return it == agents_.end() ? nullptr : it->second.get();
}

Engine::Agent* Engine::find(const std::string& name) {
  auto it = names_.find(name);
  return it == names_.end() ? nullptr : find(it->second);
}

// The agent, if it is this instance that it waits to hear of.
Engine::Agent* Engine::listening(const AgentId& id, Generation generation) {
  Agent* agent = find(id);
  return agent != nullptr && agent->held == generation && agent->seen.presence != Presence::kAbsent
             ? agent
             : nullptr;
}

void Engine::on_volume_made(const AgentId& id) {
  Agent* agent = find(id);
  if (agent == nullptr || agent->stored.volume_made) return;
  agent->stored.volume_made = true;
  agent->unsaved = !save(*agent, agent->stored, Durability::kFast);
}

void Engine::on_present(const AgentId& id, Generation generation, const Presented& found) {
  Agent* agent = listening(id, generation);
  if (agent == nullptr || agent->seen.presence != Presence::kRequested) return;
  agent->seen.presence = Presence::kPresent;
  agent->seen.executed = found.executed;
  agent->seen.ready = found.ready;
  if (found.health) agent->seen.health = found.health->health, agent->health = found.health->view;
  agent->uid_base = found.uid_base;
  settle(*agent);
}

void Engine::on_executed(const AgentId& id, Generation generation, Nanos monotonic,
                         std::vector<PhaseTime> phases) {
  Agent* agent = listening(id, generation);
  if (agent == nullptr || agent->seen.presence != Presence::kPresent || agent->seen.executed)
    return;
  agent->seen.executed = monotonic;
  agent->phases = std::move(phases);
  settle(*agent);
}

void Engine::on_ready(const AgentId& id, Generation generation) {
  Agent* agent = listening(id, generation);
  if (agent == nullptr || agent->seen.presence != Presence::kPresent ||
      std::exchange(agent->seen.ready, true))
    return;
  settle(*agent);
}

void Engine::on_ended(const AgentId& id, Generation generation, const Ending& ending) {
  Agent* agent = listening(id, generation);
  if (agent == nullptr ||
      (agent->seen.presence != Presence::kRequested && agent->seen.presence != Presence::kPresent))
    return;
  agent->seen.presence = Presence::kEnded;
  agent->seen.ending = ending;
  if (std::exchange(agent->frozen, false)) --frozen_agents_;
  settle(*agent);
}

void Engine::on_released(const AgentId& id, Generation generation) {
  Agent* agent = listening(id, generation);
  if (agent == nullptr || agent->seen.presence != Presence::kReleasing) return;
  agent->seen = {};
  agent->health.reset();
  agent->uid_base = 0;
  settle(*agent);
}

void Engine::on_release_failed(const AgentId& id, Generation generation, const Error& why) {
  std::string name = name_of(id);
  spdlog::error("agent={} generation={} error=\"not released yet: {}\"", name, generation.value,
                why.describe());
  (void)parts_.events.record({.kind = event_kind("agent.limit"),
                              .agent = name,
                              .reason = reason_name(Reason::kHost),
                              .message = "not released yet: " + why.describe(),
                              .generation = generation.value});
}

void Engine::on_health(const AgentId& id, Generation generation, const HealthReport& report) {
  Agent* agent = listening(id, generation);
  if (agent == nullptr || agent->seen.presence != Presence::kPresent) return;
  for (const std::string& what : report.events) {
    (void)parts_.events.record({.kind = event_kind("agent.health"),
                                .agent = agent->stored.manifest.name,
                                .reason = reason_name(Reason::kHealth),
                                .message = what,
                                .generation = generation.value});
  }
  agent->health = report.view;
  if (std::exchange(agent->seen.health, report.health) != report.health) settle(*agent);
}

void Engine::on_health_unjudged(const AgentId& id, Generation generation, const std::string& why) {
  std::string name = name_of(id);
  spdlog::warn("agent={} generation={} error=\"{}\"", name, generation.value, why);
  (void)parts_.events.record({.kind = event_kind("agent.limit"),
                              .agent = name,
                              .reason = reason_name(Reason::kWorker),
                              .message = why,
                              .generation = generation.value});
}

void Engine::on_wake(const AgentId& id) {
  if (Agent* agent = find(id)) settle(*agent);
}

void Engine::on_denied(const AgentId& id, Generation generation, const std::string& calls) {
  (void)parts_.events.record({.kind = event_kind("agent.denied"),
                              .agent = name_of(id),
                              .reason = reason_name(Reason::kPolicy),
                              .message = calls,
                              .generation = generation.value});
}

// May come before `recover`: flodead tells of this control's own start.
void Engine::on_service(const ServiceChange& change) {
  ServiceStatus& status = services_[change.service];
  if (change.restarts > status.restarts && metrics_ != nullptr)
    metrics_->service_restarted(change.service);
  status = {.name = change.service, .up = change.up, .restarts = change.restarts};
  (void)parts_.events.record({.kind = event_kind("service"),
                              .message = change.service + (change.up ? " is up" : " is down") +
                                         (change.why.empty() ? "" : ": " + change.why)});
}

void Engine::on_shutdown_requested() {
  spdlog::info("state=stopping agents={}", agents_.size());
  close();
}

void Engine::agent_limit(const AgentId& agent, const std::string& message) {
  parts_.post([this, agent, message] {
    Agent* found = find(agent);
    if (found == nullptr) return;
    (void)parts_.events.record({.kind = event_kind("agent.limit"),
                                .agent = found->stored.manifest.name,
                                .reason = reason_name(Reason::kQuota),
                                .message = message,
                                .generation = found->stored.record.generation.value});
  });
}

void Engine::agent_ready(const AgentId& agent, Generation generation) {
  parts_.post([this, agent, generation] { on_ready(agent, generation); });
}

}  // namespace flodea::control
