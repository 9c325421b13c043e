// The supervisor across lives of flodead: what it hands on, how it goes on from what it was handed,
// and the quiet in which that happens.
#include <signal.h>
#include <spdlog/spdlog.h>

#include "supervisor/root/reload.h"

namespace flodea::root {

// ---- handing on

v1::KeptState Supervisor::keep() const {
  v1::KeptState state;
  state.set_boot_id(parts_.instances.boot_id);
  state.set_epoch(epoch_);
  state.set_control_restarts(control_service_->restarts());
  if (vault_service_->running() && parts_.vault.connected()) {
    v1::KeptService& vault = *state.mutable_vault();
    vault.set_pid(vault_service_->process().pid());
    vault.set_process(vault_service_->process().get());
    vault.set_socket(parts_.vault.socket());
    vault.set_restarts(vault_service_->restarts());
    vault.set_device(vault_service_->program().device);
    vault.set_inode(vault_service_->program().inode);
    vault.set_modified_ns(vault_service_->program().modified_ns);
  }
  for (const auto& [agent, instance] : instances_) {
    if (!instance->settled()) continue;  // there are none when it counts: `under_way`
    v1::KeptInstance& kept = *state.add_instances();
    kept = instance->kept();
    *kept.mutable_descriptors() = instance->kept_descriptors();
  }
  return state;
}

std::string Supervisor::under_way() const {
  for (const auto& [agent, instance] : instances_) {
    if (!instance->settled()) return "the start or the end of agent " + agent.text();
  }
  if (requests_ > 0) return std::to_string(requests_) + " requests of flodea-control";
  // A connection that a new vault has not taken up yet would be handed on half way.
  if (!parts_.vault.idle()) return "requests to flodea-vault";
  return "";
}

void Supervisor::hold_starts(bool hold) {
  holding_starts_ = hold;
  if (hold) return;
  for (Held& held : std::exchange(held_, {})) {
    if (held.life == control_.life()) serve(std::move(held.request));
  }
}

OneShot<bool> Supervisor::end_control() {
  OneShot<bool> gone(parts_.loop);
  if (!control_service_->running()) {  // it waits for its next life
    gone.set(true);
    return gone;
  }
  control_gone_ = gone;
  control_service_->signal(SIGKILL);
  return gone;
}

void Supervisor::begin_control_again() {
  if (stopping_ || control_service_->running()) return;
  control_service_->start_again();
}

void Supervisor::announce_self(const std::string& why) {
  v1::Reply event;
  auto* changed = event.mutable_service_changed();
  changed->set_service("flodead");
  changed->set_up(true);
  changed->set_why(why);
  changed->set_restarts(parts_.reloads);
  control_.send(event);
}

Async<Supervisor::Answer> Supervisor::reload(v1::Request) {
  --requests_;  // it is not what it waits for
  auto reloading = reload_->run();
  auto refused = co_await reloading;
  ++requests_;
  co_return tl::unexpected(std::move(refused).error());
}

// ---- going on

Status Supervisor::adopt_vault(RunningService vault) {
  TRY(vault_service_->adopt(std::move(vault.process), vault.program));
  parts_.vault.begin_ids_at((parts_.reloads << 32) + 1);
  auto connected = parts_.vault.connect(std::move(vault.socket));
  if (!connected) vault_service_->signal(SIGKILL);  // the next one is asked afresh
  return connected;
}

void Supervisor::adopt_instance(EarlierInstance earlier) {
  auto instance = std::make_unique<Instance>(parts_.instances, earlier.kept.request());
  AgentId agent = instance->agent();
  auto adopted = instance->adopt(earlier.kept, std::move(earlier.descriptors));
  if (!adopted) spdlog::error("agent={} error=\"{}\"", agent.text(), adopted.error().describe());
  instances_.emplace(agent, std::move(instance));
}

void Supervisor::adopt(EarlierLife life) {
  for (EarlierInstance& earlier : life.instances) adopt_instance(std::move(earlier));
  control_service_->add_restarts(life.control_restarts);
  vault_service_->add_restarts(life.vault.restarts);
  if (life.vault.process.valid()) {
    if (auto adopted = adopt_vault(std::move(life.vault)); !adopted)
      spdlog::error("service=flodea-vault error=\"{}\"", adopted.error().describe());
    if (vault_service_->outdated()) {
      if (parts_.volumes.can_resume() || instances_.empty())
        vault_service_->signal(SIGKILL);  // the next one is the program on disk
      else
        spdlog::warn(
            "service=flodea-vault state=kept why=\"another program is on disk; this kernel "
            "cannot continue a vault, so the running one stays until flodead stops\"");
    }
  } else if (!instances_.empty()) {
    if (auto started = vault_service_->start(); !started)
      spdlog::error("service=flodea-vault error=\"{}\"", started.error().describe());
  }
  if (life.reloaded || !instances_.empty())
    spdlog::info("state=took-over agents={} epoch={}", instances_.size(), epoch_);
}

}  // namespace flodea::root
