// HostEffects: from the end of an instance to nothing left of it.
#include <spdlog/spdlog.h>

#include <algorithm>

#include "supervisor/control/lifecycle/host_instance.h"

namespace flodea::control {
namespace {

constexpr Nanos kMaxRetryDelay = std::chrono::seconds(30);

}  // namespace

void HostEffects::release(const AgentId& agent, Generation generation) {
  Key key(agent, generation);
  HostInstance* instance = find(key);
  if (instance == nullptr)
    instance = &place(
        {.id = agent, .generation = generation, .manifest = {}});  // one that only flodead knows
  if (std::exchange(instance->releasing, true)) return;
  instance->health.end();
  instance->link.reset();
  if (instance->log_pipe.valid()) {  // goes on once the log has it
    if (auto it = logs_.find(agent); it != logs_.end() && !it->second.open) ask_log_key(agent);
    return attach_log(*instance);
  }
  give_up_use(key);
}

// Log and store are closed side by side; neither needs the other.
void HostEffects::give_up_use(const Key& key) {
  HostInstance& instance = *find(key);
  instance.page.reset();
  parts_.meters.remove(key.first);
  instance.parts_in_use = 1;  // this function itself
  auto done = [this, key] { parts_.loop.post([this, key] { part_done(key); }); };
  if (std::exchange(instance.log_attached, false)) {
    ++instance.parts_in_use;
    parts_.logs.finish(key.first, key.second, done);
  }
  if (std::exchange(instance.gateway_attached, false)) {
    ++instance.parts_in_use;
    parts_.gateway.detach(key.first, done);
  }
  part_done(key);
}

void HostEffects::part_done(const Key& key) {
  HostInstance* instance = find(key);
  if (instance != nullptr && --instance->parts_in_use == 0) send_release(key);
}

void HostEffects::send_release(const Key& key) {
  HostInstance* instance = find(key);
  if (instance == nullptr || instance->parts_in_use > 0 ||
      std::exchange(instance->release_sent, true))
    return;
  root_->release(key.first, key.second, [this, key](Result<std::vector<std::string>> leftovers) {
    if (HostInstance* found = find(key)) {
      found->release_sent = false;
      release_answered(key, std::move(leftovers));
    }
  });
}

void HostEffects::release_answered(const Key& key, Result<std::vector<std::string>> leftovers) {
  if (!leftovers && leftovers.error().code == Code::kFailedPrecondition)
    return kill_then_release(key);
  if (!leftovers) return retry_release(key, leftovers.error());
  for (const std::string& what : *leftovers)
    spdlog::error("agent={} error=\"left over: {}\"", key.first.text(), what);
  instances_.erase(key);
  events_.on_released(key.first, key.second);
}

// It still runs: an orphan of an earlier control, or a start whose outcome was not known. flodead
// answers once it has ended.
void HostEffects::kill_then_release(const Key& key) {
  root_->kill(key.first, key.second, "orphan", [this, key](Status killed) {
    if (find(key) == nullptr) return;
    if (killed) return send_release(key);
    retry_release(key, killed.error());
  });
}

void HostEffects::retry_release(const Key& key, const Error& why) {
  HostInstance& instance = *find(key);
  events_.on_release_failed(key.first, key.second, why);
  parts_.loop.call_after(instance.retry_delay, [this, key] { send_release(key); });
  instance.retry_delay = std::min(instance.retry_delay * 2, kMaxRetryDelay);
}

}  // namespace flodea::control
