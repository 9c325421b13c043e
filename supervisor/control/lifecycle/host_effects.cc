#include "supervisor/control/lifecycle/host_effects.h"

#include <spdlog/spdlog.h>
#include <sys/statvfs.h>

#include <algorithm>

#include "policy/seccomp_profile.h"
#include "supervisor/control/lifecycle/ending.h"
#include "supervisor/control/lifecycle/host_instance.h"
#include "supervisor/control/lifecycle/pressure.h"

namespace flodea::control {
namespace {

constexpr Nanos kThawAgain = std::chrono::seconds(1);

Launched launched(const AgentManifest& manifest) {
  const AgentSpec& spec = manifest.spec;
  auto runtime = find_runtime(spec.runtime.type);
  if (!runtime) return {.executable = spec.runtime.type};  // of another version of Flodea
  return {.executable = (*runtime)->launch_plan(manifest).executable,
          .out_of_memory = (*runtime)->out_of_memory,
          .memory_bytes = spec.resources.memory_bytes};
}

}  // namespace

Result<std::unique_ptr<HostEffects>> HostEffects::create(HostParts parts, UniqueFd root_socket,
                                                         EffectEvents& events) {
  std::unique_ptr<HostEffects> effects(new HostEffects(std::move(parts), events));
  effects->root_ = TRY(RootClient::create(effects->parts_.loop, std::move(root_socket), *effects));
  return effects;
}

HostEffects::HostEffects(HostParts parts, EffectEvents& events)
    : parts_(std::move(parts)), events_(events) {}
HostEffects::~HostEffects() = default;

HostInstance* HostEffects::find(const Key& key) {
  auto it = instances_.find(key);
  return it == instances_.end() ? nullptr : it->second.get();
}

HostInstance& HostEffects::place(StartOrder order) {
  Key key(order.id, order.generation);
  auto kill_it = [this](const InstanceKey& which, const std::string& reason) {
    kill(which.first, which.second, reason);
  };
  auto strain = [this](const AgentId& agent) { return parts_.meters.strain(agent); };
  auto& instance = instances_[key];
  instance = std::make_unique<HostInstance>(InstanceSurroundings{.loop = parts_.loop,
                                                                 .clock = parts_.clock,
                                                                 .events = events_,
                                                                 .epoch = epoch_,
                                                                 .kill = kill_it,
                                                                 .strain = strain,
                                                                 .marks = parts_.marks},
                                            std::move(order));
  return *instance;
}

HostInstance* HostEffects::present(const AgentId& agent) {
  auto it = instances_.lower_bound(Key(agent, Generation{0}));
  for (; it != instances_.end() && it->first.first == agent; ++it) {
    if (it->second->is_present && !it->second->releasing) return it->second.get();
  }
  return nullptr;
}

void HostEffects::hello(Callback<HostFacts> done) {
  root_->hello([this, done = std::move(done)](Result<HostFacts> facts) {
    if (facts) epoch_ = facts->epoch;
    done(std::move(facts));
  });
}

void HostEffects::inventory(Callback<std::vector<ListedInstance>> done) {
  root_->list(std::move(done));
}

void HostEffects::stop(const AgentId& agent, Generation generation, Nanos grace,
                       const std::string& reason) {
  HostInstance* instance = find({agent, generation});
  if (instance == nullptr || !instance->link) return kill(agent, generation, reason);
  instance->link->stop(grace, reason);
  parts_.gateway.notify_stop(agent, {.reason = reason, .deadline = parts_.clock.wall() + grace});
}

// One that waits for its layers, or its volume, is not at flodead's yet.
void HostEffects::cancel(const AgentId& agent, Generation generation) {
  HostInstance* instance = find({agent, generation});
  if (instance == nullptr || instance->is_present) return;
  if (instance->sent) return kill(agent, generation, "operator");
  fail_start({agent, generation}, {.blame = Blame::kBlameless,
                                   .reason = Reason::kOperator,
                                   .message = "stopped before it was started",
                                   .exit_code = {}});
}

void HostEffects::kill(const AgentId& agent, Generation generation, const std::string& reason) {
  root_->kill(agent, generation, reason, [agent](Status killed) {
    if (!killed)
      spdlog::error("agent={} error=\"kill: {}\"", agent.text(), killed.error().describe());
  });
}

// Keys first: what cannot be decrypted any more is destroyed. Then the files.
void HostEffects::destroy(const AgentId& agent, bool keep_volume, Callback<RemovalReceipt> done) {
  auto forget = [this, agent, done = std::move(done)](Result<RemovalReceipt> receipt) {
    if (!receipt) return done(std::move(receipt));
    remove_log(agent, std::move(*receipt), done);
  };
  if (keep_volume)
    return forget(RemovalReceipt{.id = agent, .key_digest = "", .destroyed = parts_.clock.wall()});
  root_->destroy_volume(agent, std::move(forget));
}

// After an opening of it that may still be under way: what runs on the disk runs in order.
void HostEffects::remove_log(const AgentId& agent, RemovalReceipt receipt,
                             Callback<RemovalReceipt> done) {
  logs_.erase(agent);
  parts_.disk([this, agent, receipt = std::move(receipt), done = std::move(done)] {
    Status removed = parts_.logs.remove(agent);
    parts_.loop.post([receipt, done, removed = std::move(removed)] {
      if (removed || removed.error().code == Code::kNotFound) return done(receipt);
      done(tl::unexpected(Error(removed.error()).with_context("log")));
    });
  });
}

void HostEffects::wake_at(const AgentId& agent, std::optional<Nanos> monotonic) {
  if (auto it = wakes_.find(agent); it != wakes_.end()) {
    parts_.loop.cancel(it->second);
    wakes_.erase(it);
  }
  if (!monotonic) return;
  Nanos delay = std::max(Nanos{}, *monotonic - parts_.clock.monotonic());
  wakes_[agent] = parts_.loop.call_after(delay, [this, agent] {
    wakes_.erase(agent);
    events_.on_wake(agent);
  });
}

std::optional<AgentUsage> HostEffects::usage(const AgentId& agent) {
  HostInstance* instance = present(agent);
  auto reading = parts_.meters.read(agent);
  if (instance == nullptr || !reading) return std::nullopt;
  GatewayUsage calls = parts_.gateway.usage(agent);
  LogUsage log = parts_.logs.usage(agent);
  AgentUsage usage{.cpu_nanos = reading->cgroup.cpu_nanos,
                   .memory_bytes = reading->cgroup.memory_current,
                   .memory_peak_bytes = reading->cgroup.memory_peak,
                   .pids = static_cast<std::uint32_t>(reading->cgroup.pids),
                   .disk_used_bytes = reading->disk_used,
                   .disk_size_bytes = reading->disk_size,
                   .calls = calls.calls,
                   .calls_throttled = calls.calls_throttled,
                   .log_bytes = log.bytes,
                   .log_throttled = log.throttled,
                   .worker_pid = static_cast<std::uint32_t>(instance->worker_pid)};
  if (auto page = instance->snapshot()) {
    usage.log_dropped = page->log_dropped;
    usage.landlock_abi = page->landlock_abi;
    for (const DeniedCalls& denied : page->denied)
      usage.denied_syscalls[syscall_name(static_cast<int>(denied.syscall_number))] += denied.count;
  }
  return usage;
}

std::uint64_t HostEffects::disk_free() {
  struct statvfs fs{};
  return ::fstatvfs(parts_.state_dir, &fs) == 0 ? fs.f_bavail * fs.f_frsize : 0;
}

void HostEffects::freeze(const AgentId& agent, Generation generation, bool frozen) {
  root_->freeze(agent, generation, frozen, [this, agent, generation, frozen](Status done) {
    if (done || done.error().code == Code::kNotFound || find({agent, generation}) == nullptr)
      return;
    spdlog::error("agent={} frozen={} error=\"{}\"", agent.text(), frozen, done.error().describe());
    bool ended = done.error().code == Code::kFailedPrecondition;
    if (!frozen && !ended)  // it must not stay so
      parts_.loop.call_after(kThawAgain,
                             [this, agent, generation] { freeze(agent, generation, false); });
  });
}

std::optional<double> HostEffects::memory_pressure() {
  char text[256];
  ssize_t n = parts_.pressure < 0 ? -1 : ::pread(parts_.pressure, text, sizeof text, 0);
  return n > 0 ? parse_pressure({text, static_cast<std::size_t>(n)}) : std::nullopt;
}

void HostEffects::call_after(Nanos delay, std::function<void()> task) {
  parts_.loop.call_after(delay, std::move(task));
}

// ---- what flodead tells

void HostEffects::on_instance_exited(const InstanceExit& exit) {
  Key key(exit.agent, exit.generation);
  HostInstance* instance = find(key);
  if (instance == nullptr) return;
  instance->exit = exit;
  instance->health.end();
  if (instance->releasing || !instance->is_present)
    return;  // killed for the release; or `started` looks at it
  events_.on_ended(exit.agent, exit.generation,
                   ending_of(exit, instance->snapshot(), launched(instance->order.manifest)));
}

void HostEffects::on_service_changed(const ServiceChange& change) { events_.on_service(change); }
void HostEffects::on_shutdown_requested() { events_.on_shutdown_requested(); }
void HostEffects::on_root_lost(const Error& why) { parts_.root_lost(why); }

void HostEffects::reconnect(const AgentId& agent) {
  constexpr Nanos kPause = std::chrono::seconds(1);
  parts_.loop.call_after(kPause, [this, agent] {
    HostInstance* instance = present(agent);
    if (instance == nullptr) return;
    auto calls = parts_.gateway.reconnect(agent);
    if (calls) return instance->attach_again(std::move(*calls));
    if (calls.error().code == Code::kResourceExhausted) reconnect(agent);
  });
}

}  // namespace flodea::control
