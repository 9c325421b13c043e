// HostEffects: from an order to a worker that knows what to launch. The path that the start-up
// budget is about: no step waits for one that it does not need.
#include <spdlog/spdlog.h>

#include <algorithm>

#include "supervisor/control/lifecycle/ending.h"
#include "supervisor/control/lifecycle/host_instance.h"

namespace flodea::control {
namespace {

// /tmp counts as memory of the agent's too: half of it leaves room for the program.
std::uint64_t tmp_bytes(const Resources& resources) { return resources.memory_bytes / 2; }

constexpr int kLogAttempts =
    6;  // rounds of the vault client, before a dead instance's last lines are given up
constexpr Nanos kFirstLogRetry = std::chrono::seconds(1);
constexpr Nanos kLastLogRetry = std::chrono::minutes(1);

}  // namespace

void HostEffects::start(StartOrder order) {
  Key key(order.id, order.generation);
  HostInstance& instance = place(std::move(order));
  Nanos asked = parts_.clock.boot();
  instance.phases.push_back({"control", asked - instance.order.received});
  if (instance.order.volume_made) return send_start(key);
  std::uint64_t disk = instance.order.manifest.spec.resources.disk_bytes;
  root_->create_volume(key.first, disk, [this, key, asked](Result<bool> made) {
    if (!made)
      return fail_start(key,
                        ending_of_failed_start(std::move(made).error().with_context("volume")));
    if (HostInstance* found = find(key))
      found->phases.push_back({"volume", parts_.clock.boot() - asked});
    events_.on_volume_made(key.first);
    send_start(key);
  });
}

void HostEffects::run_job(const JobRequest& request, Callback<EndedJob> done) {
  root_->run_job(request, std::move(done));
}

void HostEffects::reload(Callback<void> done) { root_->reload(std::move(done)); }

void HostEffects::prepare(const AgentSpec& spec, Callback<void> done) {
  parts_.layers(spec, [done = std::move(done)](Result<std::vector<BundleDigest>> layers) {
    done(layers ? Status() : Status(tl::unexpected(std::move(layers).error())));
  });
}

// They were made when it was applied; another engine, or a lost file, makes them anew.
void HostEffects::send_start(const Key& key) {
  HostInstance* instance = find(key);
  if (instance == nullptr || instance->releasing) return;
  parts_.layers(instance->order.manifest.spec,
                [this, key](Result<std::vector<BundleDigest>> layers) {
                  if (layers) return send_start_on(key, std::move(*layers));
                  if (find(key) != nullptr)  // also one that was cancelled: then nobody listens
                    fail_start(key, ending_of_failed_start(std::move(layers).error()));
                });
}

void HostEffects::send_start_on(const Key& key, std::vector<BundleDigest> layers) {
  HostInstance* instance = find(key);
  if (instance == nullptr || instance->releasing) return;
  const AgentManifest& manifest = instance->order.manifest;
  StartRequest request{.agent = key.first,
                       .generation = key.second,
                       .hostname = manifest.name,
                       .bundle = manifest.spec.bundle,
                       .runtime = manifest.spec.runtime.type,
                       .resources = manifest.spec.resources,
                       .tmp_bytes = tmp_bytes(manifest.spec.resources),
                       .layers = std::move(layers)};
  Nanos sent = parts_.clock.boot();
  instance->sent = true;
  root_->start(request, [this, key, sent](Result<StartedInstance> reply) {
    if (HostInstance* found = find(key))
      found->phases.push_back({"flodead", parts_.clock.boot() - sent});
    started(key, std::move(reply), false);
  });
  open_logs(key.first, manifest);  // while flodead makes the sandbox
}

void HostEffects::adopt(StartOrder order, const ListedInstance& instance) {
  Key key(order.id, order.generation);
  Nanos later = order.adopt_after;
  HostInstance& placed = place(std::move(order));
  if (instance.state == ListedInstance::State::kExited) placed.exit = instance.exit;
  auto adopt_now = [this, key] {
    if (find(key) == nullptr) return;
    root_->adopt(key.first, key.second, [this, key](Result<StartedInstance> reply) {
      started(key, std::move(reply), true);
    });
  };
  if (later > Nanos{})
    parts_.loop.call_after(later, adopt_now);
  else
    adopt_now();
  open_logs(key.first, placed.order.manifest);
}

void HostEffects::started(const Key& key, Result<StartedInstance> reply, bool adopted) {
  HostInstance* instance = find(key);
  if (instance == nullptr || instance->is_present) return;
  if (!reply && adopted) {
    return fail_start(key, {.blame = Blame::kFailure,
                            .reason = Reason::kLost,
                            .message = "it could not be adopted: " + reply.error().describe(),
                            .exit_code = {}});
  }
  if (!reply) return fail_start(key, ending_of_failed_start(reply.error()));
  // Whatever an earlier control froze: this one judges anew.
  if (adopted) freeze(key.first, key.second, false);
  std::uint32_t uid_base = reply->uid_base;
  if (Status wired = wire(*instance, std::move(*reply)); !wired) {
    return fail_start(key, {.blame = Blame::kFailure,
                            .reason = Reason::kHost,
                            .message = wired.error().describe(),
                            .exit_code = {}});
  }
  auto page = instance->snapshot();
  auto executed = instance->executed_at();
  if (executed) instance->begin_health(*executed);
  events_.on_present(key.first, key.second,
                     {.uid_base = uid_base,
                      .executed = executed,
                      .ready = page && page->ready,
                      .health = instance->health.known()});
  if (instance->exit) on_instance_exited(*instance->exit);
}

// The release that follows finds out what there is to undo.
void HostEffects::fail_start(const Key& key, Ending ending) {
  spdlog::warn("agent={} generation={} error=\"did not start: {}\"", key.first.text(),
               key.second.value, ending.message);
  events_.on_ended(key.first, key.second, ending);
}

// The worker first: it starts the interpreter while the rest is wired.
Status HostEffects::wire(HostInstance& instance, StartedInstance reply) {
  Nanos begun = parts_.clock.boot();
  const AgentId& id = instance.order.id;
  for (PhaseTime& phase : reply.phases)
    instance.phases.push_back({"flodead " + phase.name, phase.duration});
  instance.worker_pid = reply.worker_pid;
  instance.log_pipe = std::move(reply.fds.log_pipe);
  instance.page = TRY(StatusPageReader::map(reply.fds.page.get()));
  instance.is_present = true;
  parts_.meters.add(id, reply.cgroups, reply.fds.store);
  auto calls = TRY(parts_.gateway.attach({.id = id,
                                          .generation = instance.order.generation,
                                          .manifest = instance.order.manifest,
                                          .spec_json = parts_.spec_json(instance.order.manifest),
                                          .restarts = instance.order.restarts,
                                          .store_directory = std::move(reply.fds.store)}));
  instance.gateway_attached = true;
  TRY(instance.attach(std::move(reply.fds.attach), std::move(calls)));
  instance.phases.push_back({"attach", parts_.clock.boot() - begun});
  attach_log(instance);
  return {};
}

// ---- logs

void HostEffects::open_logs(const AgentId& agent, const AgentManifest& manifest) {
  LogOpening& opening = logs_[agent];
  const AgentSpec& spec = manifest.spec;
  std::uint64_t rate = spec.resources.log_bytes_per_second;
  if (opening.open && opening.policy == spec.logs && opening.rate == rate) return;
  opening.policy = spec.logs;
  opening.rate = rate;
  opening.open = false;
  ask_log_key(agent);
}

void HostEffects::ask_log_key(const AgentId& agent) {
  auto it = logs_.find(agent);
  if (it == logs_.end() || std::exchange(it->second.asking, true)) return;
  parts_.logs.expect(agent, true);
  parts_.vault.get_log_key(
      agent, [this, agent](Result<LogKey> key) { got_log_key(agent, std::move(key)); });
}

void HostEffects::got_log_key(const AgentId& agent, Result<LogKey> key) {
  auto it = logs_.find(agent);
  if (it == logs_.end()) return parts_.logs.expect(agent, false);  // removed meanwhile
  LogPolicy policy = it->second.policy;
  std::uint64_t rate = it->second.rate;
  if (!key) return log_opened(agent, policy, rate, tl::unexpected(std::move(key).error()));
  auto held = std::make_shared<LogKey>(*key);
  ::explicit_bzero(key->data(), key->size());
  parts_.disk([this, agent, held, policy, rate] {  // reads and mends its segments
    Status opened = parts_.logs.open(agent, *held, policy, rate);
    ::explicit_bzero(held->data(), held->size());
    parts_.loop.post([this, agent, policy, rate, opened = std::move(opened)] {
      log_opened(agent, policy, rate, opened);
    });
  });
}

void HostEffects::log_opened(const AgentId& agent, const LogPolicy& policy, std::uint64_t rate,
                             const Status& opened) {
  auto it = logs_.find(agent);
  if (it == logs_.end()) return parts_.logs.expect(agent, false);  // removed meanwhile
  LogOpening& opening = it->second;
  opening.asking = false;
  bool as_wanted = opening.policy == policy && opening.rate == rate;
  if (opened && !as_wanted) return ask_log_key(agent);
  opening.open = opened.has_value();
  parts_.logs.expect(agent, false);
  for (auto& [instance_key, instance] : instances_) {
    if (instance_key.first == agent) attach_log(*instance);
  }
  if (opened) return;
  spdlog::error("agent={} error=\"its log cannot be opened: {}\"", agent.text(),
                opened.error().describe());
  opening.retry = std::clamp(opening.retry * 2, kFirstLogRetry, kLastLogRetry);
  parts_.loop.call_after(opening.retry, [this, agent] { ask_log_key(agent); });
}

// What an instance printed waits in its pipe until the log is open.
void HostEffects::attach_log(HostInstance& instance) {
  if (!instance.log_pipe.valid()) return;
  auto it = logs_.find(instance.order.id);
  if (it != logs_.end() && it->second.open) {
    Status attached = parts_.logs.attach(instance.order.id, instance.order.generation,
                                         std::move(instance.log_pipe));
    instance.log_attached = attached.has_value();
    if (!attached)
      spdlog::error("agent={} error=\"its log is not kept: {}\"", instance.order.manifest.name,
                    attached.error().describe());
  } else if (instance.releasing && ++instance.log_attempts >= kLogAttempts) {
    spdlog::error(
        "agent={} error=\"the last lines of its log are lost: there is no key to keep them with\"",
        instance.order.manifest.name);
    instance.log_pipe.reset();
  }
  if (instance.releasing && !instance.log_pipe.valid()) give_up_use(instance.key());
}

}  // namespace flodea::control
