// May this host take this manifest at all? Pure. What could never fit, and what the host cannot
// enforce, is refused when it is applied, naming the field and both figures or what the host lacks.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "policy/agent_spec.h"
#include "supervisor/control/root_client/root_client.h"

namespace flodea::control {

struct HostRoom {
  std::uint64_t disk_free = 0;      // bytes where images live
  std::uint64_t disk_promised = 0;  // of volumes that are applied but not made yet
};

// kFailedPrecondition or kResourceExhausted. `volume_bytes`: the size of the agent's volume if
// there is (or will be) one already.
Status admit(const AgentSpec& spec, const HostFacts& host, const HostRoom& room,
             std::optional<std::uint64_t> volume_bytes);

// A line for each runtime that this host has not, or too old.
std::vector<std::string> missing_runtimes(const HostFacts& host);

// What an encrypted image of this usable size may take on the host: file system metadata, journal,
// the vault's header.
std::uint64_t image_bytes(std::uint64_t disk_bytes);

}  // namespace flodea::control
