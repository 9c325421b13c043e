// The host as operators see it.
#pragma once

#include <string>
#include <vector>

#include "flodea/operators/v1/operators.pb.h"
#include "supervisor/control/lifecycle/lifecycle.h"

namespace flodea::control {

operators::v1::Node encode_node(const NodeStatus& status, const std::vector<AgentView>& agents,
                                const std::string& version);

}  // namespace flodea::control
