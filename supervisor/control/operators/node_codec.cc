#include "supervisor/control/operators/node_codec.h"

#include <unistd.h>

#include <array>

#include "supervisor/control/operators/wire_time.h"

namespace flodea::control {
namespace {

namespace pb = operators::v1;

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

void encode_host(const NodeStatus& status, pb::Node& wire) {
  wire.set_hostname(host_name());
  wire.set_kernel(status.kernel);
  wire.set_cgroup(status.cgroup);
  wire.set_landlock_abi(status.landlock_abi);
  wire.set_volume_backend(status.volume_backend);
  wire.set_vault_takeover(status.vault_takeover);
  wire.set_memory_bytes(status.memory_bytes);
  wire.set_cpus(status.cpus);
  wire.mutable_runtimes()->insert(status.runtimes.begin(), status.runtimes.end());
  wire.mutable_missing()->Add(status.missing.begin(), status.missing.end());
  wire.mutable_limits()->Add(status.limits.begin(), status.limits.end());
}

}  // namespace

pb::Node encode_node(const NodeStatus& status, const std::vector<AgentView>& agents,
                     const std::string& version) {
  pb::Node wire;
  encode_host(status, wire);
  wire.set_version(version);
  wire.set_epoch(status.epoch.value);
  *wire.mutable_started() = encode_time(status.started);
  for (const AgentView& agent : agents)
    ++(*wire.mutable_agents_by_state())[state_name(agent.state)];
  wire.set_memory_promised_bytes(status.memory_promised);
  wire.set_disk_promised_bytes(status.disk_promised);
  wire.set_disk_free_bytes(status.disk_free);
  wire.mutable_kept_volumes()->insert(status.kept_volumes.begin(), status.kept_volumes.end());
  for (const ServiceStatus& service : status.services) {
    pb::Service* out = wire.add_services();
    out->set_name(service.name);
    out->set_up(service.up);
    out->set_restarts(service.restarts);
  }
  return wire;
}

}  // namespace flodea::control
