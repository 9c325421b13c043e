// Engine: what operators ask for.
#include <numeric>

#include "base/quantity.h"
#include "policy/landlock.h"
#include "supervisor/control/lifecycle/engine_agent.h"

namespace flodea::control {
namespace {

bool is_judged(StopCause cause) {
  return cause == StopCause::kUnready || cause == StopCause::kHung ||
         cause == StopCause::kUnhealthy;
}

// Without an instance and not to be started by itself, now or once what is left is released; or
// only later.
bool stands(const Record& record) {
  if (record.state == AgentState::kStopping)
    return record.after ? *record.after != AgentState::kPending : is_judged(record.stop_cause);
  return is_idle(record.state) && record.state != AgentState::kPending;
}

void want_fresh(StoredAgent& agent) {
  agent.desired_running = true;
  ++agent.incarnation;
}

}  // namespace

tl::unexpected<Error> Engine::being_removed(const std::string& name) {
  Error error = fail(Code::kAborted, "agent " + name + " is being removed").value();
  return tl::unexpected<Error>(std::move(error).with_remedy("wait until it is gone"));
}

void Engine::when_open(std::function<void()> request) {
  parts_.post([this, request = std::move(request)]() mutable {
    if (open_for_requests_) return request();
    held_back_.push_back(std::move(request));
  });
}

Result<Engine::Agent*> Engine::agent_for(const std::string& name) {
  if (Agent* agent = find(name)) return agent;
  Error error = fail(Code::kNotFound, "there is no agent \"" + name + "\"").value();
  return tl::unexpected(
      std::move(error).with_field("name").with_remedy("`flodea ps` lists those there are"));
}

// ---- apply

void Engine::apply(AgentManifest manifest, ApplyOptions options, Callback<ApplyOutcome> done) {
  auto applying = std::make_shared<Applying>(Applying{.manifest = std::move(manifest),
                                                      .options = std::move(options),
                                                      .done = std::move(done),
                                                      .asked = parts_.clock.boot()});
  when_open([this, applying] { enqueue(applying); });
}

void Engine::enqueue(std::shared_ptr<Applying> applying) {
  std::string name = applying->manifest.name;
  auto& queue = applying_[name];
  queue.push_back(std::move(applying));
  if (queue.size() == 1) apply_next(name);
}

void Engine::apply_next(const std::string& name) {
  std::shared_ptr<Applying> applying = applying_.at(name).front();
  const AgentSpec& spec = applying->manifest.spec;
  if (Status checked = check_apply(applying->manifest); !checked)
    return apply_prepared(applying, std::move(checked));
  effects_->prepare(spec,
                    [this, applying](Status prepared) { apply_prepared(applying, prepared); });
}

void Engine::apply_prepared(const std::shared_ptr<Applying>& applying, Status prepared) {
  std::string name = applying->manifest.name;
  auto done = std::exchange(applying->done, nullptr);
  if (!done) return;  // answered by `end_waits`
  if (!prepared) {
    done(tl::unexpected(std::move(prepared).error().with_context("agent " + name)));
  } else {
    if (Agent* agent = find(name)) agent->asked = applying->asked;
    apply_now(*applying, done);
  }
  auto queue = applying_.find(name);
  queue->second.pop_front();
  if (queue->second.empty())
    applying_.erase(queue);
  else
    parts_.post([this, name] {
      if (applying_.contains(name)) apply_next(name);
    });
}

void Engine::apply_now(Applying& applying, const Callback<ApplyOutcome>& done) {
  std::string name = applying.manifest.name;
  auto kind = take_manifest(applying);
  if (!kind) return done(tl::unexpected(std::move(kind).error().with_context("agent " + name)));
  Agent& agent = *find(name);
  settle(agent);
  auto answer = [done, kind = *kind](Result<AgentView> view) {
    if (!view) return done(tl::unexpected(std::move(view).error()));
    done(ApplyOutcome{.kind = kind, .agent = std::move(*view)});
  };
  if (!applying.options.wait || !agent.stored.desired_running) return answer(view_of(agent));
  wait_for(agent, {.until = Until::kProven,
                   .revision = agent.stored.revision,
                   .wanted = applying.options.wanted,
                   .done = answer});
}

Result<ApplyOutcome::Kind> Engine::take_manifest(Applying& applying) {
  TRY(check_apply(applying.manifest));
  Agent* agent = find(applying.manifest.name);
  if (agent == nullptr) return create_agent(applying);
  return change_agent(*agent, applying);
}

Result<ApplyOutcome::Kind> Engine::create_agent(Applying& applying) {
  std::optional<KeptVolume> kept = TRY(parts_.db.kept_volume(applying.manifest.name));
  auto agent = std::make_unique<Agent>();
  StoredAgent& stored = agent->stored;
  stored.id = kept ? kept->id : parts_.new_id();
  stored.manifest = std::move(applying.manifest);
  stored.created = stored.state_since = parts_.clock.wall();
  stored.boot_id = host_.boot_id;
  stored.volume_made = kept && kept->made;
  if (kept) stored.record.generation = kept->generation;
  const std::string& by = applying.options.by;
  TRY(parts_.db.save(stored, Durability::kDurable, {.author = by, .created = stored.created}));
  agent->asked = parts_.clock.boot();
  agent->asked_by = by;
  names_[stored.manifest.name] = stored.id;
  directory_.set(stored.id, stored.manifest.name);
  parts_.events.set_labels(stored.manifest.name, stored.manifest.labels);
  Agent& placed = *(agents_[stored.id] = std::move(agent));
  (void)parts_.events.record(
      {.kind = event_kind("agent.applied"),
       .agent = placed.stored.manifest.name,
       .reason = reason_name(Reason::kOperator),
       .message = kept ? "created, with the volume that was kept" : "created",
       .cause = by});
  if (kept) effects_->open_logs(placed.stored.id, placed.stored.manifest);
  return ApplyOutcome::Kind::kCreated;
}

Result<ApplyOutcome::Kind> Engine::change_agent(Agent& agent, Applying& applying) {
  AgentManifest& manifest = applying.manifest;
  const std::string& by = applying.options.by;
  bool to_start = applying.options.start && !agent.stored.desired_running;
  bool same = manifest == agent.stored.manifest;
  if (same && !to_start) return ApplyOutcome::Kind::kUnchanged;
  bool new_spec = manifest.spec != agent.stored.manifest.spec;
  AgentManifest before = agent.stored.manifest;
  bool was_proven = agent.stored.proven_revision == agent.stored.revision;
  TRY(change_desired(agent, by, [&](StoredAgent& stored) {
    bool proven = stored.proven_revision == stored.revision;
    // What asks for no new instance is what the one there runs already.
    bool current = stored.observed_revision == stored.revision && !new_spec;
    if (!same) ++stored.revision;
    if (current) stored.observed_revision = stored.revision;
    if (proven && !new_spec) stored.proven_revision = stored.revision;
    stored.manifest = std::move(manifest);
    if (to_start) stored.desired_running = true;
    if (to_start || new_spec) ++stored.incarnation;
  }));
  if (same) return ApplyOutcome::Kind::kUnchanged;
  if (was_proven && new_spec) agent.fallback = std::move(before);
  parts_.events.set_labels(agent.stored.manifest.name, agent.stored.manifest.labels);
  std::string what = "revision " + std::to_string(agent.stored.revision);
  if (applying.back_to != 0) what += ", back to revision " + std::to_string(applying.back_to);
  (void)parts_.events.record({.kind = event_kind("agent.applied"),
                              .agent = agent.stored.manifest.name,
                              .reason = reason_name(Reason::kOperator),
                              .message = what,
                              .generation = agent.stored.record.generation.value,
                              .cause = by});
  return ApplyOutcome::Kind::kChanged;
}

// Stored first; an agent in memory is never ahead of the disk.
Status Engine::change_desired(Agent& agent, const std::string& by, const Change& change) {
  StoredAgent next = agent.stored;
  change(next);
  TRY(parts_.db.save(next, Durability::kDurable, {.author = by, .created = parts_.clock.wall()}));
  agent.stored = std::move(next);
  agent.asked_by = by;
  return {};
}

// Where an earlier control put it back, only that it was replaced is known.
void Engine::await(std::string name, std::uint64_t revision, Asked asked,
                   Callback<AgentView> done) {
  when_open(
      [this, name = std::move(name), revision, asked = std::move(asked), done = std::move(done)] {
        auto agent = agent_for(name);
        if (!agent) return done(tl::unexpected(std::move(agent).error()));
        Agent& found = **agent;
        if (closing_) return done(fail(Code::kUnavailable, "the supervisor is shut down"));
        std::uint64_t current = found.stored.revision;
        wait_for(found, {.until = Until::kProven,
                         .revision = revision != 0 ? revision : current,
                         .wanted = asked.wanted,
                         .done = done});
      });
}

Error Engine::replaced(const Agent& agent, std::uint64_t revision) {
  if (agent.put_back && agent.put_back->failed == revision) return agent.put_back->why;
  const std::string agent_name = "agent " + agent.stored.manifest.name;
  const std::string current = std::to_string(agent.stored.revision);
  if (revision > agent.stored.revision)
    return fail(Code::kNotFound, agent_name + " has no revision " + std::to_string(revision) +
                                     ": it is at revision " + current)
        .value()
        .with_field("revision")
        .with_remedy("`flodea revisions " + agent.stored.manifest.name + "` lists them");
  return fail(Code::kAborted, agent_name + ": revision " + std::to_string(revision) +
                                  " is not the current one, revision " + current + " is")
      .value()
      .with_field("revision")
      .with_remedy("`flodea events " + agent.stored.manifest.name + "` tells what came after it");
}

// ---- start, stop, restart

void Engine::start(std::string name, Asked asked, Callback<AgentView> done) {
  Nanos received = parts_.clock.boot();
  when_open(
      [this, name = std::move(name), asked = std::move(asked), done = std::move(done), received] {
        if (Agent* agent = find(name); agent != nullptr && is_idle(agent->stored.record.state))
          agent->asked = received;
        verb(
            name, asked, true,
            [](StoredAgent& agent) {
              if (!agent.desired_running || stands(agent.record)) want_fresh(agent);
            },
            done);
      });
}

void Engine::stop(std::string name, Asked asked, Callback<AgentView> done) {
  when_open([this, name = std::move(name), asked = std::move(asked), done = std::move(done)] {
    verb(name, asked, false, [](StoredAgent& agent) { agent.desired_running = false; }, done);
  });
}

void Engine::restart(std::string name, Asked asked, Callback<AgentView> done) {
  when_open([this, name = std::move(name), asked = std::move(asked), done = std::move(done)] {
    verb(name, asked, true, want_fresh, done);
  });
}

void Engine::verb(const std::string& name, const Asked& asked, bool up, const Change& change,
                  const Callback<AgentView>& done) {
  auto agent = agent_for(name);
  if (!agent) return done(tl::unexpected(std::move(agent).error()));
  Agent& found = **agent;
  if (found.stored.removal != Removal::kNone) return done(being_removed(name));
  if (closing_) return done(fail(Code::kUnavailable, "the supervisor is shut down"));
  if (Status changed = change_desired(found, asked.by, change); !changed) {
    return done(tl::unexpected(std::move(changed).error().with_context("agent " + name)));
  }
  settle(found);
  if (!asked.wait) return done(view_of(found));
  wait_for(found,
           {.until = up ? Until::kRuns : Until::kStops, .wanted = asked.wanted, .done = done});
}

void Engine::wait_for(Agent& agent, Wait wait) {
  wait.incarnation = agent.stored.incarnation;
  std::erase_if(agent.waits, [](const Wait& other) { return other.wanted && !other.wanted(); });
  agent.waits.push_back(std::move(wait));
  finish_waits(agent);
}

// Why it will not be what is waited for; nothing while it may.
std::optional<Error> Engine::disappointment(const Agent& agent, const Wait& wait) {
  if (wait.until == Until::kStops) return std::nullopt;
  if (agent.stored.removal != Removal::kNone)
    return being_removed(agent.stored.manifest.name).value();
  if (wait.revision == 0 || wait.revision == agent.stored.revision) return std::nullopt;
  return replaced(agent, wait.revision);
}

// ---- remove

void Engine::remove(std::string name, bool keep_data, std::string by,
                    Callback<RemovalReceipt> done) {
  when_open([this, name = std::move(name), keep_data, by = std::move(by), done = std::move(done)] {
    remove_now(name, keep_data, by, done);
  });
}

void Engine::remove_now(const std::string& name, bool keep_data, const std::string& by,
                        const Callback<RemovalReceipt>& done) {
  auto agent = agent_for(name);
  if (!agent) return done(tl::unexpected(std::move(agent).error()));
  Agent& found = **agent;
  Status changed = change_desired(found, by, [keep_data](StoredAgent& stored) {
    stored.desired_running = false;
    // A removal that began with the volume kept does not turn into one that destroys it.
    if (stored.removal == Removal::kNone)
      stored.removal = keep_data ? Removal::kKeepData : Removal::kAll;
  });
  if (!changed)
    return done(tl::unexpected(std::move(changed).error().with_context("agent " + name)));
  found.removals.push_back(done);
  settle(found);
}

// ---- looking

void Engine::get(std::string name, Callback<AgentView> done) {
  when_open([this, name = std::move(name), done = std::move(done)] {
    auto agent = agent_for(name);
    if (!agent) return done(tl::unexpected(std::move(agent).error()));
    AgentView view = view_of(**agent);
    add_usage(**agent, Nanos{}, view);
    done(std::move(view));
  });
}

void Engine::look(std::vector<std::string> names, Callback<std::vector<AgentView>> done) {
  when_open([this, names = std::move(names), done = std::move(done)] {
    std::vector<AgentView> views;
    for (const std::string& name : names) {
      if (const Agent* agent = find(name)) views.push_back(view_of(*agent));
    }
    done(std::move(views));
  });
}

void Engine::list(Callback<std::vector<AgentView>> done) {
  when_open([this, done = std::move(done)] {
    std::vector<AgentView> views;
    for (const auto& [name, id] : names_) {
      Agent& agent = *find(id);
      views.push_back(view_of(agent));
      add_usage(agent, kUsageAge, views.back());
    }
    done(std::move(views));
  });
}

void Engine::node(Callback<NodeStatus> done) {
  when_open([this, done = std::move(done)] { done(node_status()); });
}

Result<std::set<BundleDigest>> Engine::bundles_in_use() {
  std::set<BundleDigest> used = TRY(parts_.db.kept_bundles());
  for (const auto& [id, agent] : agents_) {
    used.insert(agent->stored.manifest.spec.bundle);
    if (agent->fallback) used.insert(agent->fallback->spec.bundle);
  }
  return used;
}

// What flodead found missing, and what this kernel's Landlock leaves out.
static std::vector<std::string> missing_of(const HostFacts& host) {
  std::vector<std::string> missing = host.missing;
  for (std::string& gap : landlock::gaps(host.landlock_abi)) missing.push_back(std::move(gap));
  return missing;
}

AgentView Engine::view_of(const Agent& agent) const {
  const StoredAgent& stored = agent.stored;
  const Record& record = stored.record;
  AgentView view{.id = stored.id,
                 .manifest = stored.manifest,
                 .revision = stored.revision,
                 .proven_revision = stored.proven_revision,
                 .observed_revision = stored.observed_revision,
                 .desired_running = stored.desired_running,
                 .frozen = agent.frozen,
                 .state = record.state,
                 .reason = reason_name(record.reason),
                 .message = record.message,
                 .generation = record.generation,
                 .restarts = record.restarts,
                 .state_since = stored.state_since,
                 .created = stored.created,
                 .exit_code = record.exit_code,
                 .next_start = {},
                 .start_phases = agent.phases,
                 .usage = {},
                 .uid_base = agent.uid_base,
                 .seccomp_profile = stored.manifest.spec.runtime.type,
                 .volume_backend = host_.volume_backend,
                 .landlock_abi = 0,
                 .missing = missing_of(host_)};
  if (agent.seen.presence == Presence::kPresent) view.health = agent.health;
  if (record.state == AgentState::kBackoff) view.next_start = stored.next_start;
  if (agent.held_back) {
    view.reason = reason_name(Reason::kHost);
    view.message = agent.held_back->message;
  }
  if (!agent.store_trouble.empty()) {
    view.reason = reason_name(Reason::kHost);
    view.message = agent.store_trouble;
  }
  return view;
}

void Engine::add_usage(Agent& agent, Nanos at_most, AgentView& view) {
  if (agent.seen.presence != Presence::kPresent) return;
  Nanos now = parts_.clock.monotonic();
  if (agent.usage_of != agent.held || now - agent.usage_at >= at_most) {
    agent.usage = effects_->usage(agent.stored.id);
    if (agent.usage) agent.usage->read = now;
    agent.usage_of = agent.held;
    agent.usage_at = now;
  }
  view.usage = agent.usage;
  if (view.usage) view.landlock_abi = view.usage->landlock_abi;
}

NodeStatus Engine::node_status() {
  NodeStatus node{.kernel = host_.kernel,
                  .cgroup = host_.cgroup,
                  .volume_backend = host_.volume_backend,
                  .boot_id = host_.boot_id,
                  .landlock_abi = host_.landlock_abi,
                  .vault_takeover = host_.vault_takeover,
                  .memory_bytes = host_.memory_bytes,
                  .cpus = host_.cpus,
                  .runtimes = host_.runtimes,
                  .missing = missing_of(host_),
                  .limits = host_.limits,
                  .epoch = host_.epoch,
                  .started = started_,
                  .disk_free = effects_->disk_free()};
  for (std::string& fault : missing_runtimes(host_)) node.missing.push_back(std::move(fault));
  for (const auto& [id, agent] : agents_) {
    const Resources& resources = agent->stored.manifest.spec.resources;
    if (agent->stored.desired_running) node.memory_promised += resources.memory_bytes;
    node.disk_promised += resources.disk_bytes;
  }
  if (auto kept = parts_.db.kept_volumes()) {
    for (const KeptVolume& volume : *kept) {
      node.disk_promised += volume.disk_bytes;
      node.kept_volumes[volume.name] = volume.disk_bytes;
    }
  }
  for (const auto& [name, status] : services_) node.services.push_back(status);
  return node;
}

}  // namespace flodea::control
