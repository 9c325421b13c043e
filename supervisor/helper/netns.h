// The agent's network namespace. Made here, under the host's user namespace: one that belonged to
// the agent's own would let its root change routes and rules.
#pragma once

#include "base/unique_fd.h"

namespace flodea::helper {

// Moves this process into a new network namespace with loopback up and nothing else, and returns
// it.
Result<UniqueFd> make_network_namespace();

}  // namespace flodea::helper
